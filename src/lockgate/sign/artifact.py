"""Artifacts: a file that someone signed, or made a statement about, in a Sigstore bundle beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.canonical import Record
from lockgate.base.errors import SignatureInvalid, UsageError
from lockgate.oci.digest import Digest
from lockgate.sign import dsse, statement
from lockgate.sign.keyless import verify as keyless
from lockgate.sign.keyless.identity import Identity
from lockgate.sign.keyless.material import parse

if TYPE_CHECKING:
    from lockgate.sign.evidence import Trust
    from lockgate.sign.keyless.material import Material
    from lockgate.sign.public_key import PublicKey


class SignedFile(Record, frozen=True):
    """What `check` returns: a file, and who is proven to have signed it."""

    subject: str
    """Digest of the file."""
    signer: str
    """The key or the identity, as it is shown."""
    fingerprint: str
    """The sha256 of the key, or of issuer and subject, in hexadecimal."""
    issuer: str = ""
    """Who knows the identity; empty when a key has signed."""


def check(data: bytes, digest: str, trust: Trust) -> SignedFile:
    """Return the record of `verify_artifact`; arguments and errors are the same."""
    found = verify_artifact(data, digest, trust)
    return SignedFile(
        subject=digest,
        signer=found.label,
        fingerprint=found.fingerprint,
        issuer=found.issuer if isinstance(found, Identity) else "",
    )


def verify_artifact(data: bytes, digest: str, trust: Trust) -> PublicKey | Identity:
    """Return who signed a file.

    Args:
        data: the bundle's bytes, of any version and kind.
        digest: digest of the file, `sha256:…`.
        trust: the keys and identities that are trusted.

    Raises:
        SignatureInvalid: nobody who is trusted has signed it.
        KeyRefused: the key may not be used here.
        SubjectMismatch: the statement in the bundle is about something else.
    """
    held = parse(data)
    wanted = bytes.fromhex(Digest(digest).hex)
    if not held.chain:
        return _by_key(held, digest, wanted, trust)
    if trust.root is None or not trust.identities:
        raise SignatureInvalid(
            "signed by a certificate, and no identity is trusted here",
            hint="name the identities that may sign, and a trusted root",
        )
    if not held.payload:
        return keyless.verify_message(data, wanted, trust.root, trust.identities)
    found = keyless.verify_envelope(data, trust.root, trust.identities)
    _check_subject(found.payload, digest)
    return found.identity


def _by_key(held: Material, digest: str, wanted: bytes, trust: Trust) -> PublicKey:
    """Return the key that signed. What a log or a timestamp says adds nothing to a key that is trusted."""
    key = trust.named(held.hint)
    if held.payload:
        key.verify(held.signature, dsse.pae(held.payload))
        _check_subject(held.payload, digest)
        return key
    if held.digest not in (b"", wanted):
        raise SignatureInvalid("a bundle is of another file", hint="get the bundle of this file")
    key.verify_digest(held.signature, wanted)
    return key


def _check_subject(payload: bytes, digest: str) -> None:
    try:
        found = statement.parse(payload)
    except UsageError as error:
        raise SignatureInvalid(error.message, hint="get the bundle again") from None
    statement.find_subject(found, digest)
