"""Uploads: in order, resumable, and never a blob under a digest that its bytes do not have."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lockgate.oci import server_uploads
from lockgate.oci.layout import Layout
from lockgate.oci.server_routes import Rules
from lockgate.oci.server_uploads import ABANDONED, sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

    from tests.unit.oci.server.conftest import Broken, Client

DATA = bytes(range(256)) * 4


def test_a_whole_blob_in_one_request(client: Client) -> None:
    """POST with a digest: created, readable at its location, nothing left of the upload."""
    digest = client.digest(DATA)
    done = client("POST", f"/v2/a/b/blobs/uploads/?digest={digest}", DATA)
    assert done.status == 201
    assert done.headers["docker-content-digest"] == digest
    assert done.headers["location"] == f"/v2/a/b/blobs/{digest}"
    assert client("GET", done.headers["location"]).body == DATA
    assert uploads(client.layout.root) == []


def test_a_whole_blob_in_two_requests(client: Client) -> None:
    """POST for a place, PUT with all bytes."""
    place = client.start("a")
    done = client("PUT", f"{place}?digest={client.digest(DATA)}", DATA)
    assert done.status == 201
    assert client("GET", done.headers["location"]).body == DATA


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("last", [True, False])
def test_a_blob_in_chunks(client: Client, ranges: bool, last: bool) -> None:
    """PATCH each, with or without a range; the last may come with the PUT. Each answer says where it is."""
    place = client.start("a")
    cuts = [(0, 400), (400, 401), (401, 1024)]
    for start, end in cuts[:2] if last else cuts:
        done = client.chunk(place, DATA[start:end], f"{start}-{end - 1}" if ranges else "")
        assert (done.status, done.headers["range"]) == (202, f"0-{end - 1}")
        place = done.headers["location"]
    rest = DATA[401:] if last else b""
    span = {"Content-Range": "401-1023"} if ranges and last else None
    done = client("PUT", f"{place}?digest={client.digest(DATA)}", rest, span)
    assert done.status == 201
    assert client("GET", done.headers["location"]).body == DATA


def test_a_chunk_out_of_order_is_416_and_changes_nothing(client: Client) -> None:
    """Ahead, behind or again, by PATCH or PUT: refused, with the place where it goes on."""
    place = client.start("a")
    client.chunk(place, DATA[:100], "0-99")
    put = f"{place}?digest={client.digest(DATA)}"
    for method, target in (("PATCH", place), ("PUT", put)):
        for start in (0, 99, 101, 500):
            span = {"Content-Range": f"{start}-{start + 9}"}
            done = client(method, target, b"x" * 10, span)
            assert (done.status, done.code) == (416, "BLOB_UPLOAD_INVALID")
            assert (done.headers["range"], done.headers["location"]) == ("0-99", place)
    assert client("PUT", put, DATA[100:], {"Content-Range": "100-1023"}).status == 201


def test_the_status_of_an_upload(client: Client) -> None:
    """204 with range and place; one without a byte has the range that clients know for it."""
    place = client.start("a")
    for sent in (b"", b"x", b"y" * 9):
        client("PATCH", place, sent)
        done = client("GET", place)
        assert (done.status, done.headers["location"]) == (204, place)
    assert done.headers["range"] == "0-9"
    assert client("GET", client.start("a")).headers["range"] == "0-0"


def test_an_upload_is_resumed_after_a_restart(client: Client) -> None:
    """What came in is on disk; a new server goes on with it."""
    place = client.start("a")
    client("PATCH", place, DATA[:500])
    client.restart()
    assert client("GET", place).headers["range"] == "0-499"
    assert client("PUT", f"{place}?digest={client.digest(DATA)}", DATA[500:]).status == 201


def test_what_came_before_a_break_is_kept(
    client: Client, broken: Callable[[bytes], Broken]
) -> None:
    """The client went away in a chunk: it asks how far it came and sends the rest."""
    place = client.start("a")
    with pytest.raises(ConnectionError):
        client.chunk(place, broken(DATA[:300]), "0-1023")
    assert client("GET", place).headers["range"] == "0-299"
    done = client.chunk(place, DATA[300:], "300-1023")
    assert done.status == 202
    assert client("PUT", f"{place}?digest={client.digest(DATA)}").status == 201


def test_a_break_in_a_single_request_leaves_nothing(
    client: Client, broken: Callable[[bytes], Broken]
) -> None:
    """Nobody was told where to resume it."""
    target = f"/v2/a/blobs/uploads/?digest={client.digest(DATA)}"
    with pytest.raises(ConnectionError):
        client("POST", target, broken(DATA[:300]))
    assert uploads(client.layout.root) == []
    assert client.bytes_kept() == set()


@pytest.mark.parametrize("how", ["post", "put", "chunks"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_other_bytes_than_the_digest_s_are_refused(
    client: Client, how: str, algorithm: str
) -> None:
    """400 DIGEST_INVALID, no blob, and the upload is over."""
    digest, wrong = client.digest(DATA, algorithm), DATA[:-1] + b"x"
    if how == "post":
        done = client("POST", f"/v2/a/blobs/uploads/?digest={digest}", wrong)
    else:
        place = client.start("a")
        if how == "chunks":
            client("PATCH", place, wrong)
        rest = b"" if how == "chunks" else wrong
        done = client("PUT", f"{place}?digest={digest}", rest)
        assert client("GET", place).code == "BLOB_UPLOAD_UNKNOWN"
    assert (done.status, done.code) == (400, "DIGEST_INVALID")
    assert client("HEAD", f"/v2/a/blobs/{digest}").status == 404
    assert uploads(client.layout.root) == []
    assert client.bytes_kept() == set()


@pytest.mark.parametrize("digest", ["", "?digest=", "?digest=md5:abc", "?digest=sha256:xyz"])
def test_without_a_digest_an_upload_is_not_finished(client: Client, digest: str) -> None:
    """400; the upload goes on."""
    place = client.start("a")
    done = client("PUT", place + digest, DATA)
    assert (done.status, done.code) == (400, "DIGEST_INVALID")
    assert client("GET", place).status == 204


def test_a_chunk_that_is_not_as_long_as_its_range_is_undone(client: Client) -> None:
    """Sent without a length, shorter or longer than it says."""
    place = client.start("a")
    client("PATCH", place, b"abc")
    for sent in (b"d", b"d" * 9):
        done = client.chunk(place, sent, "3-5", length=None)
        assert (done.status, done.code) == (400, "SIZE_INVALID")
        assert client("GET", place).headers["range"] == "0-2"


def test_a_blob_that_is_too_large_is_413(client: Client, make: Callable[[Rules], Client]) -> None:
    """Known beforehand, or seen when it comes; what was there stays."""
    client = make(Rules(blob=100))
    place = client.start("a")
    client("PATCH", place, b"x" * 60)
    for length in (50, None):
        done = client("PATCH", place, b"x" * 50, length=length)
        assert (done.status, done.code) == (413, "SIZE_INVALID")
    assert client.chunk(place, b"x", "60-999", length=None).status == 413
    assert client("GET", place).headers["range"] == "0-59"
    assert client("PATCH", place, b"x" * 40).status == 202


def test_an_upload_is_cancelled(client: Client) -> None:
    """204, and it is unknown from then on, for every method."""
    place = client.start("a")
    client("PATCH", place, DATA)
    assert client("DELETE", place).status == 204
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        done = client(method, f"{place}?digest={client.digest(DATA)}", DATA)
        assert (done.status, done.code) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert uploads(client.layout.root) == []


def test_an_upload_belongs_to_its_repository(client: Client) -> None:
    """Another repository does not know it."""
    place = client.start("a").replace("/v2/a/", "/v2/b/")
    assert client("PATCH", place, DATA).code == "BLOB_UPLOAD_UNKNOWN"


@pytest.mark.parametrize("name", ["x", "..", "a" * 32 + "x", "%2e%2e%2f%2e%2e", "A" * 32])
def test_a_name_that_is_no_upload_s_leads_nowhere(client: Client, name: str) -> None:
    """It is never made a part of a path."""
    client.start("a")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        done = client(method, f"/v2/a/blobs/uploads/{name}?digest={client.digest(b'')}")
        assert done.status == 404


def test_an_upload_in_use_is_told_to_wait(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests at once would mix their bytes."""
    import fcntl

    monkeypatch.setattr("lockgate.oci.server_uploads.PATIENCE", 0.0)
    place = client.start("a")
    (path,) = uploads(client.layout.root)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = client("PATCH", place, b"x")
    assert (done.status, done.code) == (429, "TOOMANYREQUESTS")
    assert done.headers["retry-after"]
    assert client("PATCH", place, b"x").status == 202


