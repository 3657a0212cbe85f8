"""Uploads: whole, in parts, resumed, mounted; whatever happens, the blob is there or an error is."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.oci.dictregistry import DictRegistry
from tests.unit.oci.images import describe, noise, opener
from tests.unit.oci.mishaps import broken, first, lost, replies, reset_after, status

from lockgate.base.errors import DigestMismatch, RegistryError
from lockgate.oci import upload
from lockgate.oci.transport import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.oci.mishaps import Action, Serve

    from lockgate.oci.manifest import Descriptor

SMALL = noise(5000, "small")
LARGE = noise(3 << 20, "large")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a size that tests can afford."""
    monkeypatch.setattr(upload, "CHUNK", 1 << 20)


def put(registry: DictRegistry, data: bytes) -> Descriptor:
    """Upload a blob, and check that the registry has it."""
    blob = describe(data)
    registry.open().put_blob(blob, opener(data))
    assert registry["team/app"].blobs == {blob.digest: data}
    return blob


@pytest.mark.parametrize("size", [0, 1, upload.SMALL])
def test_a_small_blob_is_two_requests(size: int) -> None:
    """Up to a megabyte: a session, and the blob with the closing PUT."""
    registry = DictRegistry()

    put(registry, bytes(size))

    assert [one.method for one in registry.asked] == ["POST", "PUT"]


def test_a_large_blob_comes_in_parts() -> None:
    """More than a chunk: PATCH by PATCH, each one saying where it belongs."""
    registry = DictRegistry()

    put(registry, LARGE)

    assert [one.method for one in registry.asked] == ["POST", "PATCH", "PATCH", "PATCH", "PUT"]


def test_a_blob_of_one_part_says_nothing_of_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits in one PATCH is sent as docker sends it, which registries without ranges take too."""
    monkeypatch.setattr(upload, "CHUNK", len(LARGE))
    registry, ranges = DictRegistry(), []

    def note(request: httpx2.Request) -> None:
        ranges.append(request.headers.get("content-range"))

    registry.fail("PATCH", "", first(note), times=9)

    put(registry, LARGE)

    assert ranges == [None]


def test_the_least_chunk_of_a_registry() -> None:
    """A registry that takes only larger parts gets larger parts (OCI-Chunk-Min-Length)."""
    registry = DictRegistry(minimum_chunk=2 << 20)

    put(registry, LARGE)

    assert registry.count("PATCH") == 2


def test_a_number_that_is_none() -> None:
    """A registry whose numbers Python itself does not read says nothing by them."""
    registry = DictRegistry()
    place = "https://registry.example/v2/team/app/blobs/uploads/1?state=1"
    headers = {"Location": place, "OCI-Chunk-Min-Length": "9" * 5000, "Range": f"0-{'9' * 5000}"}
    registry.fail("POST", "", replies(202, headers=headers))
    registry.fail("PATCH", "", broken(httpx2.WriteError))
    registry.fail("GET", "/uploads/", replies(204, headers=headers))

    put(registry, LARGE)

    assert registry.count("POST") == 2


@pytest.mark.parametrize("taken", [0, 1, 2, 700_000, 1 << 20])
def test_a_reset_is_resumed(taken: int) -> None:
    """After a reset the registry is asked what it has, and the rest is sent."""
    registry = DictRegistry()
    registry.fail("PATCH", "", reset_after(taken, registry))

    put(registry, LARGE)

    assert registry.slept


def test_resuming_does_not_send_twice() -> None:
    """What arrived before the reset is not sent again."""
    registry, sent = DictRegistry(), []
    registry.fail("PATCH", "state=1048576", reset_after(500_000, registry))

    def count(request: httpx2.Request) -> None:
        sent.append(len(request.content))

    registry.fail("PATCH", "", first(count), times=99)

    put(registry, LARGE)

    assert sum(sent) == len(LARGE) - 500_000


@given(
    resets=st.lists(st.integers(min_value=0, max_value=400_000), max_size=ATTEMPTS - 1),
)
def test_resets_anywhere(resets: list[int]) -> None:
    """Wherever the connection breaks, and as often as attempts allow: the same bytes arrive."""
    registry = DictRegistry()
    for taken in resets:
        registry.fail("PATCH", "", reset_after(taken, registry))

    put(registry, LARGE[:1_500_000])


def test_resets_without_end_end() -> None:
    """A connection that always breaks is given up after a number of attempts."""
    registry = DictRegistry()
    registry.fail("PATCH", "", reset_after(0, registry), times=100)

    with pytest.raises(RegistryError, match="broke the connection off"):
        registry.open().put_blob(describe(LARGE), opener(LARGE))
    assert registry.count("PATCH") == ATTEMPTS


def test_progress_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as enough arrives between two resets, there may be more of them than attempts."""
    monkeypatch.setattr(upload, "_STEP", 100_000)
    registry = DictRegistry()
    for _ in range(2 * ATTEMPTS):
        registry.fail("PATCH", "", reset_after(150_000, registry))

    put(registry, LARGE)


