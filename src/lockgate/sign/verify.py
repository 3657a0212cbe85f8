"""Verify: may a digest be trusted? From the place alone that it lies in: a layout, an archive, a registry."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from lockgate.base.errors import (
    AttestationMissing,
    KeyRefused,
    SignatureInvalid,
    Stale,
    SubjectMismatch,
    TrustError,
)
from lockgate.oci.digest import Digest
from lockgate.sign import legacy
from lockgate.sign.collect import collect
from lockgate.sign.combine import AllOf
from lockgate.sign.evidence import Trust
from lockgate.sign.model import Result, Verification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.oci.readable import Readable
    from lockgate.sign.combine import Requirement
    from lockgate.sign.keyless.identity import Identity
    from lockgate.sign.keyless.trusted_root import TrustedRoot
    from lockgate.sign.public_key import PublicKey

_ERRORS: dict[str, type[TrustError]] = {
    kind.__name__: kind
    for kind in (SignatureInvalid, AttestationMissing, SubjectMismatch, KeyRefused, Stale)
}

_NAME, _ANSWER = 12, 10
"""Columns of a requirement's name and of `ok` or `refused`."""

_LONGEST = 600
"""Characters of what is said of a requirement."""

WIDTH = 91
"""Columns of a line; a console may put nine more before it."""


def verify(
    place: Readable,
    digest: str,
    requirement: Requirement,
    keys: Sequence[PublicKey],
    *,
    name: str,
    now: int,
    development_key_allowed: bool,
    identities: Sequence[Identity] = (),
    trusted_root: TrustedRoot | None = None,
) -> Verification:
    """Check an image's bytes, then what lies beside it and what that proves, then the requirement.

    An unmet requirement is no error here: `require` makes one of it.

    Args:
        place: the store, a registry or an archive.
        digest: the image.
        requirement: what must hold.
        keys: keys that are trusted.
        name: whose requirement it is: the environment.
        now: seconds since 1970.
        development_key_allowed: whether a development key is taken.
        identities: who is trusted beside the keys, who signs by a certificate.
        trusted_root: what proves such an identity.

    Raises:
        KeyRefused: no key and no identity is trusted, or nothing proves an identity, so nothing could be checked.
        DigestMismatch: bytes of the image, or of its evidence, were changed.
        UsageError, TrustError: the image is not whole there.
        RegistryError: the registry is out of reach.
    """
    if not keys and not identities:
        raise KeyRefused(
            f"{name} trusts no key, so no signature can be checked",
            hint=f"set `public_keys` of `{name}` in `lockgate.yaml`",
        )
    if identities and trusted_root is None:
        raise KeyRefused(
            f"{name} trusts identities and has no trusted root, so none of them can be proven",
            hint=f"set `trusted_root` of `{name}` in `lockgate.yaml`",
        )
    kinds = (legacy.SIGNATURES, legacy.ATTESTATIONS)
    place.begin(digest, tuple(legacy.tag(digest, one) for one in kinds))
    left = place.check(digest)
    trust = Trust(
        keys=tuple(keys),
        development_key_allowed=development_key_allowed,
        identities=tuple(identities),
        root=trusted_root,
    )
    findings = collect(place, Digest(digest), trust, now=now)
    # The parts of the outermost AllOf are what people see, one line each. An empty one has none, and is
    # asked itself: it does not hold.
    outer = isinstance(requirement, AllOf) and requirement.parts
    parts: tuple[Requirement, ...] = outer or (requirement,)
    results = tuple(part.check(findings) for part in parts)
    return Verification(
        subject=digest,
        name=name,
        met=bool(results) and all(one.met for one in results),
        results=results,
        checked=now,
        unread=tuple(one.digest for one in left),
    )


def require(verification: Verification, *, subject: str = "") -> None:
    """Return when the image is to be trusted.

    Args:
        verification: what `verify` returned.
        subject: digest of what is about to be used, where a name was resolved for that: the name may have been
            moved since.

    Raises:
        SignatureInvalid, AttestationMissing, SubjectMismatch, Stale, KeyRefused: the first unmet requirement.
    """
    if subject not in ("", verification.subject):
        raise SubjectMismatch(
            f"{Digest(verification.subject).short} was verified, {Digest(subject).short} is to be used",
            hint=f"the name was moved: `inv verify -e {verification.name}` verifies what it names now",
        )
    unmet = [one for one in verification.results if not one.met]
    if verification.met and verification.results and not unmet:
        return
    who = f"{Digest(verification.subject).short} is not to be trusted"
    if not unmet:
        raise AttestationMissing(f"{who}: nothing was checked", hint="run `inv verify` again")
    kind = _ERRORS.get(unmet[0].error, TrustError)
    raise kind(
        f"{who}: {unmet[0].name} refused, {unmet[0].detail}",
        hint=f"`inv scan -e {verification.name} sign -e {verification.name}` signs anew; "
        f"`inv verify -e {verification.name}` shows every requirement",
    )


def lines(verification: Verification, *, width: int = WIDTH) -> tuple[str, ...]:
    """Return a line for each requirement, more where it has more to say, and one that sums up."""
    shown = [line for one in verification.results for line in _lines(one, width)]
    if verification.unread:
        many = len(verification.unread)
        what = f"{many} layer{'' if many == 1 else 's'} of the image"
        shown.append(
            f"{'layers':<{_NAME - 1}} {'not read':<{_ANSWER}}{what}; `--read-layers` reads them"
        )
    shown += verification.notes
    unmet, every = sum(not one.met for one in verification.results), len(verification.results)
    if verification.met:
        shown.append(f'trusted: {every} of {every} requirements of "{verification.name}" met')
    else:
        shown.append(f'not trusted: {unmet} of {every} requirements of "{verification.name}" unmet')
    return tuple(shown)


def _lines(result: Result, width: int) -> list[str]:
    answer = "ok" if result.met else "refused"
    detail = "".join(char if char.isprintable() else "?" for char in result.detail)
    # A part of it may be what somebody else wrote.
    detail = detail if len(detail) <= _LONGEST else detail[: _LONGEST - 1].rstrip() + "…"
    # A combined requirement's name can be longer than its column.
    head = f"{result.name:<{_NAME - 1}} {answer:<{_ANSWER}}"
    return textwrap.wrap(
        detail + (f"   ({result.error})" if result.error else ""),
        width,
        initial_indent=head,
        subsequent_indent=" " * (_NAME + _ANSWER),
        break_on_hyphens=False,
    ) or [head.rstrip()]
