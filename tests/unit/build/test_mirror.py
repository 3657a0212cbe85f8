"""Bytes from a mirror; the transport is a function, no socket is opened."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

import httpx2
import pytest

from lockgate.base.errors import DigestMismatch, MirrorError, StorageError
from lockgate.build.mirror import PAUSES, Mirror

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ATTEMPTS = len(PAUSES) + 1
ADDRESS = "http://mirror.example/debian/pool/x.deb"
DATA = b"package" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


class Served:
    """Answers requests one after the other and counts them; an exception is raised."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.paused: list[float] = []

    def __call__(self, _: httpx2.Request) -> httpx2.Response:
        """Give the next answer."""
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def mirror(self) -> Mirror:
        """Return a mirror that asks this."""
        return Mirror(transport=httpx2.MockTransport(self), sleep=self.paused.append)


def ok(data: bytes = DATA) -> httpx2.Response:
    """Return a whole answer; as an iterator, since content given as bytes counts as read."""
    return httpx2.Response(200, content=iter([data]))


def test_read() -> None:
    """A file arrives as it is; compressed content is not unpacked on the way."""
    served = Served(
        httpx2.Response(200, content=iter([DATA]), headers={"Content-Encoding": "gzip"})
    )
    with served.mirror() as mirror:
        assert mirror.read(ADDRESS, limit=len(DATA)) == DATA


