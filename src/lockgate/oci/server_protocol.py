"""Requests and responses of the registry as values, and how their headers are read. Pure.

OCI distribution specification 1.1 (spec.md), on HTTP semantics (RFC 9110). Whatever is wrong with a request
becomes a `Refused`, which holds the response and never leaves the server.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple, Protocol, Self
from urllib.parse import parse_qs, unquote, urlencode

from lockgate.base.canonical import encode
from lockgate.base.errors import DigestMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping

Code = Literal[
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
    "UNKNOWN",
]
"""spec.md, "Error Codes"; UNKNOWN is for what is the server's own fault (5xx), which has no code there."""

Header = tuple[str, str]

_DIGEST = re.compile(r"(?P<algorithm>sha256):[0-9a-f]{64}|(?P<other>sha512):[0-9a-f]{128}")


class ContentDigest(str):
    """A digest of one of the two registered algorithms, in its canonical form (descriptor.md#digests).

    Lockgate itself knows images by sha256 only (`oci.digest`). A registry is also sent sha512.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Check the form.

        Raises:
            Refused: 400 DIGEST_INVALID: another form, or an algorithm that is not registered.
        """
        if not _DIGEST.fullmatch(text):
            raise refused(400, "DIGEST_INVALID", f"{text[:160]!r} is not a sha256 or sha512 digest")
        return cls(text)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Self:
        """Return the digest of `data`."""
        return cls(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")

    def check(self, data: bytes) -> bytes:
        """Return `data` when it has this digest.

        Raises:
            DigestMismatch: it has another one.
        """
        if self.of(data, self.algorithm) != self:
            raise DigestMismatch(
                f"{self} has other bytes than its digest says", hint="remove it and push it again"
            )
        return data

    @property
    def algorithm(self) -> str:
        """`sha256` or `sha512`."""
        return self[:6]

    @property
    def hex(self) -> str:
        """The hexadecimal digits."""
        return self[7:]


class Body(Protocol):
    """The bytes of a request, as they come in."""

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end.

        Raises:
            ConnectionError: the client went away or broke the framing.
            TimeoutError: the client was too slow.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request after its head was read."""

    method: str
    path: str
    """Without the query, percent-decoded."""
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    """By name in lower case."""
    body: Body
    length: int | None = 0
    """Bytes of the body; None when it is sent in chunks and nobody knows."""

    @classmethod
    def of(
        cls, method: str, target: str, headers: Mapping[str, str], body: Body, length: int | None
    ) -> Self:
        """Make a request of its target (RFC 9112 section 3.2.1) and the rest.

        Raises:
            Refused: 400: more than 64 parameters.
        """
        path, _, query = target.partition("?")
        try:
            parameters = parse_qs(query, keep_blank_values=True, max_num_fields=64)
        except ValueError:
            raise refused(400, "UNSUPPORTED", "the address has too many parameters") from None
        return cls(
            method=method,
            path=unquote(path),
            query=parameters,
            headers={name.lower(): value.strip() for name, value in headers.items()},
            body=body,
            length=length,
        )

    def parameter(self, name: str) -> str | None:
        """Return the first value of a query parameter."""
        return self.query[name][0] if name in self.query else None


class Extent(NamedTuple):
    """A part of an open file."""

    file: BinaryIO
    start: int
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """What is sent back. The sender closes the extent's file."""

    status: int
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    extent: Extent | None = None
    """What is sent instead of `body`."""
    size: int | None = None
    """The `Content-Length` when it is not that of what is sent: of a HEAD."""
    done: str = field(default="", compare=False)
    """For the log: what was changed, `pushed team/app:1.4`; empty when nothing was."""

    @property
    def length(self) -> int:
        """The `Content-Length`."""
        if self.size is not None:
            return self.size
        return self.extent.size if self.extent else len(self.body)


class Refused(Exception):
    """A request that is answered with an error. Caught where requests are answered."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.body.decode())
        self.response = response


def refused(status: int, code: Code, message: str, *headers: Header) -> Refused:
    """Return the error with a body as spec.md, "Error Codes", asks for."""
    body = encode({"errors": [{"code": code, "message": message}]})
    return Refused(
        Response(status=status, headers=(("Content-Type", "application/json"), *headers), body=body)
    )


def as_json(value: object, *headers: Header, media_type: str = "application/json") -> Response:
    """Return 200 with a value as canonical JSON."""
    return Response(
        status=200, headers=(("Content-Type", media_type), *headers), body=encode(value)
    )


_BYTES = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")


def byte_range(headers: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """Return the first byte and the number of bytes that a GET asks for, or None for all.

    Several ranges at once, and a range on a condition, are answered with all (RFC 9110 section 14.2).

    Raises:
        Refused: 416: there are no such bytes.
    """
    match = _BYTES.fullmatch(headers.get("range", ""))
    if match is None or "if-range" in headers or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
    else:
        start, end = max(size - int(last), 0), size - 1
    if start > end:
        raise refused(
            416,
            "SIZE_INVALID",
            f"the blob has {size} bytes, {match[0]!r} are none of them",
            ("Content-Range", f"bytes */{size}"),
        )
    return start, end - start + 1


_CHUNK = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")


def chunk_range(request: Request) -> tuple[int, int] | None:
    """Return the first byte and the number of bytes of an uploaded chunk, or None when it does not say.

    Raises:
        Refused: 400: not of the form `first-last` (spec.md, "Pushing a blob in chunks"), or its length is
            another than the body's.
    """
    text = request.headers.get("content-range")
    if text is None:
        return None
    match = _CHUNK.fullmatch(text)
    if match is None or int(match[2]) < int(match[1]):
        raise refused(
            400, "BLOB_UPLOAD_INVALID", f"Content-Range {text[:64]!r} is not `first-last`"
        )
    start, count = int(match[1]), int(match[2]) - int(match[1]) + 1
    if request.length not in (None, count):
        raise refused(
            400, "SIZE_INVALID", f"the chunk is {request.length} bytes, its range {count}"
        )
    return start, count


def limit_of(request: Request) -> int | None:
    """Return how many entries of a list are wanted (`n`), or None for all.

    Raises:
        Refused: 400: not a number.
    """
    text = request.parameter("n")
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise refused(400, "UNSUPPORTED", f"n={text[:32]!r} is not a number of entries")
    return int(text)


def next_page(path: str, **query: str | int) -> Header:
    """Return the link to the rest of a list (RFC 8288)."""
    return ("Link", f'<{path}?{urlencode(query)}>; rel="next"')
