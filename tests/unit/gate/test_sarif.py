"""A decision as SARIF 2.1.0. Checked here against what the specification requires of each object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.base.settings import SEVERITIES, Severity
from lockgate.gate.decide import decide
from lockgate.gate.sarif import sarif

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.gate.decision import Decision, Threshold, Waiver
    from lockgate.scan.model import Finding, Report


@pytest.fixture
def decision(
    now: int,
    make_report: Callable[..., Report],
    make_threshold: Callable[..., Threshold],
    make_finding: Callable[..., Finding],
    make_waiver: Callable[..., Waiver],
) -> Decision:
    """Return a decision with a violation, a waived and a tolerated finding, and a refusal."""
    report = make_report(
        make_finding(id="CVE-2026-0001", severity="CRITICAL"),
        make_finding(id="CVE-2026-0001", severity="CRITICAL", package="libexpat1-dev"),
        make_finding(),
        make_finding(
            id="CVE-2026-0002", severity="UNKNOWN", path="app/a b.py", target="python-pkg"
        ),
        make_finding(id="CVE-2026-0003", severity="LOW", target="python-pkg", path="/app/x"),
        dirty=True,
    )
    return decide(
        report,
        component="app",
        environment="prod",
        threshold=make_threshold(),
        waivers=(make_waiver(),),
        now=now,
    )


@pytest.fixture
def log(decision: Decision) -> dict[str, Any]:
    """Return the parsed log."""
    found: dict[str, Any] = json.loads(sarif(decision))
    return found


def test_the_log_has_its_required_properties(log: dict[str, Any]) -> None:
    """Sections 3.13, 3.14, 3.18 and 3.19: version, runs, tool, driver and its name."""
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    assert run["tool"]["driver"]["name"] == "lockgate"
    assert run["tool"]["extensions"] == [{"name": "trivy", "version": "0.76.0"}]
    assert run["invocations"][0]["executionSuccessful"] is True


def test_rules_are_unique_and_indexed(log: dict[str, Any]) -> None:
    """Sections 3.19.23, 3.27.5 and 3.27.6: each rule once, and each result points at its own."""
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    names = [rule["id"] for rule in rules]
    assert names == sorted(set(names))
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]


def test_nothing_is_left_out(log: dict[str, Any], decision: Decision) -> None:
    """Every finding of the decision is a result."""
    (run,) = log["runs"]
    every = len(decision.violations) + len(decision.waived) + len(decision.tolerated)
    assert len(run["results"]) == every == 5


def test_a_waived_finding_is_suppressed_with_its_reason(log: dict[str, Any]) -> None:
    """Sections 3.27.23 and 3.35: an accepted, external suppression with a justification; others have none."""
    (run,) = log["runs"]
    suppressed = [one for one in run["results"] if "suppressions" in one]
    assert [one["ruleId"] for one in suppressed] == ["CVE-2026-1234"]
    (suppression,) = suppressed[0]["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    assert "no input of ours reaches the parser" in suppression["justification"]
    assert "owner platform, until 2026-12-01" in suppression["justification"]


def test_a_tolerated_finding_is_informational(log: dict[str, Any]) -> None:
    """Section 3.27.9: a result that is not a failure has the level `none`."""
    (run,) = log["runs"]
    kinds = {one["ruleId"]: (one["kind"], one["level"]) for one in run["results"]}
    assert kinds["CVE-2026-0003"] == ("informational", "none")
    assert kinds["CVE-2026-0001"] == ("fail", "error")
    assert kinds["CVE-2026-0002"] == ("fail", "error"), "UNKNOWN is taken as HIGH here"


@pytest.mark.parametrize("severity", SEVERITIES)
def test_every_severity_has_a_level(
    severity: Severity,
    now: int,
    make_report: Callable[..., Report],
    make_threshold: Callable[..., Threshold],
    make_finding: Callable[..., Finding],
) -> None:
    """Section 3.27.10: the level follows the severity that the gate went by."""
    decision = decide(
        make_report(make_finding(severity=severity)),
        component="app",
        environment="dev",
        threshold=make_threshold(severity="UNKNOWN", unknown="UNKNOWN"),
        waivers=(),
        now=now,
    )
    (result,) = json.loads(sarif(decision))["runs"][0]["results"]
    wanted = {"CRITICAL": "error", "HIGH": "error", "MEDIUM": "warning"}.get(severity, "note")
    assert result["level"] == wanted


def test_locations_are_relative_and_escaped(log: dict[str, Any]) -> None:
    """Section 3.4.3: a relative URI reference, below a base that the run names."""
    (run,) = log["runs"]
    uris = {
        one["ruleId"]: one["locations"][0]["physicalLocation"]["artifactLocation"]
        for one in run["results"]
    }
    assert uris["CVE-2026-0002"]["uri"] == "app/a%20b.py"
    assert uris["CVE-2026-0003"]["uri"] == "app/x"
    assert uris["CVE-2026-1234"]["uri"] == "var/lib/dpkg/status.d/libexpat1"
    assert {one["uriBaseId"] for one in uris.values()} <= set(run["originalUriBaseIds"])


def test_a_secret_and_an_unknown_place(
    now: int,
    make_report: Callable[..., Report],
    make_threshold: Callable[..., Threshold],
    make_finding: Callable[..., Finding],
) -> None:
    """A secret's message names its file; a finding without a path is placed at its target."""
    decision = decide(
        make_report(
            make_finding(id="aws-key", kind="secret", title="AWS key", path="app/x.py", fixed=""),
            make_finding(id="CVE-2026-0009", target="python-pkg"),
        ),
        component="app",
        environment="prod",
        threshold=make_threshold(),
        waivers=(),
        now=now,
    )
    secret, other = json.loads(sarif(decision))["runs"][0]["results"]
    assert secret["message"]["text"] == "AWS key in app/x.py"
    place = other["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place["uri"] == "python-pkg"


def test_fingerprints_tell_findings_apart(log: dict[str, Any]) -> None:
    """Section 3.27.17: one vulnerability in two packages is two results."""
    (run,) = log["runs"]
    prints = [one["partialFingerprints"]["lockgate/v1"] for one in run["results"]]
    assert len(set(prints)) == len(prints)


def test_a_refusal_is_a_notification(log: dict[str, Any]) -> None:
    """Section 3.20.22: what the environment never takes is said although it is no finding."""
    (run,) = log["runs"]
    (note,) = run["invocations"][0]["toolConfigurationNotifications"]
    assert note["level"] == "error"
    assert "uncommitted changes" in note["message"]["text"]
    assert run["properties"]["allowed"] is False


def test_the_same_decision_gives_the_same_bytes(decision: Decision) -> None:
    """The log holds nothing but the decision."""
    assert sarif(decision) == sarif(decision)
