"""Evidence: what remains of an image's referrers once every one was checked. Pure: bytes and keys in.

A bundle becomes evidence in these steps, and a fault at the first one that fails:

    (1) the bytes are a bundle with one DSSE envelope of the right payload type;
    (2) the key that it names is one of those that are trusted, and may be used here;
    (3) the signature over the pre-authentication encoding verifies; nothing of the payload is read before;
    (4) the payload is an in-toto statement without a key that stands twice;
    (5) one of the statement's subjects is the image;
    (6) the predicate type is the one under which the referrer is listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lockgate.base.errors import KeyRefused, SignatureInvalid, TrustError, UsageError
from lockgate.oci.digest import Digest
from lockgate.sign import bundle, dsse, statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.sign.public_key import PublicKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """A statement about the image that a trusted key has signed."""

    predicate_type: str
    predicate: dict[str, Any]
    key: PublicKey
    digest: str
    """Digest of the statement's bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A referrer that is no evidence, and why."""

    predicate_type: str
    """As the referrer is listed; what it really holds may be unknown."""
    error: TrustError


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """Everything that is known of an image when its requirements are checked."""

    subject: str
    """Digest of the image."""
    evidence: tuple[Evidence, ...]
    faults: tuple[Fault, ...]
    now: int
    """Seconds since 1970."""

    def of(self, predicate_type: str) -> tuple[Evidence, ...]:
        """Return the evidence of one type."""
        return tuple(one for one in self.evidence if one.predicate_type == predicate_type)

    def fault(self, predicate_type: str) -> TrustError | None:
        """Return why a referrer of this type is no evidence, when there is one."""
        return next(
            (one.error for one in self.faults if one.predicate_type == predicate_type), None
        )


def examine(
    data: bytes,
    *,
    subject: str,
    listed_as: str,
    keys: Sequence[PublicKey],
    development_key_allowed: bool,
) -> Evidence:
    """Return what a bundle proves.

    Args:
        data: the bundle's bytes.
        subject: digest of the image.
        listed_as: predicate type under which the referrer is listed.
        keys: keys that are trusted.
        development_key_allowed: whether a development key is taken.

    Raises:
        SignatureInvalid: steps 1, 3, 4 or 6 fail, or the key is not one of `keys`.
        KeyRefused: the key may not be used here.
        SubjectMismatch: the statement is about another image.
    """
    held = bundle.parse(data)  # (1)
    key = _trusted(held.hint, keys)  # (2)
    if key.development and not development_key_allowed:
        raise KeyRefused(
            f"signed with the development key {key.short}, which is not taken here",
            hint="sign with the environment's own key",
        )
    key.verify(held.signature, dsse.pae(held.payload))  # (3)
    try:
        found = statement.parse(held.payload)  # (4)
    except UsageError as error:
        raise SignatureInvalid(error.message, hint="sign again: `inv sign`") from None
    statement.check_subject(found, subject)  # (5)
    if found.predicate_type != listed_as:  # (6)
        raise SignatureInvalid(
            f"a referrer is listed as {listed_as!r} and holds {found.predicate_type!r}",
            hint="sign again: `inv sign`",
        )
    return Evidence(
        predicate_type=found.predicate_type,
        predicate=found.predicate,
        key=key,
        digest=Digest.of(held.payload),
    )


def _trusted(hint: str, keys: Sequence[PublicKey]) -> PublicKey:
    for key in keys:
        if key.hint == hint:
            return key
    known = ", ".join(f"{key.short} ({key.name})" for key in keys)
    raise SignatureInvalid(
        f"signed with a key that is not trusted here; trusted: {known}",
        hint="sign with a trusted key, or add its public half to `public_keys`",
    )
