"""Sigstore bundles of every kind, versions 0.1 to 0.3 (sigstore/protobuf-specs, sigstore_bundle.proto).

`lockgate.sign.bundle` reads the one kind that Lockgate writes, and reads no more of it than that needs.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lockgate.base.canonical import Record
from lockgate.base.errors import SignatureInvalid, UsageError
from lockgate.sign import dsse

_OLD = "application/vnd.dev.sigstore.bundle+json;version="
_CHAIN = (_OLD + "0.1", _OLD + "0.2")
"""Versions that hold a chain of certificates, the signer's first."""
_SINGLE = (_OLD + "0.3", "application/vnd.dev.sigstore.bundle.v0.3+json")
"""Versions that hold the signer's certificate alone."""

_MOST_TIMESTAMPS = 32

_NUMBER = re.compile("[0-9]{1,19}")
"""An int64 that is not negative has at most so many digits."""


class _Raw(Record, frozen=True, rename="camel"):
    raw_bytes: str


class _PublicKey(Record, frozen=True):
    hint: str


class _Chain(Record, frozen=True):
    certificates: tuple[_Raw, ...] = ()


class _LogId(Record, frozen=True, rename="camel"):
    key_id: str


class _Kind(Record, frozen=True):
    kind: str
    version: str


class _Promise(Record, frozen=True, rename="camel"):
    signed_entry_timestamp: str


class _Checkpoint(Record, frozen=True):
    envelope: str


class _Proof(Record, frozen=True, rename="camel"):
    root_hash: str
    tree_size: str | int
    checkpoint: _Checkpoint
    log_index: str | int = 0
    hashes: tuple[str, ...] = ()


class _Entry(Record, frozen=True, rename="camel"):
    log_id: _LogId
    kind_version: _Kind
    canonicalized_body: str
    log_index: str | int = 0
    integrated_time: str | int = 0
    inclusion_promise: _Promise | None = None
    inclusion_proof: _Proof | None = None


class _Timestamp(Record, frozen=True, rename="camel"):
    signed_timestamp: str


class _Timestamps(Record, frozen=True, rename="camel"):
    rfc3161_timestamps: tuple[_Timestamp, ...] = ()


class _Material(Record, frozen=True, rename="camel"):
    certificate: _Raw | None = None
    x509_certificate_chain: _Chain | None = None
    public_key: _PublicKey | None = None
    tlog_entries: tuple[_Entry, ...] = ()
    timestamp_verification_data: _Timestamps | None = None


class _Digest(Record, frozen=True):
    algorithm: str
    digest: str


class _Message(Record, frozen=True, rename="camel"):
    signature: str
    message_digest: _Digest | None = None


class _Bundle(Record, frozen=True, rename="camel"):
    media_type: str
    verification_material: _Material
    dsse_envelope: dsse.Envelope | None = None
    message_signature: _Message | None = None


class Proof(NamedTuple):
    """That an entry is in a log of a certain size."""

    position: int
    """Number of the entry in the tree, from 0 on."""
    size: int
    """Entries in the tree."""
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str
    """What the log says of its size and root, signed."""


class Entry(NamedTuple):
    """An entry of a log."""

    log_id: bytes
    kind: str
    """`hashedrekord 0.0.1`."""
    body: bytes
    position: int
    """Number of the entry in the log, over all its trees."""
    integrated: int
    """When the log took it, in seconds since 1970; 0 when it does not say."""
    promise: bytes
    """The log's signature over body, time and index; empty when there is none, and then no time counts."""
    proof: Proof


class Material(NamedTuple):
    """What a bundle holds. Nothing of it is verified."""

    chain: tuple[bytes, ...]
    """Certificates in DER, the signer's first; none where a key has signed."""
    hint: str
    """Which key has signed; empty where a certificate stands."""
    entry: Entry | None
    """The log entry; with a key there need not be one."""
    timestamps: tuple[bytes, ...]
    """Responses of timestamp authorities over the signature (RFC 3161)."""
    signature: bytes
    payload: bytes
    """The statement in a DSSE envelope; empty when an artifact itself was signed."""
    digest: bytes
    """The sha256 of the artifact, as the bundle has it, when it has one; a hint only."""