def test_a_session_that_is_gone_is_begun_anew() -> None:
    """A registry that forgot the session (it was restarted) gets the blob from the beginning."""
    registry = DictRegistry()

    def forget(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        registry.uploads.clear()
        raise httpx2.ReadError("restart")

    registry.fail("PATCH", "state=1048576", forget)

    put(registry, LARGE)

    assert registry.count("POST") == 2


def test_a_registry_that_counts_differently() -> None:
    """A second 416 means that ours and its count differ for good: from the beginning, too."""
    registry = DictRegistry()
    registry.fail("PATCH", "state=1048576", replies(416), times=2)

    put(registry, LARGE)

    assert registry.count("POST") == 2


def test_a_registry_that_was_still_writing() -> None:
    """Asked before all that reached it is put away, the registry is asked again, and keeps what it has."""
    registry = DictRegistry()
    registry.fail("PATCH", "state=1048576", reset_after(300_000, registry))

    def early(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        said, (_, held) = serve(), registry.uploads["upload-1"]
        held += LARGE[len(held) : len(held) + 200_000]
        return said

    registry.fail("GET", "/uploads/", early)

    put(registry, LARGE)

    assert registry.count("POST") == 1
    assert registry.count("GET") == 2


@pytest.mark.parametrize("code", [400, 404, 405, 501])
def test_a_registry_that_cannot_say_how_far_it_is(code: int) -> None:
    """Where there is no upload status, the blob is sent from the beginning."""
    registry = DictRegistry()
    registry.fail("PATCH", "state=1048576", reset_after(100, registry))
    registry.fail("GET", "/uploads/", status(code))

    put(registry, LARGE)

    assert registry.count("POST") == 2


def test_a_part_of_a_small_blob_is_not_added_to() -> None:
    """A small blob whose connection broke goes into a new session: the old one may hold a part of it."""
    registry = DictRegistry()
    registry.fail("PUT", "/uploads/", reset_after(100, registry))

    put(registry, SMALL)


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_a_lost_answer_is_harmless(data: bytes) -> None:
    """When the answer to the closing PUT is lost, the blob is found, and nothing is sent again."""
    registry = DictRegistry()
    registry.fail("PUT", "", lost)

    put(registry, data)

    assert registry.count("POST") == 1
    assert registry.count("PUT") == 1


def test_a_lost_session_is_harmless() -> None:
    """The same for the answer that opens the session: another one is opened."""
    registry = DictRegistry()
    registry.fail("POST", "", lost)

    put(registry, SMALL)


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "HEAD", "GET"])
@pytest.mark.parametrize("trouble", [status(500), status(429, {"Retry-After": "2"}), broken()])
def test_trouble_at_any_request(method: str, trouble: Action) -> None:
    """Whichever request of an upload meets trouble that passes, the blob arrives."""
    registry = DictRegistry()
    registry.fail("PATCH", "state=1048576", broken(httpx2.WriteError))
    registry.fail(method, "", trouble, times=2)

    put(registry, LARGE)


def test_mounted() -> None:
    """A blob that another repository has is taken over without being sent or read."""
    registry = DictRegistry()
    blob = describe(LARGE)
    registry["team/other"].blobs[blob.digest] = LARGE

    def never() -> object:
        raise AssertionError("it was opened")

    registry.open(mount_from="team/other").put_blob(blob, never)  # type: ignore[arg-type]

    assert registry["team/app"].blobs == {blob.digest: LARGE}
    assert [one.method for one in registry.asked] == ["POST"]


