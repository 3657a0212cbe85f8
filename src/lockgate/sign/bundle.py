"""Sigstore bundles, version 0.3 (sigstore/protobuf-specs, sigstore_bundle.proto), that hold a DSSE envelope.

One with a certificate in place of a key is only recognised here; `lockgate.sign.keyless` reads it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from lockgate.base.canonical import Record, encode
from lockgate.base.errors import SignatureInvalid, UsageError
from lockgate.sign import dsse

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class _PublicKey(Record, frozen=True):
    hint: str


class _Material(Record, frozen=True, rename="camel", omit_defaults=True):
    public_key: _PublicKey | None = None
    certificate: Any = None
    x509_certificate_chain: Any = None
    tlog_entries: Any = None
    timestamp_verification_data: Any = None


class _Bundle(Record, frozen=True, rename="camel", omit_defaults=True):
    media_type: str
    verification_material: _Material
    dsse_envelope: dsse.Envelope | None = None
    message_signature: Any = None


class Bundle(NamedTuple):
    """What a bundle holds. Nothing of it is verified."""

    payload: bytes
    """The statement's bytes."""
    signature: bytes
    hint: str
    """Which key signed, as `PublicKey.hint`; a hint only, not authenticated. Empty when a certificate stands in its
    place."""


def build(payload: bytes, signature: bytes, hint: str) -> bytes:
    """Return the canonical bytes of a bundle."""
    return encode(
        _Bundle(
            media_type=MEDIA_TYPE,
            verification_material=_Material(public_key=_PublicKey(hint=hint)),
            dsse_envelope=dsse.build(payload, signature),
        )
    )


def parse(data: bytes) -> Bundle:
    """Read a bundle.

    Raises:
        SignatureInvalid: the bytes are not a bundle of version 0.3 that holds a DSSE envelope, and names a key or
            holds a certificate. Unknown and repeated fields are refused, as protobuf's JSON mapping does.
    """
    try:
        found = dsse.read(data, _Bundle, what="bundle")
    except UsageError as error:
        raise _refused(error.message) from None
    if found.media_type != MEDIA_TYPE:
        raise _refused(f"a bundle is of type {found.media_type!r}")
    material = found.verification_material
    if (
        (material.public_key is None) == (material.certificate is None)
        or material.x509_certificate_chain is not None
        or (material.public_key is not None and not material.public_key.hint)
    ):
        raise _refused("a bundle does not name one key, or hold one certificate")
    if found.dsse_envelope is None or found.message_signature is not None:
        raise _refused("a bundle does not hold a DSSE envelope")
    payload, signature = dsse.open_envelope(found.dsse_envelope)
    hint = material.public_key.hint if material.public_key else ""
    if hint and found.dsse_envelope.signatures[0].keyid not in ("", hint):
        # sigstore_bundle.proto: the two hints must be the same.
        raise _refused("a bundle and its envelope name two keys")
    return Bundle(payload, signature, hint)


def _refused(message: str) -> SignatureInvalid:
    return SignatureInvalid(message, hint="remove it, and sign again: `inv sign`")
