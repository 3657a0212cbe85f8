"""Downloads: continued where they broke off, never longer or shorter, never other bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.oci.dictregistry import DictRegistry
from tests.unit.oci.images import describe, noise
from tests.unit.oci.mishaps import broken, changed, cut, first, replies, status

from lockgate.base.errors import DigestMismatch, RegistryError
from lockgate.oci import download
from lockgate.oci.transport import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.oci.mishaps import Action, Serve

DATA = noise(100_000, "blob")
BLOB = describe(DATA)


def holding(*actions: Action) -> DictRegistry:
    """Return a registry with the blob, whose next answers go wrong."""
    registry = DictRegistry()
    registry["team/app"].blobs[BLOB.digest] = DATA
    for action in actions:
        registry.fail("GET", "/blobs/", action)
    return registry


def read(registry: DictRegistry) -> bytes:
    """Return the blob as a client reads it."""
    with registry.open().open(BLOB) as pieces:
        return b"".join(pieces)


def test_whole() -> None:
    """A blob arrives in one request."""
    registry = holding()

    assert read(registry) == DATA
    assert registry.count("GET") == 1


@pytest.mark.parametrize("at", [0, 1, 99_999])
def test_cut_off_is_continued(at: int) -> None:
    """After a break the rest is asked for, and only the rest."""
    registry, ranges = holding(cut(at)), []

    def note(request: httpx2.Request) -> None:
        ranges.append(request.headers.get("range"))

    registry.fail("GET", "/blobs/", first(note))

    assert read(registry) == DATA
    assert ranges == [f"bytes={at}-99999" if at else None]


def test_a_break_after_the_last_byte() -> None:
    """When everything came before the connection broke, nothing is left to ask for."""
    registry = holding(cut(100_000))

    assert read(registry) == DATA
    assert registry.count("GET") == 1


def test_a_lying_length_is_found_out() -> None:
    """An answer that ends early as if that were all is continued as well."""
    registry = holding(cut(70_000, silently=True))

    assert read(registry) == DATA


def test_a_registry_without_ranges() -> None:
    """A registry that sends everything again is read again; what is known of it is passed over."""
    registry = holding(cut(70_000), replies(200, DATA))

    assert read(registry) == DATA


def test_a_registry_that_refuses_ranges() -> None:
    """A registry that has a range and does not give it is asked for everything."""
    registry = holding(cut(70_000), status(416))

    assert read(registry) == DATA


def test_another_part_than_asked_for() -> None:
    """A part from elsewhere in the blob is not taken for the rest."""
    answer = replies(206, DATA[60_000:], {"Content-Range": "bytes 60000-99999/100000"})
    registry = holding(cut(70_000), answer)

    with pytest.raises(RegistryError, match="another part"):
        read(registry)


@given(st.lists(st.integers(min_value=0, max_value=30_000), max_size=ATTEMPTS - 1))
def test_breaks_anywhere(cuts: list[int]) -> None:
    """Wherever it breaks, and as often as attempts allow, the same bytes arrive."""
    assert read(holding(*[cut(at) for at in cuts])) == DATA


def test_breaks_without_end_end() -> None:
    """What always breaks off is given up after a number of attempts."""
    registry = holding()
    registry.fail("GET", "/blobs/", cut(0), times=100)

    with pytest.raises(RegistryError, match="cut off"):
        read(registry)
    assert registry.count("GET") == ATTEMPTS


def test_progress_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as enough comes between two breaks, there may be more of them than attempts."""
    monkeypatch.setattr(download, "_STEP", 1000)

    assert read(holding(*[cut(2000)] * 3 * ATTEMPTS)) == DATA


@pytest.mark.parametrize("trouble", [status(500), status(429, {"Retry-After": "1"}), broken()])
def test_trouble_that_passes(trouble: Action) -> None:
    """A busy or broken registry is asked again."""
    assert read(holding(trouble, trouble)) == DATA


@pytest.mark.parametrize(
    "lie",
    [changed, replies(200, DATA + b"?"), replies(200, bytes(100_000)), replies(200, b"?" + DATA)],
)
def test_other_bytes_are_refused(lie: Action) -> None:
    """A blob that is not what its digest says is an error of trust, and not tried again."""
    registry = holding(lie)

    with pytest.raises(DigestMismatch, match="other bytes"):
        read(registry)
    assert registry.count("GET") == 1


def test_a_blob_without_end_is_not_read_to_its_end() -> None:
    """A registry that sends more than the blob is cut short, however much it has."""
    registry, sent = holding(), []

    def endless(request: httpx2.Request, serve: Serve) -> httpx2.Response:
        def pieces() -> Iterator[bytes]:
            while True:
                sent.append(1)
                yield b"x" * 65536

        return httpx2.Response(200, content=pieces())

    registry.fail("GET", "/blobs/", endless)

    with pytest.raises(DigestMismatch):
        read(registry)
    assert len(sent) < 5


def test_not_there() -> None:
    """A blob that the registry does not have is named."""
    with pytest.raises(RegistryError, match=r"blob sha256:.* is not at registry\.example/team/app"):
        read(DictRegistry())


def test_a_reader_that_stops_ends_the_connection() -> None:
    """Who stops in the middle leaves no answer open."""
    registry, closed = holding(), []

    class Stream(httpx2.SyncByteStream):
        """A body that notes that it was closed."""

        def __iter__(self) -> Iterator[bytes]:
            yield DATA[:50_000]
            yield DATA[50_000:]

        def close(self) -> None:
            closed.append(True)

    registry.fail("GET", "/blobs/", lambda *_: httpx2.Response(200, stream=Stream()))
    with registry.open().open(BLOB) as pieces:
        next(pieces)

    assert closed
