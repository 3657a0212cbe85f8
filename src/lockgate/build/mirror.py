"""Bytes from a package mirror over `https:`, `http:` or `file:`, with bounded retries and sizes.

TLS certificates are verified. SSL_CERT_FILE, SSL_CERT_DIR and the usual proxy variables count.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from lockgate.base.errors import DigestMismatch, MirrorError, RemoteError
from lockgate.base.files import storage_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    import httpx2

T = TypeVar("T")

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before the second attempt, the third, and so on."""
PARTIAL = ".partial-"
"""How the names of files begin that are not whole yet."""

_PIECE = 1 << 18
_CONNECT, _READ = 10.0, 30.0
"""Seconds to reach a mirror, and to wait for its next bytes."""
_HINT = "check `build.mirror` and `build.security_mirror` in `lockgate.yaml`, or the apt sources"


class Mirror:
    """A connection to any number of mirrors. Several threads may use it at once."""

    def __init__(
        self,
        *,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = transport
        self._sleep = sleep
        self._client: httpx2.Client | None = None

    def __enter__(self) -> Self:
        import httpx2

        try:
            self._client = httpx2.Client(
                transport=self._transport,
                timeout=httpx2.Timeout(_READ, connect=_CONNECT),
                follow_redirects=True,
                headers={"Accept-Encoding": "identity", "User-Agent": "lockgate"},
            )
        except (OSError, ValueError, httpx2.InvalidURL) as error:
            raise MirrorError(
                f"no connection can be prepared: {error}",
                hint="check SSL_CERT_FILE, SSL_CERT_DIR and the proxy variables",
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client is not None:
            self._client.close()

    def read(self, address: str, *, limit: int) -> bytes | None:
        """Return a file of at most `limit` bytes, or None when the mirror does not have it.

        Raises:
            MirrorError: the mirror cannot be reached, fails, or sends more.
        """

        def attempt() -> bytes | None:
            with self._open(address) as pieces:
                if pieces is None:
                    return None
                found = bytearray()
                for piece in pieces:
                    found += piece
                    if len(found) > limit:
                        raise MirrorError(f"{address} is larger than {limit} bytes", hint=_HINT)
                return bytes(found)

        return self._patiently(attempt)

    def save(
        self,
        address: str,
        path: Path,
        *,
        size: int,
        sha256: str,
        what: str,
        tell: Callable[[int], None],
    ) -> bool:
        """Store a file of known size and digest under `path`; return False when the mirror has it not.

        The file appears under its name only when it is whole and its digest is right.

        Args:
            address: where it is.
            path: where it goes; its folder exists.
            size: its length in bytes.
            sha256: its hexadecimal digest.
            what: how to name it in an error.
            tell: called with the number of bytes that came; negative when an attempt is given up.

        Raises:
            DigestMismatch: the mirror sends something else.
            MirrorError: the mirror cannot be reached, fails, or ends early every time.
            StorageError: the disk is full.
        """

        def attempt() -> bool:
            with self._open(address) as pieces:
                if pieces is None:
                    return False
                _store(pieces, path, size=size, sha256=sha256, what=what, tell=tell)
                return True

        return self._patiently(attempt)

    def _patiently(self, attempt: Callable[[], T]) -> T:
        for pause in PAUSES:
            try:
                return attempt()
            except RemoteError as error:
                if not error.retryable:
                    raise
                self._sleep(pause)
        return attempt()

    @contextlib.contextmanager
    def _open(self, address: str) -> Iterator[Iterator[bytes] | None]:
        if address.startswith("file:"):
            with _open_file(address) as pieces:
                yield pieces
            return
        import httpx2

        assert self._client is not None, "a Mirror is used inside `with`"  # noqa: S101
        try:
            with self._client.stream("GET", address) as response:
                if response.status_code in (404, 410):
                    yield None
                    return
                if response.status_code != 200:
                    raise MirrorError(
                        f"{address} answered {response.status_code} {response.reason_phrase}",
                        hint=_HINT,
                        retryable=response.status_code >= 500 or response.status_code == 429,
                    )
                yield response.iter_raw(_PIECE)
        except httpx2.TimeoutException:
            raise MirrorError(
                f"{address} did not answer in time", hint=_HINT, retryable=True
            ) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            text = str(error) or type(error).__name__
            untrusted = "CERTIFICATE_VERIFY_FAILED" in text
            passing = (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ProxyError)
            raise MirrorError(
                f"{address} cannot be reached: {text}",
                hint="let SSL_CERT_FILE name the certificates of your proxy"
                if untrusted
                else _HINT,
                retryable=isinstance(error, passing) and not untrusted,
            ) from None


@contextlib.contextmanager
def _open_file(address: str) -> Iterator[Iterator[bytes] | None]:
    path = Path(unquote(urlsplit(address).path))
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    except OSError as error:
        raise MirrorError(f"{path} cannot be read: {error.strerror}", hint=_HINT) from None
    with file:
        yield iter(lambda: file.read(_PIECE), b"")


def _store(
    pieces: Iterator[bytes],
    path: Path,
    *,
    size: int,
    sha256: str,
    what: str,
    tell: Callable[[int], None],
) -> None:
    found, length = hashlib.sha256(), 0
    name = ""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            for piece in pieces:
                length += len(piece)
                if length > size:
                    raise _changed(what, f"is longer than {size} bytes")
                found.update(piece)
                file.write(piece)
                tell(len(piece))
        if length < size:
            raise MirrorError(
                f"{what} ended after {length} of {size} bytes", hint=_HINT, retryable=True
            )
        if found.hexdigest() != sha256:
            raise _changed(what, f"has sha256 {found.hexdigest()} and should have {sha256}")
        os.replace(name, path)
        name = ""
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        if name:
            tell(-length)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


def _changed(what: str, how: str) -> DigestMismatch:
    return DigestMismatch(
        f"{what} as the mirror sends it {how}: it was changed or damaged on the way",
        hint="another mirror may help: set `build.mirror` in `lockgate.yaml`",
    )
