"""Requirements: what must hold to trust a digest. Small ones, each about one kind of evidence.

Each has a `check` that looks at the evidence and says what satisfied it, or why not. None reads, waits or
asks for the time. How they combine is in `lockgate.sign.combine`, how settings name them in
`lockgate.sign.requirement_settings`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lockgate.base.errors import (
    AttestationMissing,
    KeyRefused,
    Stale,
    SubjectMismatch,
)
from lockgate.gate.decide import lapses_at
from lockgate.sign import checks, claims, predicate
from lockgate.sign.combine import ANYONE, ATTESTATION, AllOf, Signers, proven, unmet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lockgate.gate.decision import Threshold
    from lockgate.sign.evidence import Evidence, Findings
    from lockgate.sign.keyless.identity import Identity
    from lockgate.sign.model import Result
    from lockgate.sign.public_key import PublicKey

_SKEW = 5 * 60
"""Seconds by which two machines' clocks may differ."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The image itself is signed."""

    by: Signers = ANYONE
    annotations: Mapping[str, str] = field(default_factory=dict)
    """What the signer must have said of the image: `{"environment": "prod"}`."""
    reference: str = ""
    """Name under which the signer must have signed it; empty: any. Two names of one digest are one image, so
    this matters only where the same bytes mean different things in two places."""

    def check(self, findings: Findings) -> Result:
        """Return whether enough keys have signed it."""
        return proven("signature", predicate.SIGNATURE, findings, self._look, self.by)

    def _look(self, one: Evidence, _: Findings) -> str:
        for key, value in self.annotations.items():
            if one.annotations.get(key) != value:
                said = one.annotations.get(key, "nothing")
                raise SubjectMismatch(f"signed for {key} {said!r}, not {value!r}")
        if self.reference not in ("", one.name):
            raise SubjectMismatch(f"signed as {one.name!r}, not as {self.reference!r}")
        return one.key.label


@dataclass(frozen=True, kw_only=True)
class Sbom:
    """A CycloneDX document that lists something is attested."""

    by: Signers = ANYONE

    def check(self, findings: Findings) -> Result:
        """Return whether there is one."""
        return proven("sbom", predicate.SBOM, findings, _sbom, self.by)


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """A vulnerability scan is attested."""

    by: Signers = ANYONE
    max_age: int = 0
    """Most seconds since the scan ended; 0: any."""

    def check(self, findings: Findings) -> Result:
        """Return whether there is one that is recent enough."""
        return proven("vuln", predicate.VULN, findings, self._look, self.by)

    def _look(self, one: Evidence, findings: Findings) -> str:
        scan = claims.read(one.predicate, claims.Scan)
        _check_age(
            "scanned", claims.seconds(scan.metadata.scan_finished_on), self.max_age, findings
        )
        return f"{scan.scanner.label}, scanned {scan.metadata.scan_finished_on}"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How the image was built is attested."""

    by: Signers = ANYONE
    builder: str = predicate.BUILDER
    """The builder's id, with any version behind an `@`; or, ending in `:` or `/`, what it must start with."""
    source: str = ""
    """Address of the repository that it must be built from; empty: any."""
    revision: str = ""
    """Full commit id that it must be built from, without uncommitted changes; empty: any."""

    def check(self, findings: Findings) -> Result:
        """Return whether there is provenance by such a builder."""
        return proven("provenance", predicate.PROVENANCE, findings, self._look, self.by)

    def _look(self, one: Evidence, _: Findings) -> str:
        found = claims.read(one.predicate, claims.Build)
        builder, commits = found.run_details.builder.id, found.commits
        if not self._is_builder(builder):
            raise AttestationMissing(f"built by {builder!r}, not by {self.builder!r}")
        if self.source and self.source not in found.repositories:
            at = found.repositories[0] if found.repositories else "no repository that is named"
            raise SubjectMismatch(f"built from {at}, not from {self.source}")
        if self.revision and self.revision not in commits:
            at = commits[0][:7] if commits else "no commit"
            raise SubjectMismatch(f"built from {at}, not from {self.revision[:7]}")
        if self.source and self.revision and (self.source, self.revision) not in found.origins:
            raise SubjectMismatch(f"{self.revision[:7]} is not a commit of {self.source} in it")
        if self.revision and found.dirty:
            raise SubjectMismatch(f"built from {self.revision[:7]} with uncommitted changes")
        commit = f"commit {commits[0][:7]}" if commits else "no commit"
        return f"builder {builder.removeprefix(predicate.BUILDER)}, {commit}"

    def _is_builder(self, found: str) -> bool:
        if self.builder.endswith((":", "/")):
            return found.startswith(self.builder)
        # Not a mere prefix: whoever is called `…/native2` is someone else.
        return bool(self.builder) and (
            found == self.builder or found.startswith(f"{self.builder}@")
        )


