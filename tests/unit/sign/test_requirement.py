"""Requirements over evidence."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lockgate.base.canonical import loads
from lockgate.base.errors import SignatureInvalid
from lockgate.gate.decide import lapses_at
from lockgate.gate.decision import Waived, Waiver
from lockgate.gate.waiver import ends
from lockgate.oci.digest import Digest
from lockgate.sign import predicate
from lockgate.sign.evidence import Evidence, Fault, Findings
from lockgate.sign.requirement import (
    AllOf,
    AnyOf,
    Passed,
    Provenance,
    Sbom,
    Scanned,
    Signature,
    default_requirement,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sign.conftest import World

    from lockgate.gate.decision import Decision
    from lockgate.scan.model import Finding
    from lockgate.sign.keys import LocalSigner

DAY = 86400

SCAN = Digest.of(b"scan")


@pytest.fixture
def prove(world: World, signer: LocalSigner, now: int) -> Callable[..., Findings]:
    """Return evidence of one type with the given predicate, and the scan that the summary rests on."""

    def prove(kind: str = "", content: Any = None, *, at: int = now, **more: Any) -> Findings:
        key = more.get("key") or signer.public_key()
        found = [Evidence(predicate_type=predicate.VULN, predicate={}, key=key, digest=SCAN)]
        if kind == predicate.VULN:
            found = []
        if kind:
            content = loads(content) if isinstance(content, bytes) else content
            found.append(
                Evidence(predicate_type=kind, predicate=content, key=key, digest=Digest.of(b"x"))
            )
        return Findings(
            subject=world.image.subject,
            evidence=tuple(found),
            faults=more.get("faults", ()),
            now=at,
        )

    return prove


@pytest.fixture
def verdict(world: World) -> Callable[..., dict[str, Any]]:
    """Return the summary of a changed decision."""

    def verdict(*, development: bool = False, **changes: Any) -> dict[str, Any]:
        decision: Decision = msgspec.structs.replace(world.decision, **changes)
        data = predicate.summary(
            decision, evidence={predicate.VULN: b"scan"}, development=development
        )
        found: dict[str, Any] = loads(data)
        return found

    return verdict


def test_any_trusted_key_may_sign(prove: Callable[..., Findings], signer: LocalSigner) -> None:
    """The line says which key it was."""
    result = Signature().check(prove(predicate.SIGNATURE, {}))
    assert result.met
    assert result.detail == f"key {signer.public_key().short} (release)"


def test_a_certain_key_may_be_required(
    prove: Callable[..., Findings], signer: LocalSigner, stranger: LocalSigner
) -> None:
    """Another trusted key is not enough then."""
    findings = prove(predicate.SIGNATURE, {})
    assert Signature(key=signer.fingerprint).check(findings).met
    result = Signature(key=stranger.fingerprint).check(findings)
    assert (result.met, result.error) == (False, "KeyRefused")


@pytest.mark.parametrize(
    "requirement",
    [Signature(), Sbom(), Scanned(), Provenance()],
    ids=lambda one: type(one).__name__,
)
def test_without_evidence_nothing_holds(requirement: Any, now: int, world: World) -> None:
    """An image without referrers meets no requirement."""
    bare = Findings(subject=world.image.subject, evidence=(), faults=(), now=now)
    result = requirement.check(bare)
    assert (result.met, result.error) == (False, "AttestationMissing")


def test_a_fault_says_why_evidence_is_missing(prove: Callable[..., Findings]) -> None:
    """When there is a referrer that is no evidence, its fault is the reason, with its error."""
    fault = Fault(predicate_type=predicate.SBOM, error=SignatureInvalid("it does not verify"))
    result = Sbom().check(prove(faults=(fault,)))
    assert (result.detail, result.error) == ("it does not verify", "SignatureInvalid")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"bomFormat": "CycloneDX", "components": []},
        {"bomFormat": "SPDX", "components": [1]},
        {"bomFormat": "CycloneDX", "components": "libexpat1"},
    ],
)
def test_an_empty_sbom_is_none(content: dict[str, Any], prove: Callable[..., Findings]) -> None:
    """Empty is not success, signed or not."""
    assert Sbom().check(prove(predicate.SBOM, content)).error == "AttestationMissing"


def test_an_sbom_holds(prove: Callable[..., Findings], world: World) -> None:
    """The line says how much it lists."""
    result = Sbom().check(prove(predicate.SBOM, world.sbom))
    assert (result.met, result.detail) == (True, "CycloneDX, 1 component")


@pytest.mark.parametrize(
    ("age", "max_age", "error"),
    [
        (0, 0, ""),
        (400 * DAY, 0, ""),
        (DAY, DAY, ""),
        (DAY + 1, DAY, "Stale"),
        (-DAY, 0, "Stale"),
        (-DAY, DAY, "Stale"),
    ],
)
def test_a_scan_may_be_so_old(
    age: int, max_age: int, error: str, prove: Callable[..., Findings], world: World
) -> None:
    """A scan older than allowed, or of the future, is stale."""
    content = predicate.vuln(world.report, world.raw, builder="b")
    findings = prove(predicate.VULN, content, at=world.report.scanned + age)
    result = Scanned(max_age=max_age).check(findings)
    assert result.error == error
    if not error:
        assert result.detail.startswith("trivy 0.76.0, scanned 2026-11-18T")


@pytest.mark.parametrize(
    "when", ["", "yesterday", "2026-11-18", "2026-11-18T10:00:00", "2026-13-18T10:00:00Z", 7, None]
)
def test_a_scan_without_a_time_is_none(when: Any, prove: Callable[..., Findings]) -> None:
    """A time that cannot be read, or has no zone, is not taken for a recent one."""
    content = {"scanner": {"version": "1"}, "metadata": {"scanFinishedOn": when}}
    assert Scanned().check(prove(predicate.VULN, content)).error == "AttestationMissing"


def test_times_of_other_writers_are_read(prove: Callable[..., Findings], now: int) -> None:
    """RFC 3339 with fractions and offsets, as Go writes them."""
    when = "2026-11-18T10:00:00.123456789+01:00"
    content = {"scanner": {"version": "1"}, "metadata": {"scanFinishedOn": when}}
    assert Scanned().check(prove(predicate.VULN, content, at=now + DAY)).met


def test_provenance_holds(prove: Callable[..., Findings], world: World) -> None:
    """The line names builder and commit."""
    findings = prove(predicate.PROVENANCE, predicate.provenance(world.image))
    result = Provenance(revision=world.image.source.revision).check(findings)
    assert (result.met, result.detail) == (True, "builder lockgate/native, commit 3f2a9c1")


@pytest.mark.parametrize(
    ("requirement", "error"),
    [
        (Provenance(builder="urn:other:"), "AttestationMissing"),
        (Provenance(builder=""), "AttestationMissing"),
        (Provenance(revision="b" * 40), "SubjectMismatch"),
        (Provenance(revision="3f2a9c1"), "SubjectMismatch"),
    ],
)
def test_other_provenance_does_not(
    requirement: Provenance, error: str, prove: Callable[..., Findings], world: World
) -> None:
    """Another builder or commit is refused; a short commit id, or an empty builder, proves nothing."""
    findings = prove(predicate.PROVENANCE, predicate.provenance(world.image))
    assert requirement.check(findings).error == error


@pytest.mark.parametrize(
    "content", [{}, {"buildDefinition": {}}, {"buildDefinition": {}, "runDetails": {"builder": 7}}]
)
def test_provenance_without_its_fields_is_none(
    content: dict[str, Any], prove: Callable[..., Findings]
) -> None:
    """What does not name a builder is not provenance."""
    assert Provenance().check(prove(predicate.PROVENANCE, content)).error == "AttestationMissing"


def passed(world: World, **changes: Any) -> Passed:
    """Return what `prod` requires of its summary."""
    return Passed(environment="prod", threshold=msgspec.structs.replace(world.threshold, **changes))


def test_a_passed_summary_holds(
    prove: Callable[..., Findings], verdict: Callable[..., dict[str, Any]], world: World
) -> None:
    """The gate let it pass, here, under this threshold, on an attested scan."""
    result = passed(world).check(prove(predicate.SUMMARY, verdict()))
    assert (result.met, result.error) == (True, "")
    assert result.detail.startswith("prod passed 2026-11-18T")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"refusals": ("uncommitted changes",)}, "AttestationMissing"),
        ({"subject": Digest.of(b"other")}, "SubjectMismatch"),
        ({"environment": "dev"}, "AttestationMissing"),
        ({"database": None}, "AttestationMissing"),
        ({"decided": -(10**20)}, "AttestationMissing"),
    ],
)
def test_another_verdict_does_not(
    changes: dict[str, Any],
    error: str,
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
) -> None:
    """A closed gate, another image or environment, and a decision that is none are refused."""
    content = verdict()
    content[predicate.DECISION_FIELD].update(changes)
    assert passed(world).check(prove(predicate.SUMMARY, content)).error == error


def test_a_failed_summary_is_refused(
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
    high: Finding,
) -> None:
    """A refusal that was attested is no permission, and neither field alone makes one."""
    failed = verdict(violations=(high,))
    result = passed(world).check(prove(predicate.SUMMARY, failed))
    assert (result.error, result.detail) == (
        "AttestationMissing",
        "the gate of prod is closed to this image",
    )
    assert (
        not passed(world)
        .check(prove(predicate.SUMMARY, {**failed, "verificationResult": "PASSED"}))
        .met
    )
    assert (
        not passed(world)
        .check(prove(predicate.SUMMARY, {**verdict(), "verificationResult": "FAILED"}))
        .met
    )


@pytest.mark.parametrize(
    "field",
    [
        "verificationResult",
        "inputAttestations",
        predicate.DECISION_FIELD,
        predicate.DEVELOPMENT_FIELD,
        "policy",
    ],
)
def test_each_field_of_the_summary_is_needed(
    field: str,
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
) -> None:
    """A summary that leaves something out does not pass for one that says it."""
    content = verdict()
    del content[field]
    assert passed(world).check(prove(predicate.SUMMARY, content)).error == "AttestationMissing"


def test_a_stricter_threshold_makes_a_verdict_stale(
    prove: Callable[..., Findings], verdict: Callable[..., dict[str, Any]], world: World
) -> None:
    """A verdict under another policy than today's has to be given again."""
    result = passed(world, severity="MEDIUM").check(prove(predicate.SUMMARY, verdict()))
    assert result.error == "Stale"


