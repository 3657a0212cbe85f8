"""The lines of a request's head, how long its body is, and its bytes (RFC 9112 sections 5 to 7). Works on any stream.

Two readings of where a body ends are how one request is smuggled into another, so what is ambiguous is
refused and the connection is closed.
"""

from __future__ import annotations

import io
import re
import time
from typing import TYPE_CHECKING, Protocol

from lockgate.oci.server_protocol import refused

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from lockgate.oci.server_protocol import Body

PIECE = 256 * 1024
"""Bytes that are read at once; each has the whole patience for itself."""

_LINE = 1024
"""Bytes of the longest line around chunks."""

_FIELD = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*)?\r?\n")
"""A line of a head, or the empty one behind it (RFC 9112 section 5); a field that goes on in the next line is none."""

_CHUNK = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
"""The line before a chunk (RFC 9112 section 7.1). Unlike a line of the head, none around chunks may end without a CR:
a reader that looks for both would see the chunk begin elsewhere."""


class Source(Protocol):
    """A buffered stream: `io.BufferedReader`, `io.BytesIO`."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, fewer only at the end."""

    def readline(self, size: int, /) -> bytes:
        """Return a line with its end, or its first `size` bytes."""


class Patient(io.RawIOBase):
    """Reads a socket until a deadline, however many small pieces come before it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._deadline = 0.0

    def renew(self, seconds: float) -> None:
        """Be patient for so long from now on."""
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read what is there.

        Raises:
            TimeoutError: the deadline has come.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the client is too slow")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)  # type: ignore[arg-type] # as RawIOBase gives it


class Head:
    """The lines of a request's head, on their way to a reader that forgives too much.

    The standard library's is one for mail: a line that is no field ends the head for it, and what follows, the length
    of the body too, is not seen; a lone CR ends a line (RFC 9112 sections 2.2 and 5.1).
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.broken = False
        """True once a line was read that is no field."""

    def readline(self, size: int) -> bytes:
        """Return a line with its end, or its first `size` bytes."""
        line = self._source.readline(size)
        # One that is too long is refused by whoever reads it.
        self.broken |= len(line) < size and not _FIELD.fullmatch(line)
        return line


class Sized:
    """A body of a known number of bytes."""

    def __init__(self, source: Source, size: int, renew: Callable[[], None]) -> None:
        self._source, self.left, self._renew = source, size, renew

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes.

        Raises:
            ConnectionError: the client went away before the end.
            TimeoutError: the client was too slow.
        """
        want = min(size, PIECE, self.left)
        if not want:
            return b""
        self._renew()
        data = self._source.read(want)
        if not data:
            raise ConnectionError("the client went away in the middle of a body")
        self.left -= len(data)
        return data


class Chunked:
    """A body in chunks, each with its size before it."""

    def __init__(self, source: Source, renew: Callable[[], None]) -> None:
        self._source, self._renew = source, renew
        self._chunk: Sized | None = None
        self._ended = False

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; as `Sized.read`, also when the framing is broken."""
        if self._ended:
            return b""
        if self._chunk is None:
            self._chunk = self._next()
            if self._chunk is None:
                self._ended = True
                return b""
        data = self._chunk.read(size)
        if not self._chunk.left:
            self._chunk = None
            if self._line() != b"\r\n":
                raise ConnectionError("a chunk is longer than it says")
        return data

    def _next(self) -> Sized | None:
        match = _CHUNK.fullmatch(self._line())
        if match is None:
            raise ConnectionError("a chunk does not begin with its size")
        count = int(match[1], 16)
        if count:
            return Sized(self._source, count, self._renew)
        # Fields after the last chunk say nothing that is of use here.
        for _ in range(32):
            line = self._line()
            if line == b"\r\n":
                return None
            if line == b"\n" or not _FIELD.fullmatch(line):
                break
        raise ConnectionError("the body does not end")

    def _line(self) -> bytes:
        self._renew()
        line = self._source.readline(_LINE)
        if not line.endswith(b"\n"):
            raise ConnectionError("the client went away, or a line around a chunk is too long")
        return line


def body_of(
    lengths: Sequence[str], codings: Sequence[str], source: Source, renew: Callable[[], None]
) -> tuple[Body, int | None]:
    """Return the body that headers announce, and how many bytes it has, if they say.

    Args:
        lengths: every `Content-Length`.
        codings: every `Transfer-Encoding`.
        source: the connection, after the head of the request.
        renew: called before each piece, to be patient anew.

    Raises:
        Refused: 400: they do not agree; 501: another coding than `chunked`.
    """
    if codings:
        if lengths:
            raise refused(400, "SIZE_INVALID", "both a length and a transfer coding are given")
        if [one.strip().lower() for one in codings] != ["chunked"]:
            raise refused(501, "UNSUPPORTED", "only the transfer coding `chunked` is known")
        return Chunked(source, renew), None
    if len(set(lengths)) > 1 or not all(re.fullmatch(r"[0-9]{1,18}", one) for one in lengths):
        raise refused(400, "SIZE_INVALID", "Content-Length is not one number")
    size = int(lengths[0]) if lengths else 0
    return Sized(source, size, renew), size


def drained(body: Body, most: int) -> bool:
    """Read what is left of a body, but no more than `most` bytes; say whether that was all."""
    while most > 0:
        piece = body.read(most)
        if not piece:
            return True
        most -= len(piece)
    return False
