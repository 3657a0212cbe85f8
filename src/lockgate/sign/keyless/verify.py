"""Verify a keyless bundle, offline, in the steps that Sigstore's client specification gives.

    (1) the bytes are a bundle with a certificate, one log entry with its proof, and one signature;
    (2) the entry is in a log that is trusted, and the log has signed for it;
    (3) there is a time: of every timestamp in the bundle, and of the log when it signed for one;
        each lies within the time in which its authority or log is trusted;
    (4) the certificate was valid at each of these times, and a trusted authority issued it, for signing code,
        and a trusted log of certificates has it;
    (5) it is for someone who is trusted;
    (6) the signature verifies with the certified key;
    (7) the entry is about this signature, this certificate and this content.

Nothing is fetched: what is trusted is in a trusted root, and everything else in the bundle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import SignatureInvalid
from lockgate.sign import dsse
from lockgate.sign.keyless import entry, log, timestamp
from lockgate.sign.keyless.certificate import Signer
from lockgate.sign.keyless.material import Material, parse, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.sign.keyless.identity import Identity
    from lockgate.sign.keyless.trusted_root import TrustedRoot
    from lockgate.sign.public_key import PublicKey


class Envelope(NamedTuple):
    """A statement that someone has signed."""

    payload: bytes
    signature: bytes
    identity: Identity


def verify_envelope(data: bytes, root: TrustedRoot, trusted: Sequence[Identity]) -> Envelope:
    """Return the statement in a bundle, and who signed it.

    Args:
        data: the bundle's bytes.
        root: the trust root of the instance that issued the certificate.
        trusted: who may have signed.

    Raises:
        SignatureInvalid: one of the steps fails.
    """
    material = parse(data)  # (1)
    if not material.payload:
        raise refused("a bundle does not hold a DSSE envelope")
    key, identity = _signer(material, root, trusted)  # (2) to (5)
    key.verify(material.signature, dsse.pae(material.payload))  # (6)
    entry.check(material, b"")  # (7)
    return Envelope(material.payload, material.signature, identity)


def verify_message(
    data: bytes, digest: bytes, root: TrustedRoot, trusted: Sequence[Identity]
) -> Identity:
    """Return who signed a file.

    Args:
        data: the bundle's bytes.
        digest: the sha256 of the file.
        root: the trust root of the instance that issued the certificate.
        trusted: who may have signed.

    Raises:
        SignatureInvalid: one of the steps fails, or the bundle is of another file.
    """
    material = parse(data)  # (1)
    if material.payload:
        raise refused("a bundle holds a statement, and not a signature of the file itself")
    if material.digest not in (b"", digest):
        raise refused("a bundle is of another file")
    key, identity = _signer(material, root, trusted)  # (2) to (5)
    key.verify_digest(material.signature, digest)  # (6)
    entry.check(material, digest)  # (7)
    return identity


def _signer(
    material: Material, root: TrustedRoot, trusted: Sequence[Identity]
) -> tuple[PublicKey, Identity]:
    if not material.chain or material.entry is None:  # (1)
        raise refused("a bundle does not hold a certificate and a log entry")
    found = log.check(material.entry, root)  # (2)
    times = [timestamp.check(one, material.signature, root) for one in material.timestamps]  # (3)
    taken = log.integrated(material.entry)
    if taken is not None:
        times.append(taken)
    if not times:
        raise refused("nobody who is trusted says when it was signed")
    if not all(found.period.covers(when) for when in times):
        raise refused("a log entry is of a time when its log was not trusted")
    signer = Signer(material.chain)
    signer.check(times, root)  # (4)
    return signer.key(), _known(signer.identity(), trusted)  # (5)


def _known(identity: Identity, trusted: Sequence[Identity]) -> Identity:
    for one in trusted:
        if one.same(identity):
            return one
    raise SignatureInvalid(
        f"signed by {identity.subject}, as {identity.issuer} has it, who is not trusted here",
        hint="sign as someone who is trusted, or add the identity to `identities`",
        stranger=identity.subject or SignatureInvalid.NOBODY,
    )
