"""DER (ITU-T X.690, chapter 10), as far as timestamps and certificates need it: definite, minimal, strict."""

from __future__ import annotations

from typing import NamedTuple

from lockgate.base.errors import SignatureInvalid

INTEGER, OCTETS, OID, UTF8, TIME = 0x02, 0x04, 0x06, 0x0C, 0x18
SEQUENCE, SET = 0x30, 0x31

_LONGEST = 4
"""Bytes of a length; nothing here is larger than some kilobytes."""

MAX_BYTES = 256 * 1024
"""Largest element that is read; a timestamp with all its certificates has some kilobytes."""

_MAX_OID = 64
"""Most bytes of an object identifier; those in use have about ten."""


class Value(NamedTuple):
    """One element."""

    tag: int
    body: bytes
    raw: bytes
    """Tag, length and body."""

    def children(self) -> list[Value]:
        """Return the elements inside.

        Raises:
            SignatureInvalid: the body is not a row of elements.
        """
        found, at = [], 0
        while at < len(self.body):
            one = _read(self.body, at)
            at += len(one.raw)
            found.append(one)
        return found

    def expect(self, tag: int) -> Value:
        """Return the element itself when it is of this kind.

        Raises:
            SignatureInvalid: it is of another.
        """
        if self.tag != tag:
            raise damaged(f"an element of kind {self.tag:#x} stands where {tag:#x} is needed")
        return self


def read(data: bytes) -> Value:
    """Return the one element that `data` is.

    Raises:
        SignatureInvalid: it is none, is too long, or something follows.
    """
    if len(data) > MAX_BYTES:
        raise damaged(f"it has more than {MAX_BYTES} bytes")
    found = _read(data, 0)
    if len(found.raw) != len(data):
        raise damaged("bytes follow behind the end")
    return found


def number(value: Value) -> int:
    """Return an INTEGER."""
    value.expect(INTEGER)
    if not value.body:
        raise damaged("a number has no digit")
    return int.from_bytes(value.body, "big", signed=True)


def oid(value: Value) -> str:
    """Return an OBJECT IDENTIFIER in its dotted form (X.690, 8.19)."""
    parts: list[int] = []
    current = 0
    if len(value.expect(OID).body) > _MAX_OID:
        raise damaged("an object identifier is too long")
    for byte in value.body:
        current = current << 7 | byte & 0x7F
        if not byte & 0x80:
            parts.append(current)
            current = 0
    if not parts or value.body[-1] & 0x80:
        raise damaged("an object identifier is cut off")
    first = min(parts[0] // 40, 2)
    return ".".join(str(one) for one in (first, parts[0] - 40 * first, *parts[1:]))


def _read(data: bytes, at: int) -> Value:
    """Return the element that begins at an offset."""
    if len(data) < at + 2 or data[at] & 0x1F == 0x1F:
        raise damaged("an element has no head, or one that is not used here")
    size, start = data[at + 1], at + 2
    if size & 0x80:
        many = size & 0x7F
        start += many
        if not 1 <= many <= _LONGEST or len(data) < start:
            raise damaged("a length is not definite, or not possible")
        size = int.from_bytes(data[at + 2 : start], "big")
        if size < 0x80 or size >> 8 * (many - 1) == 0:
            raise damaged("a length is not written in its shortest form")
    end = start + size
    if len(data) < end:
        raise damaged("an element is cut off")
    return Value(data[at], data[start:end], data[at:end])


def damaged(what: str) -> SignatureInvalid:
    """Return the error for bytes that are not DER of the expected form."""
    return SignatureInvalid(
        f"a timestamp or certificate cannot be read: {what}",
        hint="sign again, or get the bundle again",
    )