def test_not_mounted() -> None:
    """Where that repository does not have it, the session that is opened instead is used."""
    registry = DictRegistry()
    blob = describe(LARGE)

    registry.open(mount_from="team/other").put_blob(blob, opener(LARGE))

    assert registry["team/app"].blobs == {blob.digest: LARGE}
    assert registry.count("POST") == 1


@pytest.mark.parametrize("data", [SMALL, LARGE])
@pytest.mark.parametrize("lie", ["bit", "short", "long"])
def test_a_source_that_lies(data: bytes, lie: str) -> None:
    """A source with other bytes than it should have is found out before the upload is closed."""
    registry = DictRegistry()
    false = {"bit": data[:-1] + b"?", "short": data[:-1], "long": data + b"?"}[lie]

    with pytest.raises(DigestMismatch):
        registry.open().put_blob(describe(data), opener(false, of=data))

    assert registry["team/app"].blobs == {}
    assert registry.count("PUT") == 0


def test_bytes_that_change_on_the_way() -> None:
    """When the registry says that it got other bytes, it is an error of trust, and not tried again."""
    registry = DictRegistry()

    def damage(request: httpx2.Request) -> None:
        registry.uploads["upload-1"][1][:] = b"x" * (1 << 20)

    registry.fail("PATCH", "state=1048576", first(damage))

    with pytest.raises(DigestMismatch, match="other bytes"):
        registry.open().put_blob(describe(LARGE), opener(LARGE))
    assert registry["team/app"].blobs == {}


def test_a_source_that_breaks_off_is_read_again() -> None:
    """A source that is a registry itself and fails for a moment fails the upload no more than that."""
    registry, opened = DictRegistry(), []

    @contextlib.contextmanager
    def shaky() -> Iterator[Iterator[bytes]]:
        opened.append(1)
        with opener(LARGE)() as pieces:
            yield broken_off(pieces) if len(opened) == 1 else pieces

    def broken_off(pieces: Iterator[bytes]) -> Iterator[bytes]:
        yield next(pieces)
        raise RegistryError("the source broke off", retryable=True)

    blob = describe(LARGE)
    registry.open().put_blob(blob, shaky)

    assert registry["team/app"].blobs == {blob.digest: LARGE}


def test_refused() -> None:
    """A registry that does not take the blob is not asked again."""
    registry = DictRegistry()
    registry.fail("POST", "", status(403, words="quota exceeded"), times=9)

    with pytest.raises(RegistryError, match="quota exceeded"):
        registry.open().put_blob(describe(SMALL), opener(SMALL))
    assert registry.count("POST") == 1


def test_a_session_without_an_address() -> None:
    """A registry that opens a session and does not say where is none."""
    registry = DictRegistry()
    registry.fail("POST", "", replies(202))

    with pytest.raises(RegistryError, match="does not say where"):
        registry.open().put_blob(describe(SMALL), opener(SMALL))


def test_a_session_on_another_host_gets_no_credentials() -> None:
    """An upload that is sent to another host goes there without them."""
    registry = DictRegistry(basic=True)
    registry.fail("POST", "", replies(202, headers={"Location": "https://storage.example/up?x=1"}))
    registry.fail("POST", "", replies(202, headers={"Location": "https://storage.example/up?x=1"}))
    registry.fail("PUT", "", replies(201))

    client = registry.open()
    client.ping()
    client.put_blob(describe(SMALL), opener(SMALL))

    assert registry.asked[-1].host == "storage.example"
    assert registry.asked[-1].authorization == ""
    assert registry.asked[-1].path.startswith("/up?x=1&digest=sha256%3A")


def test_memory_does_not_grow_with_the_blob() -> None:
    """Pieces of the source go through one at a time; what was sent is not kept."""
    registry, alive = DictRegistry(), []

    class Piece(bytes):
        """Bytes that are counted while they live."""

        def __del__(self) -> None:
            alive.append(-1)

    blob = describe(LARGE)

    @contextlib.contextmanager
    def opened() -> Iterator[Iterator[bytes]]:
        yield iter(pieces())

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(LARGE), 65536):
            alive.append(1)
            assert sum(alive) < 5
            yield Piece(LARGE[at : at + 65536])

    tail = upload._Tail(pieces(), 100_000)
    size = sum(len(piece) for piece in tail.take(len(LARGE) - 100_000))
    tail.finish()

    assert size == blob.size - 100_000
    assert registry.asked == []
