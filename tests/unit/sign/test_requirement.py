"""Requirements over evidence."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.unit.sign.world import make_checks

from lockgate.base.canonical import loads
from lockgate.base.errors import SignatureInvalid
from lockgate.gate.decide import lapses_at
from lockgate.gate.decision import Waived, Waiver
from lockgate.gate.waiver import ends
from lockgate.oci.digest import Digest
from lockgate.sign import checks, predicate
from lockgate.sign.combine import Signers
from lockgate.sign.evidence import Evidence, Fault, Findings
from lockgate.sign.requirement import (
    Attested,
    Checked,
    Licensed,
    Passed,
    Provenance,
    Sbom,
    Scanned,
    Signature,
    default_requirement,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sign.world import World

    from lockgate.gate.decision import Decision
    from lockgate.scan.model import Finding
    from lockgate.sign.local import LocalSigner
    from lockgate.sign.public_key import PublicKey

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
                Evidence(
                    predicate_type=kind,
                    predicate=content,
                    key=key,
                    digest=Digest.of(b"x"),
                    name=more.get("name", ""),
                    annotations=more.get("annotations", {}),
                )
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
    assert Signature(by=Signers(keys=frozenset({signer.fingerprint}))).check(findings).met
    result = Signature(by=Signers(keys=frozenset({stranger.fingerprint}))).check(findings)
    assert (result.met, result.error) == (False, "KeyRefused")


def test_what_the_signer_said_may_be_required(prove: Callable[..., Findings]) -> None:
    """An annotation or a name of another value is another claim; one that is absent is none."""
    findings = prove(predicate.SIGNATURE, {}, annotations={"environment": "prod"}, name="app")
    assert Signature(annotations={"environment": "prod"}, reference="app").check(findings).met
    for other in (
        Signature(annotations={"environment": "dev"}),
        Signature(annotations={"environment": "prod", "stack": "python"}),
        Signature(reference="registry.example/app"),
    ):
        assert other.check(findings).error == "SubjectMismatch"


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
        (Provenance(builder="urn:lockgate:builder:lockgate/nativ"), "AttestationMissing"),
        (Provenance(source="https://git.example/other"), "SubjectMismatch"),
        (Provenance(source="https://git.example/"), "SubjectMismatch"),
    ],
)
def test_other_provenance_does_not(
    requirement: Provenance, error: str, prove: Callable[..., Findings], world: World
) -> None:
    """Another builder or commit is refused; a short commit id, or an empty builder, proves nothing."""
    findings = prove(predicate.PROVENANCE, predicate.provenance(world.image))
    assert requirement.check(findings).error == error


@pytest.mark.parametrize(
    ("wanted", "found", "holds"),
    [
        ("urn:b", "urn:b", True),
        ("urn:b", "urn:b@refs/tags/v1", True),
        ("urn:b", "urn:bb", False),
        ("urn:b@v1", "urn:b@v1", True),
        ("urn:b@v1", "urn:b@v2", False),
        ("urn:b/", "urn:b/c", True),
        ("urn:b/", "urn:b", False),
    ],
)
def test_a_builder_is_a_name_and_not_its_beginning(
    wanted: str, found: str, holds: bool, prove: Callable[..., Findings]
) -> None:
    """A version may follow, and a folder holds what is in it; anything else is another builder."""
    content = {"buildDefinition": {}, "runDetails": {"builder": {"id": found}}}
    assert Provenance(builder=wanted).check(prove(predicate.PROVENANCE, content)).met is holds


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("git+https://git.example/shop@3f2a9c1", "https://git.example/shop"),
        (
            "git+https://git.example/shop@refs/heads/main",
            "https://git.example/shop@refs/heads/main",
        ),
        ("git+ssh://git@git.example/shop", "ssh://git@git.example/shop"),
        ("git+ssh://git@git.example/shop@3f2a9c1", "ssh://git@git.example/shop"),
        ("https://git.example/shop", "https://git.example/shop"),
    ],
)
def test_a_source_is_an_address(uri: str, source: str, prove: Callable[..., Findings]) -> None:
    """The commit behind the address does not belong to it; a user in front of it does."""
    content = {
        "buildDefinition": {"resolvedDependencies": [{"uri": uri, "digest": {"gitCommit": "a"}}]},
        "runDetails": {"builder": {"id": "urn:lockgate:builder:x"}},
    }
    assert Provenance(source=source).check(prove(predicate.PROVENANCE, content)).met


def test_source_and_revision_are_of_one_repository(prove: Callable[..., Findings]) -> None:
    """A commit of one repository is none of another that was built from, too."""
    shop, tools = "https://git.example/shop", "https://git.example/tools"
    content = {
        "buildDefinition": {
            "resolvedDependencies": [
                {"uri": f"git+{shop}@a", "digest": {"gitCommit": "a"}},
                {"uri": f"git+{tools}@b", "digest": {"gitCommit": "b"}},
            ]
        },
        "runDetails": {"builder": {"id": "urn:lockgate:builder:x"}},
    }
    findings = prove(predicate.PROVENANCE, content)
    for source, revision in ((shop, "a"), (tools, "b")):
        assert Provenance(source=source, revision=revision).check(findings).met
    assert Provenance(source=shop, revision="b").check(findings).error == "SubjectMismatch"


def test_uncommitted_changes_are_not_the_commit(
    prove: Callable[..., Findings], world: World
) -> None:
    """A tree that differs from its commit was not built from it, whatever commit it names."""
    source = msgspec.structs.replace(world.image.source, changes=("app/x.py",))
    image = msgspec.structs.replace(world.image, source=source)
    findings = prove(predicate.PROVENANCE, predicate.provenance(image))
    assert Provenance().check(findings).met
    result = Provenance(revision=source.revision).check(findings)
    assert (result.error, "uncommitted" in result.detail) == ("SubjectMismatch", True)


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


def both(findings: Findings, content: dict[str, Any], key: PublicKey) -> Findings:
    """Return the findings with one more verdict."""
    more = Evidence(
        predicate_type=predicate.SUMMARY, predicate=content, key=key, digest=Digest.of(b"y")
    )
    return dataclasses.replace(findings, evidence=(*findings.evidence, more))


def test_the_newest_verdict_counts(
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
    signer: LocalSigner,
    high: Finding,
) -> None:
    """A permission after a refusal opens the gate, a refusal after a permission closes it again."""
    decided, key = world.decision.decided, signer.public_key()
    refusal = verdict(violations=(high,), decided=decided - 1)
    opened = both(prove(predicate.SUMMARY, refusal), verdict(), key)
    assert passed(world).check(opened).met
    for later in (decided, decided + 1):
        refusal = verdict(violations=(high,), decided=later)
        result = passed(world).check(both(prove(predicate.SUMMARY, verdict()), refusal, key))
        assert result.detail == "the gate of prod is closed to this image"


def test_what_a_refusal_took_back_stays_taken_back(
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
    signer: LocalSigner,
    high: Finding,
) -> None:
    """A later permission that no longer holds does not bring back the one before the refusal."""
    decided, key = world.decision.decided, signer.public_key()
    found = prove(predicate.SUMMARY, verdict(decided=decided - 2))
    found = both(found, verdict(violations=(high,), decided=decided - 1), key)
    other = msgspec.structs.replace(world.threshold, severity="CRITICAL")
    found = both(found, verdict(threshold=other), key)
    assert passed(world).check(found).error == "Stale"


@pytest.mark.parametrize("another_key", [False, True])
def test_no_older_verdict_takes_the_place_of_one_that_lapsed(
    another_key: bool,
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
    signer: LocalSigner,
    stranger: LocalSigner,
    high: Finding,
) -> None:
    """When a waiver ends, the verdict of before the finding was known permits nothing, whoever signed it."""
    waiver = Waiver(id="w", findings=(high.id,), owner="platform", reason="r", until="2026-11-18")
    older = prove(
        predicate.SUMMARY,
        verdict(decided=world.decision.decided - 1),
        at=ends(waiver),
        key=(stranger if another_key else signer).public_key(),
    )
    assert passed(world).check(older).met
    waived = verdict(waived=(Waived(finding=high, waiver=waiver),))
    assert passed(world).check(both(older, waived, signer.public_key())).error == "Stale"


def test_of_each_key_the_newest_verdict_counts(
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
    signer: LocalSigner,
    stranger: LocalSigner,
    high: Finding,
) -> None:
    """Where two must permit, one who took a permission back does not permit by the older one."""
    decided, second = world.decision.decided, stranger.public_key()
    two = dataclasses.replace(passed(world), by=Signers(quorum=2))
    found = prove(predicate.SUMMARY, verdict())
    found = both(found, verdict(decided=decided - 2), second)
    assert two.check(found).met
    found = both(found, verdict(violations=(high,), decided=decided - 1), second)
    assert two.check(found).detail.startswith("signed by 1 of 2: ")
    assert two.check(both(found, verdict(decided=decided), second)).met


def test_a_refusal_of_another_environment_closes_nothing(
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
    signer: LocalSigner,
    high: Finding,
) -> None:
    """What `staging` refused is for `staging` to say."""
    refusal = verdict(violations=(high,), decided=world.decision.decided + 1, environment="staging")
    found = both(prove(predicate.SUMMARY, verdict()), refusal, signer.public_key())
    assert passed(world).check(found).met


def test_a_refusal_by_a_key_that_does_not_count_closes_nothing(
    prove: Callable[..., Findings],
    verdict: Callable[..., dict[str, Any]],
    world: World,
    signer: LocalSigner,
    stranger: LocalSigner,
    high: Finding,
) -> None:
    """Where one key is to decide, another one can neither permit nor refuse."""
    refusal = verdict(violations=(high,), decided=world.decision.decided + 1)
    found = both(prove(predicate.SUMMARY, verdict()), refusal, stranger.public_key())
    only = Signers(keys=frozenset({signer.fingerprint}))
    assert dataclasses.replace(passed(world), by=only).check(found).met
    assert not passed(world).check(found).met


def test_a_verdict_may_be_so_old(
    prove: Callable[..., Findings], verdict: Callable[..., dict[str, Any]], world: World
) -> None:
    """A verdict that still holds can be too old for a reader."""
    findings = prove(predicate.SUMMARY, verdict(), at=world.decision.decided + DAY // 2)
    recent = dataclasses.replace(passed(world), max_age=DAY)
    assert recent.check(findings).met
    strict = dataclasses.replace(passed(world), max_age=3600)
    assert strict.check(findings).error == "Stale"


def test_another_environments_summary_is_named(
    prove: Callable[..., Findings], verdict: Callable[..., dict[str, Any]], world: World
) -> None:
    """What was decided for `dev` is no permission for `prod`, and the line says so."""
    result = passed(world).check(prove(predicate.SUMMARY, verdict(environment="dev")))
    assert result.detail == "the gate decided for dev, not for prod"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({}, "passed format, lint, tests, security, audit"),
        ({"failed": "lint"}, "failed: lint"),
        ({"idle": "tests"}, "passed format, lint, security, audit; not done: tests"),
    ],
)
def test_gates_may_be_required(
    changes: dict[str, str], detail: str, prove: Callable[..., Findings], world: World
) -> None:
    """No gate may have failed; one that was not done is said."""
    content = checks.predicates(make_checks(world.image, **changes), world.image)[checks.TESTS]
    result = Checked().check(prove(checks.TESTS, content))
    assert (result.met, result.detail) == ("failed" not in changes, detail)


def test_certain_gates_may_be_required(prove: Callable[..., Findings], world: World) -> None:
    """A gate that was not done, or that there is not, did not pass."""
    record = make_checks(world.image, idle="tests")
    content = checks.predicates(record, world.image)[checks.TESTS]
    findings = prove(checks.TESTS, content)
    assert Checked(gates=("lint", "audit")).check(findings).met
    for name in ("tests", "fuzz"):
        result = Checked(gates=("lint", name)).check(findings)
        assert (result.error, result.detail) == ("AttestationMissing", f"not passed: {name}")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"result": "passed", "passedTests": ["x"]},
        {"result": "PASSED"},
        {"result": "PASSED", "passedTests": ["x"], "failedTests": ["y"]},
        {"result": "PASSED", "passedTests": "x"},
    ],
)
def test_a_result_of_nothing_is_none(
    content: dict[str, Any], prove: Callable[..., Findings]
) -> None:
    """The word alone proves nothing: something must have passed, and nothing failed."""
    assert Checked().check(prove(checks.TESTS, content)).error == "AttestationMissing"
    assert Licensed().check(prove(checks.LICENCES, content)).error == "AttestationMissing"


def test_licences_may_be_required(prove: Callable[..., Findings], world: World) -> None:
    """Approved, and nothing else."""
    for failed, met in (("", True), ("licences", False)):
        record = make_checks(world.image, failed=failed)
        content = checks.predicates(record, world.image)[checks.LICENCES]
        assert Licensed().check(prove(checks.LICENCES, content)).met is met


def test_any_type_may_be_required(prove: Callable[..., Findings]) -> None:
    """A statement of a type that is not known here counts by its signature; one that is missing is named."""
    wanted = Attested(predicate_type="https://example.org/review/v1")
    assert wanted.check(prove("https://example.org/review/v1", {"a": 1})).met
    absent = wanted.check(prove("https://example.org/review/v2", {}))
    assert absent.error == "AttestationMissing"
    assert absent.detail == "nothing of the type https://example.org/review/v1 is attested"


def test_the_default_asks_for_all_five(world: World) -> None:
    """What `inv sign` writes is what an environment wants to see."""
    kinds = [type(one) for one in default_requirement("prod", world.threshold).parts]
    assert kinds == [Signature, Sbom, Scanned, Provenance, Passed]
