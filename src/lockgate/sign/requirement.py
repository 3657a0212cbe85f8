"""Requirements: what must hold to trust a digest. Small ones that combine; an empty one never holds.

Each has a `check` that looks at the evidence and says what satisfied it, or why not. None reads, waits or
asks for the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from lockgate.base.errors import (
    AttestationMissing,
    KeyRefused,
    Stale,
    SubjectMismatch,
    TrustError,
    UsageError,
)
from lockgate.gate.decide import lapses_at
from lockgate.sign import claims, predicate
from lockgate.sign.model import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lockgate.gate.decision import Threshold
    from lockgate.sign.evidence import Evidence, Findings

_SKEW = 5 * 60
"""Seconds by which two machines' clocks may differ."""


class Requirement(Protocol):
    """Something that must hold."""

    def check(self, findings: Findings) -> Result:
        """Return whether it holds, and why."""
        ...


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A trusted key has signed the image itself."""

    key: str = ""
    """Fingerprint of the key that it must be; empty: any trusted one."""

    def check(self, findings: Findings) -> Result:
        """Return whether there is such a signature."""
        found = findings.of(predicate.SIGNATURE)
        for one in found:
            if self.key in ("", one.key.fingerprint):
                return _met("signature", f"key {one.key.short} ({one.key.name})")
        if found:
            return _unmet("signature", KeyRefused("signed, but not with the required key"))
        return _absent("signature", predicate.SIGNATURE, findings)


@dataclass(frozen=True, kw_only=True)
class Sbom:
    """A CycloneDX document that lists something is attested."""

    def check(self, findings: Findings) -> Result:
        """Return whether there is one."""
        return _first("sbom", predicate.SBOM, findings, findings.of(predicate.SBOM), _sbom)


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """A vulnerability scan is attested."""

    max_age: int = 0
    """Most seconds since the scan ended; 0: any."""

    def check(self, findings: Findings) -> Result:
        """Return whether there is one that is recent enough."""
        return _first("vuln", predicate.VULN, findings, findings.of(predicate.VULN), self._look)

    def _look(self, one: Evidence, findings: Findings) -> str:
        scan = claims.read(one.predicate, claims.Scan)
        age = findings.now - claims.seconds(scan.metadata.scan_finished_on)
        if age < -_SKEW:
            raise Stale("the scan is dated in the future: how old it is cannot be told")
        if self.max_age and age > self.max_age:
            raise Stale(f"scanned {_days(age)} ago, {_days(self.max_age)} are allowed")
        return f"{scan.scanner.label}, scanned {scan.metadata.scan_finished_on}"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How the image was built is attested."""

    builder: str = predicate.BUILDER
    """What the builder's id must start with."""
    revision: str = ""
    """Full commit id that it must be built from; empty: any."""

    def check(self, findings: Findings) -> Result:
        """Return whether there is provenance by such a builder."""
        every = findings.of(predicate.PROVENANCE)
        return _first("provenance", predicate.PROVENANCE, findings, every, self._look)

    def _look(self, one: Evidence, _: Findings) -> str:
        found = claims.read(one.predicate, claims.Build)
        builder, commits = found.run_details.builder.id, found.commits
        if not self.builder or not builder.startswith(self.builder):
            raise AttestationMissing(f"built by {builder!r}, not by {self.builder!r}")
        if self.revision and self.revision not in commits:
            at = commits[0][:7] if commits else "no commit"
            raise SubjectMismatch(f"built from {at}, not from {self.revision[:7]}")
        commit = f"commit {commits[0][:7]}" if commits else "no commit"
        return f"builder {builder.removeprefix(predicate.BUILDER)}, {commit}"


