"""Decide: the verdict on a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lockgate.base.canonical import decode, encode
from lockgate.base.errors import DatabaseTooOld, GateClosed, ReportUnreadable
from lockgate.gate.decide import decide, lapses_at, require_open
from lockgate.gate.decision import Decision
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.gate.decision import Threshold, Waiver
    from lockgate.scan.model import Finding, Report

DAY = 86400


@pytest.fixture
def judge(
    now: int, make_report: Callable[..., Report], make_threshold: Callable[..., Threshold]
) -> Callable[..., Decision]:
    """Return decisions on findings, for component `app` in `prod`."""

    def judge(
        *findings: Finding,
        waivers: tuple[Waiver, ...] = (),
        threshold: Threshold | None = None,
        report: Report | None = None,
        at: int = now,
    ) -> Decision:
        return decide(
            report or make_report(*findings),
            component="app",
            environment="prod",
            threshold=threshold or make_threshold(),
            waivers=waivers,
            now=at,
        )

    return judge


def test_no_finding_is_a_pass(judge: Callable[..., Decision], now: int) -> None:
    """A scan of real packages without findings lets the image pass."""
    decision = judge()
    assert decision.allowed
    assert not decision.failed
    assert decision.decided == now
    require_open(decision)


def test_a_violation_closes_the_gate(
    judge: Callable[..., Decision], make_finding: Callable[..., Finding]
) -> None:
    """A finding at the threshold closes a blocking gate, and the decision is in the error."""
    decision = judge(make_finding())
    assert (decision.failed, decision.allowed) == (True, False)
    with pytest.raises(GateClosed, match="1 finding blocks") as caught:
        require_open(decision)
    assert caught.value.decision == decision
    assert caught.value.exit_code == 3
    assert caught.value.hint


def test_what_failed_and_whether_it_blocks_are_apart(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_threshold: Callable[..., Threshold],
) -> None:
    """S2.9: a reporting environment shows the violation, says that it failed, and lets it pass."""
    decision = judge(make_finding(), threshold=make_threshold(blocks=False))
    assert len(decision.violations) == 1
    assert (decision.failed, decision.blocks, decision.allowed) == (True, False, True)
    require_open(decision)


def test_every_finding_is_in_one_place(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_waiver: Callable[..., Waiver],
) -> None:
    """Violations, waived and tolerated findings together are the report's, each once, in its order."""
    findings = (
        make_finding(id="CVE-2026-0001", severity="CRITICAL"),
        make_finding(),
        make_finding(id="CVE-2026-0002", severity="UNKNOWN"),
        make_finding(id="CVE-2026-0003", severity="LOW"),
        make_finding(id="CVE-2026-0004", fixed=""),
    )
    decision = judge(*findings, waivers=(make_waiver(),))
    assert [one.id for one in decision.violations] == ["CVE-2026-0001", "CVE-2026-0002"]
    assert [one.finding.id for one in decision.waived] == ["CVE-2026-1234"]
    assert [one.id for one in decision.tolerated] == ["CVE-2026-0003", "CVE-2026-0004"]


def test_a_lapsed_waiver_permits_nothing(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_waiver: Callable[..., Waiver],
) -> None:
    """A waiver whose last day was yesterday is shown, and the finding is a violation."""
    waiver = make_waiver(until="2026-11-19")
    decision = judge(make_finding(), waivers=(waiver,))
    assert decision.violations
    assert decision.lapsed == (waiver,)
    assert not decision.allowed


def test_a_waiver_of_today_permits(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_waiver: Callable[..., Waiver],
) -> None:
    """On its last day a waiver still holds, until midnight UTC and not a second longer."""
    waiver = make_waiver(until="2026-11-20")
    midnight = judge(make_finding(), waivers=(waiver,))
    assert midnight.allowed
    over = lapses_at(midnight)
    assert judge(make_finding(), waivers=(waiver,), at=over - 1).allowed
    assert not judge(make_finding(), waivers=(waiver,), at=over).allowed


def test_an_unused_waiver_is_named(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_waiver: Callable[..., Waiver],
) -> None:
    """A waiver of this component that matches nothing is named; one of another component is not."""
    unused = make_waiver(id="old", findings=("CVE-2020-1111",))
    other = make_waiver(id="other", findings=("CVE-2020-2222",), components=("worker",))
    decision = judge(make_finding(), waivers=(unused, other))
    assert decision.unused == (unused,)
    assert decision.lapsed == ()


def test_a_waiver_for_a_tolerated_finding_is_not_unused(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_waiver: Callable[..., Waiver],
) -> None:
    """A waiver that another environment needs is not called superfluous here."""
    decision = judge(make_finding(severity="LOW"), waivers=(make_waiver(),))
    assert (decision.unused, decision.lapsed, decision.waived) == ((), (), ())


def test_a_verdict_rests_on_the_waiver_that_lasts_longest(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_waiver: Callable[..., Waiver],
) -> None:
    """Of two waivers for one finding the longer one is used."""
    short, long = make_waiver(id="a", until="2026-11-21"), make_waiver(id="b", until="2026-12-01")
    decision = judge(make_finding(), waivers=(short, long))
    assert decision.waived[0].waiver == long
    assert decision.unused == ()


