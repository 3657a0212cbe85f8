"""A decision as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockgate.base.canonical import decode
from lockgate.gate.decide import decide
from lockgate.gate.decision import Decision
from lockgate.gate.render import WIDTH, headline, record, table, totals
from lockgate.scan.model import UNSUPPORTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.gate.decision import Threshold, Waiver
    from lockgate.scan.model import Finding, Report


@pytest.fixture
def judge(
    now: int, make_report: Callable[..., Report], make_threshold: Callable[..., Threshold]
) -> Callable[..., Decision]:
    """Return decisions for component `app` in `prod`."""

    def judge(
        *findings: Finding, waivers: tuple[Waiver, ...] = (), dirty: bool = False, **changes: object
    ) -> Decision:
        return decide(
            make_report(*findings, dirty=dirty),
            component="app",
            environment="prod",
            threshold=make_threshold(**changes),
            waivers=waivers,
            now=now,
        )

    return judge


def lines(decision: Decision) -> tuple[str, ...]:
    """Return the table of a component whose requirements are in `app/requirements.in`."""
    return table(decision, requirements="app/requirements.in")


def test_a_closed_gate_says_so(
    judge: Callable[..., Decision], make_finding: Callable[..., Finding]
) -> None:
    """The headline has environment, verdict and number."""
    decision = judge(make_finding(), make_finding(id="CVE-2026-2222"))
    assert headline(decision) == "prod: closed   2 findings block"


def test_a_headline_for_each_verdict(
    judge: Callable[..., Decision], make_finding: Callable[..., Finding]
) -> None:
    """Pass, reported and refused are three different headlines."""
    assert headline(judge()) == "prod: pass"
    assert headline(judge(make_finding(), blocks=False)) == (
        "prod: pass   1 finding reported, prod does not block"
    )
    assert headline(judge(dirty=True)) == "prod: closed   never takes uncommitted changes"
    assert headline(judge(make_finding(), dirty=True)) == (
        "prod: closed   1 finding blocks; never takes uncommitted changes"
    )


def test_a_debian_finding_points_at_the_base(
    judge: Callable[..., Decision], make_finding: Callable[..., Finding]
) -> None:
    """A package of the base layer is fixed by locking again; what does not fit goes to a second line."""
    shown = lines(judge(make_finding()))
    assert shown == (
        "HIGH     CVE-2026-1234  libexpat1 2.7.1-1 → fixed in 2.7.1-2",
        "         base layer: `./inv build.lock`, or a waiver",
    )


def test_a_python_finding_points_at_its_file(
    judge: Callable[..., Decision], make_finding: Callable[..., Finding]
) -> None:
    """A Python distribution is fixed in the component's requirements."""
    finding = make_finding(
        package="jinja2",
        version="3.1.4",
        fixed="3.1.6",
        target="python-pkg",
        purl="pkg:pypi/jinja2@3.1.4",
        path="usr/lib/python3/site-packages/jinja2-3.1.4.dist-info/METADATA",
    )
    assert lines(judge(finding)) == (
        "HIGH     CVE-2026-1234  jinja2 3.1.4 → fixed in 3.1.6   app/requirements.in",
    )


def test_a_finding_without_a_fix_says_so(
    judge: Callable[..., Decision], make_finding: Callable[..., Finding]
) -> None:
    """Where unfixed findings count, the line does not promise an update."""
    shown = lines(judge(make_finding(fixed=""), fixed_only=False))
    assert "has no fix yet" in shown[0]


def test_a_secret_shows_its_file(
    judge: Callable[..., Decision], make_finding: Callable[..., Finding]
) -> None:
    """A secret is named by what it is and where it lies."""
    shown = lines(
        judge(
            make_finding(
                kind="secret", id="aws-access-key-id", title="AWS key", path="app/x.py", purl=""
            )
        )
    )
    assert "AWS key in app/x.py" in shown[0]
    assert "revoke" in " ".join(shown)


