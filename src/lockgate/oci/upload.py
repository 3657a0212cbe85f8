"""Upload of one blob (distribution specification 1.1, "Pushing blobs"), streamed and resumed.

(1) a session is opened; with a repository that may hold the blob it may be mounted, and all is done;
(2) small blobs go with the closing PUT, others in PATCHes before it;
(3) after a broken connection the registry is asked how far it came, and the rest is sent; asked once more,
    when it had not put away all that had reached it. Whether the answer to the closing PUT was lost shows in
    that the blob is there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from lockgate.base.errors import RegistryError
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lockgate.oci.faults import Answer
    from lockgate.oci.manifest import Descriptor
    from lockgate.oci.store import Opener
    from lockgate.oci.transport import Transport

SMALL = 1 << 20
"""Bytes up to which a blob is sent in one request and held in memory."""

CHUNK = 256 << 20
"""Bytes of one PATCH at most. Most blobs fit in one, which every registry takes; what is larger is cut, since
proxies in front of registries limit a request."""

_BINARY = "application/octet-stream"
_NUMBER = re.compile(r"[0-9]{1,18}")
"""Bytes, as far as there can be so many; Python itself reads no number of more than 4300 digits."""
_STEP = 8 << 20
"""Bytes that must have arrived since the last failure for the attempts to be counted anew."""


class Upload:
    """One blob on its way to one repository."""

    def __init__(
        self, transport: Transport, descriptor: Descriptor, opener: Opener, *, mount_from: str = ""
    ) -> None:
        self._transport, self._descriptor, self._opener = transport, descriptor, opener
        self._mount_from = mount_from
        self._address = transport.endpoint.address
        self._what = f"blob {Digest(descriptor.digest).short}"
        self._session = ""
        """Address of the open session; empty when there is none."""
        self._offset = 0
        """Bytes that the registry has in it."""
        self._chunk = CHUNK

    def run(self) -> None:
        """Upload the blob.

        Raises:
            RegistryError: it did not arrive, with all attempts.
            DigestMismatch: the source, or the registry, has other bytes.
        """
        failures, reached, doubted = 0, 0, False
        while True:
            try:
                self._try()
            except RegistryError as error:
                if self._session and error.status in (404, 416):
                    error.retryable = True
                    # The registry counts differently (416). Where it was still writing what came before a
                    # break, it says so no more when asked again; else, or when the session is gone: from
                    # the beginning.
                    doubted = error.status == 416 and not doubted
                    if not doubted:
                        self._session = ""
                failures = 1 if self._offset >= reached + _STEP else failures + 1
                reached = self._offset
                self._transport.pause(error, failures)
                if not self._transport.patiently(self._arrived):
                    continue
            return

    def _try(self) -> None:
        """Do what is left."""
        if self._session and self._descriptor.size <= SMALL:
            # It may hold a part of the blob by now, and another session costs no more than a question.
            self._session = ""
        if self._session:
            self._ask()
        if not self._session and self._begin():
            return
        with self._opener() as pieces:
            if self._descriptor.size <= SMALL:
                self._close(b"".join(pieces))
                return
            self._send(_Tail(pieces, self._offset))
        self._close(b"")

    def _begin(self) -> bool:
        """Open a session, or mount; True when the blob is there."""
        query = ""
        if self._mount_from:
            origin = quote(self._mount_from, safe="")
            query = f"?mount={quote(self._descriptor.digest, safe='')}&from={origin}"
        answer = self._request("POST", f"{self._address}/blobs/uploads/{query}", accept=(201, 202))
        if answer.status == 201 and self._mount_from:
            return True
        self._follow(answer)
        self._offset = 0
        least = answer.headers.get("oci-chunk-min-length", "")
        self._chunk = max(CHUNK, int(least)) if _NUMBER.fullmatch(least) else CHUNK
        return False

    def _ask(self) -> None:
        """Ask how far the session is: `Range: 0-<last byte>`. Not every registry can say it."""
        answer = self._request("GET", self._session, accept=(204, 400, 404, 405, 416, 501))
        match = re.fullmatch(r"(?:bytes=)?0-([0-9]{1,18})", answer.headers.get("range", ""))
        last = int(match[1]) if match else 0
        if answer.status == 204 and 0 < last < self._descriptor.size:
            self._follow(answer)
            self._offset = last + 1
        else:
            # `0-0` is written for one byte and for none, so nothing is certain.
            self._session = ""

    def _send(self, tail: _Tail) -> None:
        """Send the rest in as many PATCHes as it takes."""
        size = self._descriptor.size
        while self._offset < size:
            length = min(self._chunk, size - self._offset)
            headers = {"Content-Type": _BINARY, "Content-Length": str(length)}
            if length < size:
                # A whole blob goes without, as docker sends it.
                headers["Content-Range"] = f"{self._offset}-{self._offset + length - 1}"
            answer = self._request(
                "PATCH",
                self._session,
                headers=headers,
                body=tail.take(length),
                accept=(201, 202, 204),
            )
            self._follow(answer)
            self._offset += length
        tail.finish()

    def _close(self, content: bytes) -> None:
        joint = "&" if "?" in self._session else "?"
        digest = quote(self._descriptor.digest, safe="")
        self._request(
            "PUT",
            f"{self._session}{joint}digest={digest}",
            headers={"Content-Type": _BINARY, "Content-Length": str(len(content))},
            body=content,
            accept=(201, 202, 204),
        )

    def _arrived(self) -> bool:
        answer = self._request(
            "HEAD", f"{self._address}/blobs/{self._descriptor.digest}", accept=(200, 404)
        )
        return answer.status == 200

    def _request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] = b"",
        accept: tuple[int, ...],
    ) -> Answer:
        return self._transport.request(
            method, url, self._what, headers=headers, body=body, accept=accept
        )

    def _follow(self, answer: Answer) -> None:
        """Note where the session goes on: every answer may name another address."""
        location = answer.headers.get("location", "")
        if location:
            self._session = location
        elif not self._session:
            raise RegistryError(
                f"{self._transport.endpoint.name} takes an upload and does not say where to send it",
                hint="check that the address is that of a registry",
            )


class _Tail:
    """The end of a blob, after what the registry has already; its beginning is read and hashed too."""

    def __init__(self, pieces: Iterator[bytes], skip: int) -> None:
        self._pieces = pieces
        self._rest = b""
        for _ in self.take(skip):
            pass

    def take(self, length: int) -> Iterator[bytes]:
        """Yield the next `length` bytes."""
        while length:
            # A source that ends early raises, and so never runs out here.
            piece = self._rest or next(self._pieces)
            if len(piece) > length:
                piece, self._rest = piece[:length], piece[length:]
            else:
                self._rest = b""
            length -= len(piece)
            yield piece

    def finish(self) -> None:
        """Let the source check what was read.

        Raises:
            DigestMismatch: it was not what it should be.
        """
        for _ in self._pieces:
            pass