def test_a_finished_upload_cannot_be_written_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that waited while another finished the upload does not append to the blob in the store."""
    place, digest = client.start("a"), client.digest(DATA)
    lock = server_uploads._lock

    def finish_first(file: FileIO) -> None:
        monkeypatch.setattr(server_uploads, "_lock", lock)
        assert client("PUT", f"{place}?digest={digest}", DATA).status == 201
        lock(file)

    monkeypatch.setattr(server_uploads, "_lock", finish_first)
    assert client("PATCH", place, b"more").code == "BLOB_UPLOAD_UNKNOWN"
    assert client.bytes_kept() == {digest}


def test_what_is_unknown_of_algorithms_is_refused(client: Client) -> None:
    """POST says which algorithm it will be: those two, no other."""
    for name, status in (("sha256", 202), ("sha512", 202), ("sha3", 400), ("", 400)):
        done = client("POST", f"/v2/a/blobs/uploads/?digest-algorithm={name}")
        assert done.status == status


def test_abandoned_uploads_are_removed(client: Client) -> None:
    """After a day without a byte, with the leftovers of killed writers; others stay."""
    place = client.start("a/b")
    old = client.start("a")
    root = client.layout.root
    (path,) = [one for one in uploads(root) if one.name in old]
    stray, fresh = root / "blobs/sha256/.partial-x", root / "blobs/sha256/.partial-y"
    for one in (stray, fresh):
        one.write_bytes(b"half")
    now = fresh.stat().st_mtime
    for one in (path, stray):
        os.utime(one, (now - ABANDONED - 60, now - ABANDONED - 60))
    assert sweep(root, now) == 2
    assert client("GET", old).status == 404
    assert client("GET", place).status == 204
    assert fresh.exists()
    assert not stray.exists()


REPOSITORIES = st.sampled_from(["a", "b"])
BYTES = st.binary(max_size=5)
WHICH = st.integers(0, 99)


class Pushing(RuleBasedStateMachine):
    """Any order of uploads, wrong digests, breaks, restarts, mounts and deletions, in two repositories."""

    clients: Callable[[Layout], Client]
    broken: Callable[[bytes], Broken]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.client = self.clients(Layout.create(Path(self.folder.name) / "s"))
        self.begun: list[tuple[str, bytearray]] = []
        """Places of uploads and what they got."""

    def teardown(self) -> None:
        """Remove the layout."""
        self.folder.cleanup()

    @rule(repository=REPOSITORIES)
    def start(self, repository: str) -> None:
        """Begin an upload."""
        self.begun.append((self.client.start(repository), bytearray()))

    @precondition(lambda self: self.begun)
    @rule(which=WHICH, at=st.integers(0, 8), data=st.binary(min_size=1, max_size=5))
    def chunk(self, which: int, at: int, data: bytes) -> None:
        """Send a chunk that says where it belongs, rightly or wrongly."""
        place, sent = self.begun[which % len(self.begun)]
        done = self.client.chunk(place, data, f"{at}-{at + len(data) - 1}")
        assert done.status == (202 if at == len(sent) else 416)
        sent += data if done.status == 202 else b""

    @precondition(lambda self: self.begun)
    @rule(which=WHICH, data=BYTES)
    def go_away(self, which: int, data: bytes) -> None:
        """Send a chunk and go away in the middle."""
        place, sent = self.begun[which % len(self.begun)]
        with pytest.raises(ConnectionError):
            self.client.chunk(place, self.broken(data))
        sent += data

    @precondition(lambda self: self.begun)
    @rule(
        which=WHICH,
        data=BYTES,
        honest=st.booleans(),
        algorithm=st.sampled_from(["sha256", "sha512"]),
    )
    def finish(self, which: int, data: bytes, honest: bool, algorithm: str) -> None:
        """End an upload with the right digest, or with that of other bytes."""
        place, sent = self.begun.pop(which % len(self.begun))
        whole = bytes(sent) + data
        digest = self.client.digest(whole if honest else whole + b"!", algorithm)
        done = self.client("PUT", f"{place}?digest={digest}", data)
        assert done.status == (201 if honest else 400)
        if honest:
            assert self.client("GET", done.headers["location"]).body == whole

    @rule(repository=REPOSITORIES, data=BYTES, honest=st.booleans())
    def at_once(self, repository: str, data: bytes, honest: bool) -> None:
        """Push a blob in one request."""
        digest = self.client.digest(data if honest else data + b"!")
        target = f"/v2/{repository}/blobs/uploads/?digest={digest}"
        assert self.client("POST", target, data).status == (201 if honest else 400)

    @precondition(lambda self: self.begun)
    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        """Forget an upload."""
        place, _ = self.begun.pop(which % len(self.begun))
        assert self.client("DELETE", place).status == 204

    @rule(data=BYTES)
    def mount(self, data: bytes) -> None:
        """Make a blob of `a` one of `b`."""
        digest = self.client.digest(data)
        there = self.client("HEAD", f"/v2/a/blobs/{digest}").status == 200
        done = self.client("POST", f"/v2/b/blobs/uploads/?mount={digest}&from=a")
        assert done.status == (201 if there else 202)

    @rule(repository=REPOSITORIES, data=BYTES)
    def delete(self, repository: str, data: bytes) -> None:
        """Delete a blob from one repository; the other keeps it."""
        digest, other = self.client.digest(data), "ba"["ab".index(repository)]
        before = self.client("HEAD", f"/v2/{other}/blobs/{digest}").status
        there = self.client("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200
        done = self.client("DELETE", f"/v2/{repository}/blobs/{digest}")
        assert done.status == (202 if there else 404)
        assert self.client("HEAD", f"/v2/{repository}/blobs/{digest}").status == 404
        assert self.client("HEAD", f"/v2/{other}/blobs/{digest}").status == before

    @rule()
    def restart(self) -> None:
        """Begin a new server."""
        self.client.restart()

    @invariant()
    def every_blob_is_what_it_is_called(self) -> None:
        """Whatever lies under a digest has it."""
        self.client.bytes_kept()


def test_no_interleaving_leaves_a_blob_with_other_bytes(
    clients: Callable[[Layout], Client], broken: Callable[[bytes], Broken]
) -> None:
    """After every step all that is called by a digest has it, and what was confirmed can be read."""
    Pushing.clients, Pushing.broken = staticmethod(clients), staticmethod(broken)
    run_state_machine_as_test(Pushing, settings=settings(max_examples=40, stateful_step_count=25))


KILLED = """\
import io, os, signal, sys
from pathlib import Path
from lockgate.oci import server_uploads
from lockgate.oci.layout import Layout
from lockgate.oci.server_protocol import ContentDigest, Request
from lockgate.oci.server_routes import Registry

