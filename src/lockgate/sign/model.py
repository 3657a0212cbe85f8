"""Records of the sign floor."""

from __future__ import annotations

from lockgate.base.canonical import Record


class SignedStatement(Record, frozen=True):
    """One statement that is signed and stored."""

    predicate_type: str
    manifest: str
    """Digest of the referrer manifest that holds the bundle; empty when no bundle was asked for."""
    new: bool
    """False when the same key had signed the same bytes before, and every form of it was there."""
    layer: str = ""
    """Digest of the descriptor, annotations included, of the layer in the `.sig` or `.att` image; empty when the
    older form was not asked for."""


class Signed(Record, frozen=True):
    """What `attest` returns."""

    subject: str
    """Digest of the image index."""
    key: str
    """Fingerprint of the key: the sha256 of its DER form, in hexadecimal; of an identity that of
    `lockgate.sign.keyless.signer`."""
    development: bool
    """True when that is a development key."""
    statements: tuple[SignedStatement, ...]
    """The image signature and the attestations, in the order of `lockgate.sign.predicate.ORDER`."""
    identity: str = ""
    """Whom the certificate names; empty when a key has signed."""


class Result(Record, frozen=True):
    """Whether one requirement holds, and what says so."""

    name: str
    """`signature`, `sbom`, `vuln`, `provenance`, `summary`, or how the requirement is combined."""
    met: bool
    detail: str
    """What satisfied it, or why not."""
    error: str = ""
    """Name of the error of `lockgate.base.errors` that an unmet requirement is; empty when it is met."""


class Verification(Record, frozen=True):
    """What `verify` returns: for each requirement what satisfied it, or why it is not met."""

    subject: str
    """Digest of the image index."""
    name: str
    """Whose requirements these are: the environment."""
    met: bool
    """True when the image is to be trusted."""
    results: tuple[Result, ...]
    checked: int
    """When, in seconds since 1970."""
    unread: tuple[str, ...] = ()
    """Digests of layers that were not read: the manifests that name them were. Of a registry only, unless they were
    asked for; whoever uses such a layer hashes it then."""
    notes: tuple[str, ...] = ()
    """What was not looked at, and why; for people."""
    asked: str = ""
    """Digest of what the environment required, and by whose signature; empty when something else was asked for."""
