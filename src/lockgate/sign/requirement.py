"""Requirements: what must hold to trust a digest. Small ones that combine; an empty one never holds.

Each has a `check` that looks at the evidence and says what satisfied it, or why not. None reads, waits or
asks for the time.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from lockgate.base.canonical import Foreign, Record
from lockgate.base.errors import (
    AttestationMissing,
    KeyRefused,
    SignatureInvalid,
    Stale,
    SubjectMismatch,
    TrustError,
)
from lockgate.gate.decide import lapses_at
from lockgate.gate.decision import Decision, Threshold
from lockgate.sign import predicate
from lockgate.sign.model import Result

if TYPE_CHECKING:
    from lockgate.sign.evidence import Evidence, Findings

_SKEW = 5 * 60
"""Seconds by which two machines' clocks may differ."""


class Requirement(Protocol):
    """Something that must hold."""

    def check(self, findings: Findings) -> Result:
        """Return whether it holds, and why."""
        ...


class Signature(Record, frozen=True):
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


class Sbom(Record, frozen=True):
    """A CycloneDX document that lists something is attested."""

    def check(self, findings: Findings) -> Result:
        """Return whether there is one."""
        for one in findings.of(predicate.SBOM):
            components = one.predicate.get("components")
            if one.predicate.get("bomFormat") == "CycloneDX" and isinstance(components, list):
                if components:
                    return _met("sbom", f"CycloneDX, {len(components)} components")
        if findings.of(predicate.SBOM):
            return _unmet("sbom", AttestationMissing("the SBOM lists no component"))
        return _absent("sbom", predicate.SBOM, findings)


class Scanned(Record, frozen=True):
    """A vulnerability scan is attested."""

    max_age: int = 0
    """Most seconds since the scan ended; 0: any."""

    def check(self, findings: Findings) -> Result:
        """Return whether there is one that is recent enough."""
        return _first("vuln", predicate.VULN, findings, self._look)

    def _look(self, one: Evidence, findings: Findings) -> str:
        scan = _read(one.predicate, _Vuln)
        ended = _seconds(scan.metadata.scan_finished_on)
        age = findings.now - ended
        if age < -_SKEW:
            raise Stale("the scan is dated in the future: how old it is cannot be told")
        if self.max_age and age > self.max_age:
            raise Stale(f"scanned {_days(age)} ago, {_days(self.max_age)} are allowed")
        return f"scanner {scan.scanner.version}, scanned {scan.metadata.scan_finished_on}"


class Provenance(Record, frozen=True):
    """How the image was built is attested."""

    builder: str = predicate.BUILDER
    """What the builder's id must start with."""
    revision: str = ""
    """Full commit id that it must be built from; empty: any."""

    def check(self, findings: Findings) -> Result:
        """Return whether there is provenance by such a builder."""
        return _first("provenance", predicate.PROVENANCE, findings, self._look)

    def _look(self, one: Evidence, findings: Findings) -> str:  # noqa: ARG002
        found = _read(one.predicate, _Provenance)
        builder = found.run_details.builder.id
        if not self.builder or not builder.startswith(self.builder):
            raise AttestationMissing(f"built by {builder!r}, not by {self.builder!r}")
        commits = [
            each.digest["gitCommit"]
            for each in found.build_definition.resolved_dependencies
            if "gitCommit" in each.digest
        ]
        if self.revision and self.revision not in commits:
            at = commits[0][:7] if commits else "no commit"
            raise SubjectMismatch(f"built from {at}, not from {self.revision[:7]}")
        commit = f"commit {commits[0][:7]}" if commits else "no commit"
        return f"builder {builder.removeprefix(predicate.BUILDER)}, {commit}"


class Passed(Record, frozen=True):
    """The gate let the image pass, for this environment, under this threshold, and the verdict still holds."""

    environment: str
    threshold: Threshold

    def check(self, findings: Findings) -> Result:
        """Return whether there is such a verdict."""
        return _first("summary", predicate.SUMMARY, findings, self._look)

    def _look(self, one: Evidence, findings: Findings) -> str:
        summary = _read(one.predicate, _Summary)
        decision = summary.decision
        if decision.environment != self.environment:
            raise AttestationMissing(
                f"the gate decided for {decision.environment}, not for {self.environment}"
            )
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


class AllOf(Record, frozen=True):
    """Every one of several requirements holds."""

    parts: tuple[Any, ...]
    """`Requirement`s."""

    def check(self, findings: Findings) -> Result:
        """Return whether all hold; the first that does not says why."""
        if not self.parts:
            return _unmet("all of", AttestationMissing("nothing is required, so nothing is proven"))
        results = [one.check(findings) for one in self.parts]
        for one in results:
            if not one.met:
                return msgspec.structs.replace(one, name=f"all of: {one.name}")
        return _met("all of", "; ".join(f"{one.name}: {one.detail}" for one in results))


class AnyOf(Record, frozen=True):
    """At least one of several requirements holds."""

    parts: tuple[Any, ...]
    """`Requirement`s."""

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


class _Metadata(Foreign, frozen=True, rename="camel"):
    scan_finished_on: str


class _ScannerVersion(Foreign, frozen=True):
    version: str


class _Vuln(Foreign, frozen=True):
    scanner: _ScannerVersion
    metadata: _Metadata


class _Builder(Foreign, frozen=True):
    id: str


class _RunDetails(Foreign, frozen=True):
    builder: _Builder


class _Resource(Foreign, frozen=True):
    digest: dict[str, str] = msgspec.field(default_factory=dict)


class _BuildDefinition(Foreign, frozen=True, rename="camel"):
    resolved_dependencies: tuple[_Resource, ...] = ()


class _Provenance(Foreign, frozen=True, rename="camel"):
    build_definition: _BuildDefinition
    run_details: _RunDetails


class _Summary(Foreign, frozen=True):
    verification_result: str = msgspec.field(name="verificationResult")
    input_attestations: tuple[_Resource, ...] = msgspec.field(name="inputAttestations")
    decision: Decision = msgspec.field(name=predicate.DECISION_FIELD)
    development_key: bool = msgspec.field(name=predicate.DEVELOPMENT_FIELD)


def _first(name: str, kind: str, findings: Findings, look: Any) -> Result:
    """Return the first piece of evidence that satisfies, else why the last one does not."""
    result = _absent(name, kind, findings)
    for one in findings.of(kind):
        try:
            return _met(name, look(one, findings))
        except TrustError as error:
            result = _unmet(name, error)
    return result


def _absent(name: str, kind: str, findings: Findings) -> Result:
    fault = findings.fault(kind)
    return _unmet(name, fault or AttestationMissing(f"no {name} is attested"))


def _met(name: str, detail: str) -> Result:
    return Result(name=name, met=True, detail=detail)


def _unmet(name: str, error: TrustError) -> Result:
    return Result(name=name, met=False, detail=error.message, error=type(error).__name__)


def _read(content: dict[str, Any], kind: Any) -> Any:
    try:
        return msgspec.convert(content, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise AttestationMissing(f"it does not say what it should: {error}") from None


def _seconds(text: str) -> int:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = dt.datetime.min
    if found.tzinfo is None:
        raise AttestationMissing(f"its time {text!r} is not one of RFC 3339")
    return int(found.timestamp())


def _days(seconds: int) -> str:
    days = seconds // (24 * 60 * 60)
    return f"{days} day{'' if days == 1 else 's'}" if days else f"{seconds // 3600} hours"
