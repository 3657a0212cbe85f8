"""DSSE: what is signed, and the envelope around it (secure-systems-lab/dsse, protocol.md and envelope.md)."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

from lockgate.base.canonical import Record, decode
from lockgate.base.errors import SignatureInvalid, UsageError
from lockgate.sign.statement import PAYLOAD_TYPE

T = TypeVar("T")

MAX_PARTS = 10_000
"""Objects, lists and what stands in them. A bundle has some hundred, its statement is one text; sixty million bytes of
empty lists would take gigabytes of memory."""


class Signature(Record, frozen=True, omit_defaults=True):
    """One signature of an envelope."""

    sig: str
    """Base64."""
    keyid: str = ""
    """A hint, not authenticated; empty as cosign writes it."""


class Envelope(Record, frozen=True, rename="camel"):
    """envelope.md. Unknown fields are refused: a reader that knows them might see something else."""

    payload: str
    """Base64."""
    payload_type: str
    signatures: tuple[Signature, ...]


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return the bytes that are signed: the pre-authentication encoding of protocol.md.

    Lengths are in bytes. They stand in front so that type and payload cannot flow into each other.
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def build(payload: bytes, signature: bytes) -> Envelope:
    """Return the envelope around a signed in-toto statement."""
    return Envelope(
        payload=base64.b64encode(payload).decode(),
        payload_type=PAYLOAD_TYPE,
        signatures=(Signature(sig=base64.b64encode(signature).decode()),),
    )


def read(data: bytes, kind: type[T], *, what: str) -> T:
    """Read JSON that holds a signed statement, and that nobody has vouched for yet.

    Raises:
        UsageError: it is not of this kind, or has more parts than such a thing has.
    """
    if sum(data.count(one) for one in (b"[", b"{", b",")) > MAX_PARTS:
        raise UsageError(f"{what} has more than {MAX_PARTS} parts", hint="remove it")
    return decode(data, kind, what=what)


def parse(data: bytes) -> Envelope:
    """Read an envelope that stands alone, as a layer of an `.att` image does.

    Raises:
        SignatureInvalid: the bytes are not an envelope; unknown and repeated fields are refused.
    """
    try:
        return read(data, Envelope, what="envelope")
    except UsageError as error:
        raise SignatureInvalid(error.message, hint="sign again: `inv sign`") from None


def open_envelope(envelope: Envelope) -> tuple[bytes, bytes]:
    """Return payload and signature. Nothing is verified yet.

    Raises:
        SignatureInvalid: the payload is said to be something else than an in-toto statement, there is not
            exactly one signature, or base64 is not in its one canonical form.
    """
    if envelope.payload_type != PAYLOAD_TYPE:
        raise SignatureInvalid(
            f"an envelope says that its payload is {envelope.payload_type!r}, not {PAYLOAD_TYPE!r}",
            hint="only in-toto attestations are read here",
        )
    if len(envelope.signatures) != 1:
        raise SignatureInvalid(
            f"an envelope has {len(envelope.signatures)} signatures, and not one",
            hint="sign again: `inv sign`",
        )
    return unbase64(envelope.payload), unbase64(envelope.signatures[0].sig)


def unbase64(text: str) -> bytes:
    """Return the bytes that a payload's or a signature's text stands for.

    Raises:
        SignatureInvalid: it is empty, or not in its one canonical form.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    # Base64 can be written in more than one way (bits behind the end); only one of them is taken.
    if not data or base64.b64encode(data).decode() != text:
        raise SignatureInvalid(
            "the base64 of a payload or a signature is empty or damaged",
            hint="sign again: `inv sign`",
        )
    return data