def test_a_misconfiguration_points_at_the_image(
    judge: Callable[..., Decision], make_finding: Callable[..., Finding]
) -> None:
    """A misconfiguration has nothing to update; the image itself is changed."""
    shown = lines(judge(make_finding(kind="misconfig", id="DS-0002", title="runs as root")))
    assert "change the image's configuration" in " ".join(shown)


def test_packages_without_advisories_point_at_the_database(
    judge: Callable[..., Decision], make_finding: Callable[..., Finding]
) -> None:
    """What could not be looked up is in the table like a finding, with the way to look it up."""
    title = "3 gobinary packages, unknown to the embedded advisories"
    shown = lines(judge(make_finding(kind="unchecked", id="UNCHECKED-GOBINARY", title=title)))
    assert title in shown[0]
    assert "inv scan.database --pull" in " ".join(shown)


def test_a_system_that_is_over_points_at_another_one(
    judge: Callable[..., Decision], make_finding: Callable[..., Finding]
) -> None:
    """No database helps there."""
    title = "debian 10 is no longer supported with advisories"
    shown = " ".join(lines(judge(make_finding(kind="unchecked", id=UNSUPPORTED, title=title))))
    assert title in shown
    assert "build on a release that is supported" in shown
    assert "--pull" not in shown


def test_a_lapsed_waiver_is_told(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_waiver: Callable[..., Waiver],
) -> None:
    """A lapsed waiver is shown with when, whose and why."""
    shown = lines(judge(make_finding(), waivers=(make_waiver(until="2026-11-19"),)))
    assert any(line.startswith("waiver expat lapsed yesterday: CVE-2026-1234") for line in shown)
    shown = lines(judge(make_finding(), waivers=(make_waiver(until="2026-11-10"),)))
    assert any("lapsed 10 days ago" in line for line in shown)


def test_waived_unused_and_tolerated_are_told(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_waiver: Callable[..., Waiver],
) -> None:
    """Nothing that was set aside goes unsaid."""
    decision = judge(
        make_finding(),
        make_finding(id="CVE-2026-7", severity="LOW"),
        waivers=(make_waiver(), make_waiver(id="old", findings=("CVE-2020-1111",))),
    )
    shown = lines(decision)
    assert shown[0].startswith("waived   CVE-2026-1234  libexpat1 until 2026-12-01")
    assert "waiver old matches nothing: remove it (owner platform)" in shown
    assert shown[-1] == "1 finding tolerated: prod counts HIGH and up with a fix"


def test_totals_by_severity(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    make_waiver: Callable[..., Waiver],
) -> None:
    """Every finding is counted under its severity, and waived ones are marked."""
    decision = judge(
        make_finding(),
        make_finding(id="CVE-2026-7", severity="UNKNOWN"),
        waivers=(make_waiver(),),
    )
    assert totals(decision) == (
        "critical 0 · high 1 (waived until 2026-12-01, owner platform) · unknown 1"
    )
    assert totals(judge()) == "critical 0 · high 0"
    both = judge(make_finding(), make_finding(package="other"), waivers=(make_waiver(),))
    assert totals(both) == "critical 0 · high 2 (2 waived)"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(max_size=150), st.text(max_size=150), st.text(max_size=150))
def test_lines_fit_and_are_plain(
    judge: Callable[..., Decision],
    make_finding: Callable[..., Finding],
    package: str,
    version: str,
    title: str,
) -> None:
    """Whatever a report holds, a line fits the terminal and cannot move its cursor."""
    decision = judge(
        make_finding(package=package, version=version),
        make_finding(kind="secret", title=title, path=package, id="rule"),
    )
    for line in lines(decision):
        assert len(line) <= WIDTH
        assert line.isprintable()


def test_the_record_is_the_decision(
    judge: Callable[..., Decision], make_finding: Callable[..., Finding]
) -> None:
    """`--json` prints the record, from which the decision can be read again."""
    decision = judge(make_finding())
    assert decode(record(decision), Decision) == decision