os.fsync = lambda _: None  # a kill takes nothing from the disk's cache
root, data = Path(sys.argv[1]), bytes(range(256)) * 4096
digest = ContentDigest.of(data)
WATCHED = ("server_uploads.py", "server_changes.py", "server_blobs.py", "files.py")


def push(limit):
    # SIGKILL when so many lines of what writes were run.
    left = [limit]
    def trace(frame, event, _):
        if not frame.f_code.co_filename.endswith(WATCHED):
            return None
        if event == "line":
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    registry = Registry(Layout.open(root))
    sys.settrace(trace)
    target = f"/v2/a/blobs/uploads/?digest={digest}"
    return registry.answer(Request.of("POST", target, {}, io.BytesIO(data), len(data))).status


limit, killed = 0, 0
while True:
    Layout.create(root)
    child = os.fork()
    if not child:
        os._exit(0 if push(limit) == 201 else 1)
    _, status = os.waitpid(child, 0)
    for path in (root / "blobs").glob("*/*"):
        if ContentDigest.of(path.read_bytes()) != f"sha256:{path.name}":
            sys.exit(f"{path} after {limit} lines")
        path.unlink()
    if status == 0:
        break
    if status != signal.SIGKILL:
        sys.exit(f"status {status} after {limit} lines")
    limit, killed = limit + 1, killed + 1
print(killed)
"""


def test_a_kill_at_any_line_leaves_no_half_blob(tmp_path: Path) -> None:
    """A push of a megabyte, killed before each line of what writes it: whole under its digest, or not there."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


def uploads(root: Path) -> list[Path]:
    """Return the files of unfinished uploads."""
    return sorted(
        one
        for one in root.glob("repositories/**/_uploads/*")
        if re.fullmatch("[0-9a-f]+", one.name)
    )