def parse(data: bytes) -> Material:
    """Read a bundle.

    Raises:
        SignatureInvalid: the bytes are not a bundle of a known version with one signature, a certificate or the name
            of a key, and at most one log entry with its proof. Unknown and repeated fields are refused.
    """
    try:
        found = dsse.read(data, _Bundle, what="bundle")
    except UsageError as error:
        raise refused(error.message) from None
    material = found.verification_material
    given = material.timestamp_verification_data
    stamps = (
        tuple(unbase64(one.signed_timestamp) for one in given.rfc3161_timestamps) if given else ()
    )
    if len(stamps) > _MOST_TIMESTAMPS or len(set(stamps)) < len(stamps):
        raise refused("a bundle has too many timestamps, or one twice")
    if len(material.tlog_entries) > 1:
        raise refused(f"a bundle has {len(material.tlog_entries)} log entries, and not one")
    payload, signature, digest = _content(found)
    return Material(
        chain=_certificates(found.media_type, material),
        hint=material.public_key.hint if material.public_key else "",
        entry=_entry(material.tlog_entries[0]) if material.tlog_entries else None,
        timestamps=stamps,
        signature=signature,
        payload=payload,
        digest=digest,
    )


def _content(found: _Bundle) -> tuple[bytes, bytes, bytes]:
    message = found.message_signature
    if (found.dsse_envelope is None) == (message is None):
        raise refused("a bundle does not hold one signature")
    if message is None:
        assert found.dsse_envelope is not None  # noqa: S101 - one of the two is there
        return *dsse.open_envelope(found.dsse_envelope), b""
    hint = message.message_digest
    if hint is not None and hint.algorithm != "SHA2_256":
        raise refused(f"a bundle's digest is of {hint.algorithm!r}")
    return b"", unbase64(message.signature), unbase64(hint.digest) if hint else b""


def _certificates(media_type: str, material: _Material) -> tuple[bytes, ...]:
    """Return the certificates, where a version has them; none where a key is named in their place."""
    if media_type not in (*_SINGLE, *_CHAIN):
        raise refused(f"a bundle is of type {media_type!r}")
    single, chain, key = (
        material.certificate,
        material.x509_certificate_chain,
        material.public_key,
    )
    if key is not None and key.hint and single is None and chain is None:
        return ()
    if media_type in _SINGLE and single is not None and chain is None and key is None:
        return (unbase64(single.raw_bytes),)
    if media_type in _CHAIN and single is None and chain is not None and key is None:
        found = tuple(unbase64(one.raw_bytes) for one in chain.certificates)
        if found:
            return found
    raise refused("a bundle does not name one key, or hold a certificate as its version has it")


def _entry(one: _Entry) -> Entry:
    proof = one.inclusion_proof
    if proof is None:
        raise refused("a log entry has no proof that it is in the log")
    return Entry(
        log_id=unbase64(one.log_id.key_id),
        kind=f"{one.kind_version.kind} {one.kind_version.version}",
        body=unbase64(one.canonicalized_body),
        position=_number(one.log_index),
        integrated=_number(one.integrated_time),
        promise=unbase64(one.inclusion_promise.signed_entry_timestamp)
        if one.inclusion_promise
        else b"",
        proof=Proof(
            position=_number(proof.log_index),
            size=_number(proof.tree_size),
            root=unbase64(proof.root_hash),
            hashes=tuple(unbase64(each) for each in proof.hashes),
            checkpoint=proof.checkpoint.envelope,
        ),
    )


def _number(value: str | int) -> int:
    """Return an int64 in protobuf's JSON form; nothing here can be negative."""
    text = str(value)
    if not _NUMBER.fullmatch(text) or int(text) >> 63:
        raise refused(f"a bundle has {text[:30]!r} where a number belongs")
    return int(text)


def unbase64(text: str) -> bytes:
    """Return the bytes of a field, which must not be empty."""
    return dsse.unbase64(text)


def refused(message: str) -> SignatureInvalid:
    """Return the error for a bundle that proves nothing."""
    return SignatureInvalid(message, hint="get the bundle again, or sign again")