@dataclass(frozen=True, kw_only=True)
class Passed:
    """The gate let the image pass, for this environment, under this threshold, and the verdict still holds.

    The newest verdict counts, of each key and of as many keys as must have signed. A refusal that was attested takes
    an older permission back, and where the newest one no longer holds, no older one takes its place: it knew less.
    """

    environment: str
    threshold: Threshold
    by: Signers = ANYONE
    max_age: int = 0
    """Most seconds since the gate decided; 0: any."""

    def check(self, findings: Findings) -> Result:
        """Return whether there is such a verdict."""
        every = findings.of(predicate.SUMMARY)
        own = [one for one in every if _policy(one) == predicate.ENVIRONMENT + self.environment]
        if every and not own:
            others = ", ".join(sorted({_policy(one).rpartition(":")[2] for one in every}))
            return unmet(
                "summary",
                AttestationMissing(f"the gate decided for {others}, not for {self.environment}"),
            )
        # An image that walked through several environments has a summary of each. Of a permission and a refusal
        # of the same second the refusal counts.
        own.sort(key=lambda one: (_decided(one), _refused(one)), reverse=True)
        counted = [one for one in own if not self.by.keys or one.key.fingerprint in self.by.keys]
        if counted and _refused(counted[0]):
            return unmet("summary", self._closed())
        newest = _newest(counted, self.by.quorum) or own
        return proven("summary", predicate.SUMMARY, findings, self._look, self.by, only=newest)

    def _look(self, one: Evidence, findings: Findings) -> str:
        summary = claims.read(one.predicate, claims.Summary)
        decision = summary.decision
        if decision.environment != self.environment:
            raise AttestationMissing(f"the decision inside is for {decision.environment}")
        if decision.subject != findings.subject:
            raise SubjectMismatch(f"the decision inside is about {decision.subject[:15]}…")
        if summary.verification_result != "PASSED" or not decision.allowed:
            raise self._closed()
        if decision.threshold != self.threshold:
            raise Stale(f"decided when {self.environment} tolerated something else")
        if lapses_at(decision) <= findings.now:
            raise Stale(
                "the verdict has lapsed: its advisories are too old, or a waiver that it rests on is over"
            )
        _check_age("decided", decision.decided, self.max_age, findings)
        scans = {each.digest for each in findings.of(predicate.VULN)}
        inputs = {f"sha256:{each.digest.get('sha256')}" for each in summary.input_attestations}
        if not inputs or not inputs <= scans:
            raise AttestationMissing("the scan that the verdict was made from is not attested")
        if summary.development_key and not one.key.development:
            # The summary says so inside: the mark was taken off the public key's file.
            raise KeyRefused(f"signed with a development key, known here as {one.key.name}")
        waived = f", {len(decision.waived)} waived" if decision.waived else ""
        return f"{self.environment} passed {predicate.timestamp(decision.decided)}{waived}"

    def _closed(self) -> AttestationMissing:
        return AttestationMissing(f"the gate of {self.environment} is closed to this image")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """That the gates before the build were passed is attested."""

    by: Signers = ANYONE
    gates: tuple[str, ...] = ()
    """Gates that must be among those that passed; empty: none failed, whichever there were."""

    def check(self, findings: Findings) -> Result:
        """Return whether there is such a result."""
        return proven("tests", checks.TESTS, findings, self._look, self.by)

    def _look(self, one: Evidence, _: Findings) -> str:
        found = claims.read(one.predicate, claims.GateResults)
        if found.result not in ("PASSED", "WARNED") or found.failed:
            raise AttestationMissing(f"failed: {', '.join(found.failed) or found.result}")
        absent = [name for name in self.gates if name not in found.passed]
        if absent or not found.passed:
            raise AttestationMissing(f"not passed: {', '.join(absent) or 'anything'}")
        idle = f"; not done: {', '.join(found.warned)}" if found.warned else ""
        return f"passed {', '.join(found.passed)}{idle}"


@dataclass(frozen=True, kw_only=True)
class Licensed:
    """That the licences of what is inside are approved is attested."""

    by: Signers = ANYONE

    def check(self, findings: Findings) -> Result:
        """Return whether there is such a decision."""
        return proven("licences", checks.LICENCES, findings, self._look, self.by)

    def _look(self, one: Evidence, _: Findings) -> str:
        found = claims.read(one.predicate, claims.GateResults)
        if found.result != "PASSED" or found.failed or found.warned or not found.passed:
            raise AttestationMissing("the licences are not approved")
        return "approved"


@dataclass(frozen=True, kw_only=True)
class Attested:
    """Something of a type that is not known here is attested; that it is signed is all that is asked."""

    predicate_type: str
    by: Signers = ANYONE

    def check(self, findings: Findings) -> Result:
        """Return whether there is such a statement."""
        return proven(ATTESTATION, self.predicate_type, findings, self._look, self.by)

    def _look(self, one: Evidence, _: Findings) -> str:
        return f"{self.predicate_type}, {one.key.label}"


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


def _policy(one: Evidence) -> str:
    policy = one.predicate.get("policy")
    return str(policy.get("uri", "")) if isinstance(policy, dict) else ""


def _decided(one: Evidence) -> int:
    """Return when a verdict was given; 0 when it does not say, and then `_look` refuses it."""
    try:
        return claims.seconds(str(one.predicate.get("timeVerified")))
    except AttestationMissing:
        return 0


def _newest(verdicts: Sequence[Evidence], quorum: int) -> list[Evidence]:
    """Return the newest verdict of each key, of the `quorum` keys that decided last.

    Args:
        verdicts: the newest first; several of one second are one verdict in several forms.
        quorum: how many keys must have signed.
    """
    last: dict[PublicKey | Identity, int] = {}
    for one in verdicts:
        last.setdefault(one.key, _decided(one))
    oldest = min(sorted(last.values(), reverse=True)[:quorum], default=0)
    return [one for one in verdicts if oldest <= last[one.key] == _decided(one)]


def _refused(one: Evidence) -> bool:
    return one.predicate.get("verificationResult") != "PASSED"


def _check_age(what: str, when: int, max_age: int, findings: Findings) -> None:
    age = findings.now - when
    if age < -_SKEW:
        raise Stale(f"{what} in the future: how old it is cannot be told")
    if max_age and age > max_age:
        raise Stale(f"{what} {_days(age)} ago, {_days(max_age)} are allowed")


def _days(seconds: int) -> str:
    days = seconds // (24 * 60 * 60)
    return f"{days} day{'' if days == 1 else 's'}" if days else f"{seconds // 3600} hours"
