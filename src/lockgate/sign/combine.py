"""What a requirement is, who must have signed, and how requirements combine; an empty one never holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from lockgate.base.errors import AttestationMissing, KeyRefused, TrustError, UsageError
from lockgate.sign.model import Result
from lockgate.sign.refusal import Refusal, most_telling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lockgate.sign.evidence import Evidence, Findings
    from lockgate.sign.keyless.identity import Identity
    from lockgate.sign.public_key import PublicKey


class Requirement(Protocol):
    """Something that must hold."""

    def check(self, findings: Findings) -> Result:
        """Return whether it holds, and why."""
        ...


@dataclass(frozen=True, kw_only=True)
class Signers:
    """Who must have signed: so many of these keys, each with evidence of its own that holds."""

    keys: frozenset[str] = frozenset()
    """Fingerprints of keys and identities; empty: any that is trusted."""
    quorum: int = 1
    """How many different keys; a key counts once, however often it signed."""


ATTESTATION = "attestation"
"""What people call a requirement of any other type."""

ANYONE = Signers()
"""One trusted key is enough, whichever it is."""


@dataclass(frozen=True, kw_only=True)
class AllOf:
    """Every one of several requirements holds."""

    parts: tuple[Requirement, ...]

    def check(self, findings: Findings) -> Result:
        """Return whether all hold; the first that does not says why."""
        if not self.parts:
            return unmet("all of", AttestationMissing("nothing is required, so nothing is proven"))
        results = [one.check(findings) for one in self.parts]
        for one in results:
            if not one.met:
                return msgspec.structs.replace(one, name=f"all of: {one.name}")
        return met("all of", "; ".join(f"{one.name}: {one.detail}" for one in results))


@dataclass(frozen=True, kw_only=True)
class AnyOf:
    """At least one of several requirements holds."""

    parts: tuple[Requirement, ...]

    def check(self, findings: Findings) -> Result:
        """Return whether one holds; the last one's reason stands for all that do not."""
        if not self.parts:
            return unmet("any of", AttestationMissing("nothing is required, so nothing is proven"))
        results = [one.check(findings) for one in self.parts]
        for one in results:
            if one.met:
                return msgspec.structs.replace(one, name=f"any of: {one.name}")
        why = "; ".join(f"{one.name}: {one.detail}" for one in results)
        return msgspec.structs.replace(results[-1], name="any of", detail=f"none holds: {why}")


def met(name: str, detail: str) -> Result:
    """Return that a requirement holds."""
    return Result(name=name, met=True, detail=detail)


def unmet(name: str, error: TrustError) -> Result:
    """Return that a requirement does not hold."""
    return Result(name=name, met=False, detail=error.message, error=type(error).__name__)


def proven(
    name: str,
    kind: str,
    findings: Findings,
    look: Callable[[Evidence, Findings], str],
    by: Signers,
    *,
    only: Sequence[Evidence] | None = None,
) -> Result:
    """Return whether enough keys have signed evidence of one type that satisfies `look`.

    Args:
        name: what people call the requirement.
        kind: the predicate type.
        findings: what is known of the image.
        look: says what is in a piece of evidence that satisfies, or raises why it does not.
        by: the keys that count.
        only: the pieces of this type that are looked at, in this order; all of them when not given.
    """
    every = findings.of(kind) if only is None else only
    counted = [one for one in every if not by.keys or one.key.fingerprint in by.keys]
    details: dict[PublicKey | Identity, str] = {}
    refusals: list[Refusal] = []
    for one in counted:
        try:
            details.setdefault(one.key, look(one, findings))
        except TrustError as error:
            refusals.append(Refusal(error, one.digest))
        except (UsageError, ValueError, OverflowError) as error:
            # A trusted key signed it, but a date or a number in it is not one.
            wrong = AttestationMissing(f"it does not say what it should: {error}")
            refusals.append(Refusal(wrong, one.digest))
    # Where an order is given, the first piece counts most, and so does what is wrong with it.
    why = most_telling(refusals if only is None else refusals[:1])
    signed = ", ".join(key.label for key in details)
    if details and len(details) >= by.quorum:
        first = next(iter(details.values()))
        return met(name, first if by.quorum == 1 else f"{first}; signed by {signed}")
    if details:
        few = f"signed by {len(details)} of {by.quorum}: {signed}"
        return unmet(name, AttestationMissing(f"{few}; {why.message}" if why else few))
    if why is not None:
        return unmet(name, why)
    stored = list(findings.refusals(kind))
    if every:
        stored.append(Refusal(KeyRefused("signed, but not with a required key")))
    # The plain one is asked for by its type alone, of which there may be several.
    nothing = f"nothing of the type {kind}" if name == ATTESTATION else f"no {name}"
    return unmet(name, most_telling(stored) or AttestationMissing(f"{nothing} is attested"))
