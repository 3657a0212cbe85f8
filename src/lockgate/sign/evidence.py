"""Evidence: what remains of what is stored beside an image once all of it was checked. Pure: bytes and keys in.

Three forms become evidence in the same steps, and a fault at the first one that fails:

    (1) the bytes have the form: a bundle with one DSSE envelope, an envelope alone, a simple signing payload;
        an envelope says that its payload is an in-toto statement;
    (2) a trusted key signed: in a bundle the one that is named, in the older forms, which name none, any;
        it may be used here; or someone who is trusted, whom a certificate names that a trusted root vouches for;
    (3) the signature verifies; nothing of the payload is read before;
    (4) the payload is an in-toto statement, or one of simple signing, without a key that stands twice;
    (5) one of its subjects is the image;
    (6) the predicate type is the one under which it is listed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lockgate.base.errors import KeyRefused, SignatureInvalid, TrustError, UsageError
from lockgate.oci.digest import Digest
from lockgate.sign import bundle, dsse, predicate, simplesigning, statement
from lockgate.sign.refusal import Refusal

if TYPE_CHECKING:
    from lockgate.sign.keyless.identity import Identity
    from lockgate.sign.keyless.trusted_root import TrustedRoot
    from lockgate.sign.public_key import PublicKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """A statement about the image that a trusted key has signed."""

    predicate_type: str
    predicate: dict[str, Any]
    key: PublicKey | Identity
    """Who signed: a key, or someone whom a certificate names."""
    digest: str
    """Digest of the signed bytes."""
    signature: bytes = b""
    name: str = ""
    """What the signer called the image; for readers, since matching goes by digest."""
    annotations: dict[str, Any] = field(default_factory=dict)
    """What the signer said of the image beside the predicate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Something stored beside the image that is no evidence, and why."""

    predicate_type: str
    """As it is listed; what it really holds may be unknown. Empty when nothing says what it is."""
    error: TrustError
    digest: str = ""
    """Digest of what is stored."""


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

    def refusals(self, predicate_type: str) -> tuple[Refusal, ...]:
        """Return why what is listed as this type is no evidence; without any, what is listed as no type."""
        wanted = [one for one in self.faults if one.predicate_type == predicate_type]
        unknown = [one for one in self.faults if not one.predicate_type]
        return tuple(Refusal(one.error, one.digest) for one in wanted or unknown)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """The keys that are trusted."""

    keys: tuple[PublicKey, ...]
    development_key_allowed: bool
    """Whether a development key is taken."""
    identities: tuple[Identity, ...] = ()
    """Who else is trusted, who signs by a certificate and has no key of their own."""
    root: TrustedRoot | None = None
    """What proves such an identity."""

    def named(self, hint: str) -> PublicKey:
        """Return the trusted key that a bundle names.

        Raises:
            SignatureInvalid: it is none of them.
            KeyRefused: it may not be used here.
        """
        for key in self.keys:
            if key.hint == hint:
                return self._allowed(key)
        raise self._unknown()

    def signer(self, signature: bytes, data: bytes) -> PublicKey:
        """Return the trusted key that signed `data`, where nothing names it.

        Raises:
            SignatureInvalid: none of them did.
            KeyRefused: it may not be used here.
        """
        for key in self.keys:
            try:
                key.verify(signature, data)
            except SignatureInvalid:
                continue
            return self._allowed(key)
        raise self._unknown()

    def _allowed(self, key: PublicKey) -> PublicKey:
        if key.development and not self.development_key_allowed:
            raise KeyRefused(
                f"signed with the development key {key.short}, which is not taken here",
                hint="sign with the environment's own key",
            )
        return key

    def _unknown(self) -> SignatureInvalid:
        people = [*(key.label for key in self.keys), *(one.label for one in self.identities)]
        known = ", ".join(people)
        return SignatureInvalid(
            f"signed with a key that is not trusted here, or changed since; trusted: {known}",
            hint="sign with a trusted key, or add its public half to `public_keys`",
            stranger=SignatureInvalid.NOBODY,
        )


def from_bundle(data: bytes, *, subject: str, listed_as: str, trust: Trust) -> Evidence:
    """Return what a bundle proves.

    Args:
        data: the bundle's bytes.
        subject: digest of the image.
        listed_as: predicate type under which it is listed; empty when the listing has none.
        trust: the keys that are trusted.

    Raises:
        SignatureInvalid: steps 1, 3, 4 or 6 fail, or the key is not one of those that are trusted.
        KeyRefused: the key may not be used here.
        SubjectMismatch: the statement is about another image.
    """
    held = bundle.parse(data)  # (1)
    if not held.hint:
        return _certified(data, subject, listed_as, trust)
    key = trust.named(held.hint)  # (2)
    key.verify(held.signature, dsse.pae(held.payload))  # (3)
    return _stated(held.payload, held.signature, key, subject, listed_as)


def _certified(data: bytes, subject: str, listed_as: str, trust: Trust) -> Evidence:
    """Return what a bundle proves in which a certificate stands in place of a key."""
    if trust.root is None or not trust.identities:
        raise SignatureInvalid(
            "signed by a certificate, and no identity is trusted here",
            hint="sign with a trusted key, or add the identity to `identities`",
            stranger=SignatureInvalid.NOBODY,
        )
    from lockgate.sign.keyless.verify import verify_envelope

    found = verify_envelope(data, trust.root, trust.identities)  # (1), (2), (3)
    return _stated(found.payload, found.signature, found.identity, subject, listed_as)


def from_envelope(
    payload: bytes, signature: bytes, *, subject: str, listed_as: str, trust: Trust
) -> Evidence:
    """Return what an envelope proves that stands alone, in the older form of cosign's attestations.

    Args:
        payload: the statement's bytes, from `dsse.open_envelope`, which is step 1.
        signature: the signature over its encoding.
        subject: digest of the image.
        listed_as: predicate type under which it is listed; empty when the listing has none.
        trust: the keys that are trusted.

    Raises:
        SignatureInvalid, KeyRefused, SubjectMismatch: as `from_bundle`.
    """
    key = trust.signer(signature, dsse.pae(payload))  # (2), (3)
    return _stated(payload, signature, key, subject, listed_as)


def from_simple_signing(data: bytes, signature: str, *, subject: str, trust: Trust) -> Evidence:
    """Return what a payload of simple signing proves: that the image itself is signed.

    Args:
        data: the payload's bytes.
        signature: the signature over them, in base64.
        subject: digest of the image.
        trust: the keys that are trusted.

    Raises:
        SignatureInvalid, KeyRefused, SubjectMismatch: as `from_bundle`.
    """
    raw = dsse.unbase64(signature)  # (1)
    key = trust.signer(raw, data)  # (2), (3)
    found = simplesigning.parse(data)  # (4)
    simplesigning.check_subject(found, subject)  # (5)
    return Evidence(
        predicate_type=predicate.SIGNATURE,
        predicate={},
        key=key,
        digest=Digest.of(data),
        signature=raw,
        name=found.reference,
        annotations=found.annotations,
    )


def _stated(
    payload: bytes, signature: bytes, key: PublicKey | Identity, subject: str, listed_as: str
) -> Evidence:
    try:
        found = statement.parse(payload)  # (4)
    except UsageError as error:
        raise SignatureInvalid(error.message, hint="sign again: `inv sign`") from None
    about = statement.find_subject(found, subject)  # (5)
    if listed_as and found.predicate_type != listed_as:  # (6)
        raise SignatureInvalid(
            f"it is listed as {listed_as!r} and holds {found.predicate_type!r}",
            hint="sign again: `inv sign`",
        )
    return Evidence(
        predicate_type=found.predicate_type,
        predicate=found.predicate,
        key=key,
        digest=Digest.of(payload),
        signature=signature,
        name=about.name,
        annotations=about.annotations,
    )
