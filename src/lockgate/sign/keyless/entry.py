"""Entries: that what a log holds is this signature, by this certificate, over this content.

Without that, an entry of something else would vouch for the time of a signature that was made long after its
certificate ended (CVE-2022-36056).
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from lockgate.base.canonical import Foreign, decode
from lockgate.base.errors import UsageError
from lockgate.sign import dsse, pem
from lockgate.sign.keyless.material import refused
from lockgate.sign.statement import PAYLOAD_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.sign.keyless.material import Material

T = TypeVar("T", bound=Foreign)


class _Hash(Foreign, frozen=True):
    algorithm: str
    value: str


class _Body(Foreign, frozen=True, rename="camel"):
    api_version: str
    kind: str
    spec: dict[str, Any]


class _Content(Foreign, frozen=True):
    content: str


class _RekordSignature(Foreign, frozen=True, rename="camel"):
    content: str
    public_key: _Content


class _RekordData(Foreign, frozen=True):
    hash: _Hash


class _Rekord1(Foreign, frozen=True):
    """hashedrekord 0.0.1 (rekor, pkg/types/hashedrekord/v0.0.1)."""

    data: _RekordData
    signature: _RekordSignature


class _DsseSignature(Foreign, frozen=True):
    signature: str
    verifier: str


class _Dsse1(Foreign, frozen=True, rename="camel"):
    """dsse 0.0.1 (rekor, pkg/types/dsse/v0.0.1)."""

    payload_hash: _Hash
    signatures: tuple[_DsseSignature, ...]


class _IntotoSignature(Foreign, frozen=True, rename="camel"):
    public_key: str
    sig: str


class _IntotoEnvelope(Foreign, frozen=True, rename="camel"):
    payload_type: str
    signatures: tuple[_IntotoSignature, ...]


class _IntotoContent(Foreign, frozen=True, rename="camel"):
    envelope: _IntotoEnvelope
    payload_hash: _Hash


class _Intoto2(Foreign, frozen=True):
    """intoto 0.0.2 (rekor, pkg/types/intoto/v0.0.2)."""

    content: _IntotoContent


class _Raw(Foreign, frozen=True, rename="camel"):
    raw_bytes: str


class _Verifier(Foreign, frozen=True, rename="camel"):
    x509_certificate: _Raw


class _Signature2(Foreign, frozen=True):
    content: str
    verifier: _Verifier


class _Data2(Foreign, frozen=True):
    algorithm: str
    digest: str


class _Record2(Foreign, frozen=True):
    data: _Data2
    signature: _Signature2


class _Rekord2(Foreign, frozen=True):
    """hashedrekord 0.0.2 (rekor-tiles, api/proto/rekor/v2/hashedrekord.proto)."""

    record: _Record2 = msgspec.field(name="hashedRekordV002")


def check(material: Material, digest: bytes) -> None:
    """Return when the log entry of a bundle is about what is in the bundle.

    Args:
        material: the bundle.
        digest: the sha256 of the artifact that was signed; for an envelope it is not looked at.

    Raises:
        SignatureInvalid: it is about something else, or is of a kind that is not known.
    """
    entry = material.entry
    if entry is None:
        raise refused("a bundle does not hold a log entry")
    body = _read(entry.body, _Body)
    if f"{body.kind} {body.api_version}" != entry.kind:
        raise refused(f"a log entry is said to be {entry.kind!r} and is {body.kind!r}")
    checks: dict[str, Callable[[dict[str, Any], Material, bytes], bool]] = {
        "hashedrekord 0.0.1": _rekord1,
        "hashedrekord 0.0.2": _rekord2,
        "dsse 0.0.1": _dsse1,
        "intoto 0.0.2": _intoto2,
    }
    if entry.kind not in checks:
        raise refused(f"a log entry of kind {entry.kind!r} is not read here")
    if not checks[entry.kind](body.spec, material, digest):
        raise refused("a log entry is about something else than what is in the bundle")


def _rekord1(spec: dict[str, Any], material: Material, digest: bytes) -> bool:
    found = _convert(spec, _Rekord1)
    return (
        not material.payload
        and _is_hash(found.data.hash, digest)
        and _same(found.signature.content, material.signature)
        and _is_certificate(found.signature.public_key.content, material)
    )


def _rekord2(spec: dict[str, Any], material: Material, digest: bytes) -> bool:
    found = _convert(spec, _Rekord2).record
    # An envelope is in the log as the hash of what its signature is over.
    wanted = hashlib.sha256(dsse.pae(material.payload)).digest() if material.payload else digest
    return (
        found.data.algorithm == "SHA2_256"
        and _same(found.data.digest, wanted)
        and _same(found.signature.content, material.signature)
        and _same(found.signature.verifier.x509_certificate.raw_bytes, material.chain[0])
    )


def _dsse1(spec: dict[str, Any], material: Material, _: bytes) -> bool:
    found = _convert(spec, _Dsse1)
    return (
        bool(material.payload)
        and _is_hash(found.payload_hash, hashlib.sha256(material.payload).digest())
        and len(found.signatures) == 1
        and _same(found.signatures[0].signature, material.signature)
        and _is_certificate(found.signatures[0].verifier, material)
    )


def _intoto2(spec: dict[str, Any], material: Material, _: bytes) -> bool:
    found = _convert(spec, _Intoto2).content
    envelope = found.envelope
    return (
        bool(material.payload)
        and envelope.payload_type == PAYLOAD_TYPE
        and _is_hash(found.payload_hash, hashlib.sha256(material.payload).digest())
        and len(envelope.signatures) == 1
        # This kind wraps base64 in base64.
        and _same(envelope.signatures[0].sig, base64.b64encode(material.signature))
        and _is_certificate(envelope.signatures[0].public_key, material)
    )


def _is_hash(found: _Hash, digest: bytes) -> bool:
    return (found.algorithm, found.value) == ("sha256", digest.hex())


def _is_certificate(text: str, material: Material) -> bool:
    """True when base64 of a PEM block is the signer's certificate."""
    found = pem.parse(dsse.unbase64(text), what="the certificate in a log entry")
    return (found.label, found.body) == ("CERTIFICATE", material.chain[0])


def _same(text: str, data: bytes) -> bool:
    return dsse.unbase64(text) == data


def _read(data: bytes, kind: type[T]) -> T:
    try:
        return decode(data, kind, what="log entry")
    except UsageError as error:
        raise refused(error.message) from None


def _convert(spec: dict[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(spec, kind)
    except msgspec.ValidationError as error:
        raise refused(f"a log entry is not valid: {error}") from None