def test_a_verdict_lapses(
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
    high: Finding,
) -> None:
    """With the database's age, and with the first waiver that it rests on."""
    over = lapses_at(world.decision)
    assert passed(world).check(prove(predicate.SUMMARY, verdict(), at=over - 1)).met
    assert passed(world).check(prove(predicate.SUMMARY, verdict(), at=over)).error == "Stale"
    waiver = Waiver(id="w", findings=(high.id,), owner="platform", reason="r", until="2026-11-18")
    waived = verdict(waived=(Waived(finding=high, waiver=waiver),))
    assert passed(world).check(prove(predicate.SUMMARY, waived)).detail.endswith(", 1 waived")
    findings = prove(predicate.SUMMARY, waived, at=ends(waiver))
    assert passed(world).check(findings).error == "Stale"


def test_a_verdict_of_the_future_is_stale(
    prove: Callable[..., Findings], verdict: Callable[..., dict[str, Any]], world: World
) -> None:
    """A date ahead of the clock proves nothing."""
    ahead = verdict(decided=world.decision.decided + DAY)
    assert passed(world).check(prove(predicate.SUMMARY, ahead)).error == "Stale"


@pytest.mark.parametrize("inputs", [[], [{}], [{"digest": {"sha256": "ab" * 32}}]])
def test_the_scan_of_a_verdict_must_be_attested(
    inputs: list[Any],
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
) -> None:
    """A summary that rests on no scan, or on one that is not there, is refused."""
    content = {**verdict(), "inputAttestations": inputs}
    assert passed(world).check(prove(predicate.SUMMARY, content)).error == "AttestationMissing"