@dataclass(frozen=True, kw_only=True)
class Passed:
    """The gate let the image pass, for this environment, under this threshold, and the verdict still holds."""

    environment: str
    threshold: Threshold

    def check(self, findings: Findings) -> Result:
        """Return whether there is such a verdict."""
        every = findings.of(predicate.SUMMARY)
        # An image that walked through several environments has a summary of each; and a newer verdict says
        # more about why than an older one.
        own = [one for one in every if _policy(one) == _policy_of(self.environment)]
        own.sort(key=lambda one: str(one.predicate.get("timeVerified")), reverse=True)
        if every and not own:
            others = ", ".join(sorted({_policy(one).rpartition(":")[2] for one in every}))
            return _unmet(
                "summary",
                AttestationMissing(f"the gate decided for {others}, not for {self.environment}"),
            )
        return _first("summary", predicate.SUMMARY, findings, own, self._look)

    def _look(self, one: Evidence, findings: Findings) -> str:
        summary = claims.read(one.predicate, claims.Summary)
        decision = summary.decision
        if decision.environment != self.environment:
            raise AttestationMissing(f"the decision inside is for {decision.environment}")
        if decision.subject != findings.subject:
            raise SubjectMismatch(f"the decision inside is about {decision.subject[:15]}…")
        if summary.verification_result != "PASSED" or not decision.allowed:
            raise AttestationMissing(f"the gate of {self.environment} is closed to this image")
        if decision.threshold != self.threshold:
            raise Stale(f"decided when {self.environment} tolerated something else")
        if lapses_at(decision) <= findings.now:
            raise Stale(
                "the verdict has lapsed: its advisories are too old, or a waiver that it rests on is over"
            )
        if decision.decided > findings.now + _SKEW:
            raise Stale("the verdict is dated in the future")
        scans = {each.digest for each in findings.of(predicate.VULN)}
        inputs = {f"sha256:{each.digest.get('sha256')}" for each in summary.input_attestations}
        if not inputs or not inputs <= scans:
            raise AttestationMissing("the scan that the verdict was made from is not attested")
        if summary.development_key and not one.key.development:
            # The summary says so inside: the mark was taken off the public key's file.
            raise KeyRefused(f"signed with a development key, known here as {one.key.name}")
        waived = f", {len(decision.waived)} waived" if decision.waived else ""
        return f"{self.environment} passed {predicate.timestamp(decision.decided)}{waived}"


@dataclass(frozen=True, kw_only=True)
class AllOf:
    """Every one of several requirements holds."""

    parts: tuple[Requirement, ...]

    def check(self, findings: Findings) -> Result:
        """Return whether all hold; the first that does not says why."""
        if not self.parts:
            return _unmet("all of", AttestationMissing("nothing is required, so nothing is proven"))
        results = [one.check(findings) for one in self.parts]
        for one in results:
            if not one.met:
                return msgspec.structs.replace(one, name=f"all of: {one.name}")
        return _met("all of", "; ".join(f"{one.name}: {one.detail}" for one in results))


@dataclass(frozen=True, kw_only=True)
class AnyOf:
    """At least one of several requirements holds."""

    parts: tuple[Requirement, ...]

    def check(self, findings: Findings) -> Result:
        """Return whether one holds; the last one's reason stands for all that do not."""
        if not self.parts:
            return _unmet("any of", AttestationMissing("nothing is required, so nothing is proven"))
        results = [one.check(findings) for one in self.parts]
        for one in results:
            if one.met:
                return msgspec.structs.replace(one, name=f"any of: {one.name}")
        why = "; ".join(f"{one.name}: {one.detail}" for one in results)
        return msgspec.structs.replace(results[-1], name="any of", detail=f"none holds: {why}")


def default_requirement(environment: str, threshold: Threshold) -> AllOf:
    """Return what an environment asks for when settings name nothing else: the five that `inv sign` writes."""
    return AllOf(
        parts=(
            Signature(),
            Sbom(),
            Scanned(),
            Provenance(),
            Passed(environment=environment, threshold=threshold),
        )
    )


def _sbom(one: Evidence, _: Findings) -> str:
    components = one.predicate.get("components")
    if one.predicate.get("bomFormat") != "CycloneDX" or not isinstance(components, list):
        raise AttestationMissing("it is not a CycloneDX document")
    if not components:
        raise AttestationMissing("the SBOM lists no component")
    return f"CycloneDX, {len(components)} component{'' if len(components) == 1 else 's'}"


def _policy_of(environment: str) -> str:
    return predicate.ENVIRONMENT + environment


def _policy(one: Evidence) -> str:
    policy = one.predicate.get("policy")
    return str(policy.get("uri", "")) if isinstance(policy, dict) else ""


def _first(
    name: str,
    kind: str,
    findings: Findings,
    every: Sequence[Evidence],
    look: Callable[[Evidence, Findings], str],
) -> Result:
    """Return the first piece of evidence that satisfies `look`, else why the first one does not."""
    why: TrustError | None = None
    for one in every:
        try:
            return _met(name, look(one, findings))
        except TrustError as error:
            why = why or error
        except (UsageError, ValueError, OverflowError) as error:
            # A trusted key signed it, but a date or a number in it is not one.
            why = why or AttestationMissing(f"it does not say what it should: {error}")
    return _unmet(name, why) if why else _absent(name, kind, findings)


def _absent(name: str, kind: str, findings: Findings) -> Result:
    fault = findings.fault(kind)
    return _unmet(name, fault or AttestationMissing(f"no {name} is attested"))


def _met(name: str, detail: str) -> Result:
    return Result(name=name, met=True, detail=detail)


def _unmet(name: str, error: TrustError) -> Result:
    return Result(name=name, met=False, detail=error.message, error=type(error).__name__)


def _days(seconds: int) -> str:
    days = seconds // (24 * 60 * 60)
    return f"{days} day{'' if days == 1 else 's'}" if days else f"{seconds // 3600} hours"