def test_absent() -> None:
    """A file that is not there is an answer, not an error, and is not asked for twice."""
    served = Served(httpx2.Response(404))
    with served.mirror() as mirror:
        assert mirror.read(ADDRESS, limit=10) is None
    assert served.paused == []


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [("SSL_CERT_FILE", "/dev/null", "SSL_CERT_FILE"), ("HTTPS_PROXY", "nonsense://x", "proxy")],
)
def test_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, named: str
) -> None:
    """Certificates or a proxy that cannot be used are an error that names the variables."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(MirrorError, match="no connection can be prepared") as caught, Mirror():
        pass
    assert named in caught.value.hint


@pytest.mark.parametrize(
    "failure",
    [
        httpx2.Response(503),
        httpx2.Response(429),
        httpx2.ReadTimeout("slow"),
        httpx2.ConnectError("refused"),
        httpx2.RemoteProtocolError("peer closed connection"),
    ],
    ids=str,
)
def test_tries_again(failure: httpx2.Response | Exception) -> None:
    """What may pass is tried again after a pause."""
    served = Served(failure, failure, ok())
    with served.mirror() as mirror:
        assert mirror.read(ADDRESS, limit=len(DATA)) == DATA
    assert served.paused == list(PAUSES[:2])


def test_gives_up() -> None:
    """The number of attempts is bounded, and the last error is told."""
    served = Served(*[httpx2.Response(503)] * (ATTEMPTS + 1))
    with served.mirror() as mirror, pytest.raises(MirrorError, match="answered 503") as caught:
        mirror.read(ADDRESS, limit=10)
    assert served.paused == list(PAUSES)
    assert len(served.answers) == 1
    assert caught.value.retryable
    assert caught.value.hint


@pytest.mark.parametrize(
    "failure",
    [
        httpx2.Response(403),
        httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"),
        httpx2.UnsupportedProtocol("no"),
    ],
    ids=str,
)
def test_does_not_try_again(failure: httpx2.Response | Exception) -> None:
    """What will not pass is told at once."""
    served = Served(failure)
    with served.mirror() as mirror, pytest.raises(MirrorError) as caught:
        mirror.read(ADDRESS, limit=10)
    if isinstance(failure, httpx2.ConnectError):
        assert "SSL_CERT_FILE" in caught.value.hint


def test_too_large() -> None:
    """More bytes than the limit are not taken in."""
    with Served(ok()).mirror() as mirror, pytest.raises(MirrorError, match="larger than 10 bytes"):
        mirror.read(ADDRESS, limit=10)


def test_every_error_of_the_library_is_translated() -> None:
    """No exception of the HTTP library passes through, whichever it is."""
    kinds = [
        kind
        for kind in vars(httpx2).values()
        if isinstance(kind, type)
        and issubclass(kind, (httpx2.RequestError, httpx2.InvalidURL))
        and kind not in (httpx2.RequestError, httpx2.TransportError)
    ]
    assert len(kinds) > 12
    for kind in kinds:
        served = Served(*[kind("reason") for _ in range(ATTEMPTS)])
        with served.mirror() as mirror, pytest.raises(MirrorError):
            mirror.read(ADDRESS, limit=10)


def save(mirror: Mirror, path: Path, tell: Callable[[int], object] = lambda _: None) -> bool:
    """Save DATA under a path."""

    def told(count: int) -> None:
        tell(count)

    return mirror.save(ADDRESS, path, size=len(DATA), sha256=SHA256, what="x 1.0", tell=told)


def test_save(tmp_path: Path) -> None:
    """A file appears under its name, readable by everyone, and every byte is told."""
    told: list[int] = []
    with Served(ok()).mirror() as mirror:
        assert save(mirror, tmp_path / "x", told.append)
    assert (tmp_path / "x").read_bytes() == DATA
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644
    assert sum(told) == len(DATA)


def test_save_absent(tmp_path: Path) -> None:
    """A file that is gone leaves nothing."""
    with Served(httpx2.Response(410)).mirror() as mirror:
        assert not save(mirror, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_truncated_once(tmp_path: Path) -> None:
    """A download that ends early is begun again, and its bytes are not counted twice."""
    told: list[int] = []
    with Served(ok(DATA[:-1]), ok()).mirror() as mirror:
        assert save(mirror, tmp_path / "x", told.append)
    assert (tmp_path / "x").read_bytes() == DATA
    assert sum(told) == len(DATA)


def broken() -> Iterator[bytes]:
    """Send a part, then lose the connection."""
    yield DATA[:100]
    raise httpx2.ReadError("connection reset")


def test_lost_connection(tmp_path: Path) -> None:
    """A connection that breaks in the middle is tried again."""
    with Served(httpx2.Response(200, content=broken()), ok()).mirror() as mirror:
        assert save(mirror, tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("data", [b"X" + DATA[1:], DATA + b"more"], ids=["changed", "longer"])
def test_wrong_bytes(tmp_path: Path, data: bytes) -> None:
    """Other bytes are refused by name, at once, and leave nothing."""
    with Served(ok(data)).mirror() as mirror, pytest.raises(DigestMismatch, match=r"x 1\.0"):
        save(mirror, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_always_truncated(tmp_path: Path) -> None:
    """A file that ends early every time is an error that says how much came."""
    served = Served(*[ok(DATA[:5]) for _ in range(ATTEMPTS)])
    with served.mirror() as mirror, pytest.raises(MirrorError, match="ended after 5 of 7000 bytes"):
        save(mirror, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is a StorageError and leaves nothing under the name or beside it."""

    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with Served(ok()).mirror() as mirror, pytest.raises(StorageError, match="disk is full"):
        save(mirror, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C in the middle leaves nothing under the name or beside it."""

    def interrupt(count: int) -> None:
        if count > 0:
            raise KeyboardInterrupt

    with Served(ok()).mirror() as mirror, pytest.raises(KeyboardInterrupt):
        save(mirror, tmp_path / "x", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_file_address(tmp_path: Path) -> None:
    """A folder is a mirror too; an escaped name in its address is understood."""
    (tmp_path / "a b+c").write_bytes(DATA)
    with Mirror() as mirror:
        assert mirror.read(f"file://{tmp_path}/a%20b+c", limit=len(DATA)) == DATA
        assert mirror.read(f"file://{tmp_path}/gone", limit=1) is None
        assert mirror.read(f"file://{tmp_path}/a%20b+c/below", limit=1) is None
        with pytest.raises(MirrorError, match="cannot be read"):
            mirror.read(f"file://{tmp_path}", limit=1)