def test_a_hidden_development_key_is_refused(
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
    developer: LocalSigner,
) -> None:
    """The summary says inside that a development key signed; a public key without the mark is a lie."""
    content = verdict(development=True)
    assert passed(world).check(prove(predicate.SUMMARY, content)).error == "KeyRefused"
    honest = prove(predicate.SUMMARY, content, key=developer.public_key())
    assert passed(world).check(honest).met


def test_the_newest_verdict_says_why(
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
    signer: LocalSigner,
    high: Finding,
) -> None:
    """Of several summaries one that holds is enough; when none does, the newest one's reason is shown."""
    findings = prove(predicate.SUMMARY, verdict(violations=(high,), decided=1))
    good = Evidence(
        predicate_type=predicate.SUMMARY,
        predicate=verdict(),
        key=signer.public_key(),
        digest=Digest.of(b"y"),
    )
    both = dataclasses.replace(findings, evidence=(*findings.evidence, good))
    assert passed(world).check(both).met
    over = dataclasses.replace(both, now=lapses_at(world.decision))
    assert passed(world).check(over).error == "Stale"


def test_another_environments_summary_is_named(
    prove: Callable[..., Findings], verdict: Callable[..., dict[str, Any]], world: World
) -> None:
    """What was decided for `dev` is no permission for `prod`, and the line says so."""
    result = passed(world).check(prove(predicate.SUMMARY, verdict(environment="dev")))
    assert result.detail == "the gate decided for dev, not for prod"


def test_all_of_needs_all(prove: Callable[..., Findings], world: World) -> None:
    """One unmet part refuses the whole, with its reason."""
    findings = prove(predicate.SBOM, world.sbom)
    assert AllOf(parts=(Sbom(), Sbom())).check(findings).met
    result = AllOf(parts=(Sbom(), Signature())).check(findings)
    assert (result.met, result.name) == (False, "all of: signature")


def test_any_of_needs_one(prove: Callable[..., Findings], world: World) -> None:
    """One met part is enough; when none is met every reason is told."""
    findings = prove(predicate.SBOM, world.sbom)
    result = AnyOf(parts=(Signature(), Sbom())).check(findings)
    assert (result.met, result.name) == (True, "any of: sbom")
    result = AnyOf(parts=(Signature(), Provenance())).check(findings)
    assert not result.met
    assert "signature" in result.detail
    assert "provenance" in result.detail


@pytest.mark.parametrize("empty", [AllOf(parts=()), AnyOf(parts=())])
def test_the_empty_requirement_never_holds(
    empty: AllOf | AnyOf, prove: Callable[..., Findings]
) -> None:
    """Nothing required is nothing proven, also inside another requirement."""
    for requirement in (empty, AllOf(parts=(empty,)), AnyOf(parts=(empty,))):
        result = requirement.check(prove())
        assert (result.met, result.error) == (False, "AttestationMissing")


def test_the_default_asks_for_all_five(world: World) -> None:
    """What `inv sign` writes is what an environment wants to see."""
    kinds = [type(one) for one in default_requirement("prod", world.threshold).parts]
    assert kinds == [Signature, Sbom, Scanned, Provenance, Passed]