@pytest.mark.parametrize(
    ("change", "permission", "refusal"),
    [
        ("embedded", "embedded_advisories", "embedded advisories"),
        ("partial", "embedded_advisories", "embedded advisories"),
        ("dirty", "dirty", "uncommitted changes"),
        ("sandbox", "unsandboxed_scanner", "scanner without sandbox"),
    ],
)
def test_a_refusal_closes_the_gate(
    change: str,
    permission: str,
    refusal: str,
    judge: Callable[..., Decision],
    make_report: Callable[..., Report],
    make_threshold: Callable[..., Threshold],
) -> None:
    """What an environment never takes closes the gate without any finding, even where none would block."""
    report = make_report()
    changes: dict[str, dict[str, Any]] = {
        "embedded": {"database": msgspec.structs.replace(report.database, kind="embedded")},
        "partial": {"database": msgspec.structs.replace(report.database, partial=True)},
        "dirty": {"dirty": True},
        "sandbox": {"scanner": msgspec.structs.replace(report.scanner, sandbox="none")},
    }
    report = msgspec.structs.replace(report, **changes[change])
    closed = judge(report=report, threshold=make_threshold(blocks=False))
    assert closed.refusals == (refusal,)
    assert not closed.allowed
    with pytest.raises(GateClosed, match=refusal):
        require_open(closed)
    assert judge(report=report, threshold=make_threshold(**{permission: True})).allowed


def test_a_set_that_is_never_taken_may_be_of_any_age(
    judge: Callable[..., Decision], make_report: Callable[..., Report]
) -> None:
    """The verdict of one commit does not turn into an error because days go by."""
    report = make_report()
    old = msgspec.structs.replace(report.database, kind="embedded", updated=0)

    closed = judge(report=msgspec.structs.replace(report, database=old))

    assert closed.refusals == ("embedded advisories",)
    with pytest.raises(GateClosed, match="embedded advisories"):
        require_open(closed)


def test_refusals_are_sorted(
    judge: Callable[..., Decision], make_report: Callable[..., Report]
) -> None:
    """Several refusals stand in one order."""
    report = make_report(dirty=True)
    report = msgspec.structs.replace(
        report,
        database=msgspec.structs.replace(report.database, kind="embedded"),
        scanner=msgspec.structs.replace(report.scanner, sandbox="none"),
    )
    assert judge(report=report).refusals == (
        "embedded advisories",
        "scanner without sandbox",
        "uncommitted changes",
    )


def test_an_empty_report_is_an_error(
    judge: Callable[..., Decision], make_report: Callable[..., Report]
) -> None:
    """A report that covers no platform is not a pass."""
    with pytest.raises(ReportUnreadable, match="nothing was scanned"):
        judge(report=make_report(platforms=()))


def test_a_platform_without_packages_is_an_error(
    judge: Callable[..., Decision], make_report: Callable[..., Report]
) -> None:
    """A scan that saw no package found nothing because it did not look."""
    report = make_report()
    empty = msgspec.structs.replace(report.platforms[0], packages=0)
    with pytest.raises(ReportUnreadable, match="linux/amd64"):
        judge(report=msgspec.structs.replace(report, platforms=(empty,)))


def test_the_database_may_be_as_old_as_allowed(
    judge: Callable[..., Decision], make_report: Callable[..., Report]
) -> None:
    """The verdict holds to the last allowed second, then it is an error of the tool, exit 6."""
    decision = judge()
    over = lapses_at(decision)
    assert over == decision.database.updated + 2 * DAY + 1
    assert judge(report=make_report(), at=over - 1).allowed
    with pytest.raises(DatabaseTooOld, match="3 days old, prod allows 2") as caught:
        judge(report=make_report(), at=over)
    assert caught.value.exit_code == 6
    assert caught.value.hint


def test_a_database_from_the_future_is_refused(
    judge: Callable[..., Decision], make_report: Callable[..., Report], now: int
) -> None:
    """A date ahead of the clock would never grow old, so no age can be told."""
    report = make_report()
    ahead = msgspec.structs.replace(report.database, updated=now + DAY)
    with pytest.raises(DatabaseTooOld, match="future"):
        judge(report=msgspec.structs.replace(report, database=ahead))
    with pytest.raises(DatabaseTooOld, match="future"):
        judge(report=make_report(scanned=now + DAY))


def test_a_verdict_lapses_with_the_first_waiver(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_waiver: Callable[..., Waiver],
    make_threshold: Callable[..., Threshold],
) -> None:
    """Of all that a verdict rests on, what ends first ends it; unused waivers do not count."""
    first = make_waiver(id="a", until="2026-11-22")
    second = make_waiver(id="b", findings=("CVE-2026-5555",), until="2026-11-25")
    unused = make_waiver(id="c", findings=("CVE-2026-6666",), until="2026-11-20")
    decision = judge(
        make_finding(),
        make_finding(id="CVE-2026-5555"),
        waivers=(second, first, unused),
        threshold=make_threshold(database_max_age_days=30),
    )
    assert lapses_at(decision) == decision.decided + 2 * DAY + DAY // 2


def test_the_decision_names_its_report(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_report: Callable[..., Report],
) -> None:
    """The decision holds the digest of the report's canonical bytes, so that both can be matched later."""
    report = make_report(make_finding())
    assert judge(report=report).report == Digest.of(encode(report))


def test_a_decision_survives_its_canonical_form(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_waiver: Callable[..., Waiver],
) -> None:
    """A decision that was written and read is the same decision."""
    decision = judge(make_finding(), make_finding(id="CVE-2026-2"), waivers=(make_waiver(),))
    assert decode(encode(decision), Decision) == decision
