"""The threshold: which findings count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.base.settings import SEVERITIES, Environment, Settings, Severity
from lockgate.gate.threshold import counts, from_environment, taken_as

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.gate.decision import Threshold
    from lockgate.scan.model import Finding


@given(st.sampled_from(SEVERITIES[1:]), st.sampled_from(SEVERITIES))
def test_severity_counts_from_the_threshold_up(found: Severity, least: Severity) -> None:
    """A finding counts when it is at least as severe as the threshold."""
    threshold = from_environment(Environment(severity=least))
    assert counts(_finding(found), threshold) is (
        SEVERITIES.index(found) >= SEVERITIES.index(least)
    )


@pytest.mark.parametrize(
    ("unknown", "counted"), [("LOW", False), ("HIGH", True), ("CRITICAL", True)]
)
def test_an_unknown_severity_is_what_the_threshold_says(unknown: Severity, counted: bool) -> None:
    """A finding without a severity is judged as the threshold says, never dropped."""
    threshold = from_environment(Environment(severity="HIGH", unknown=unknown))
    assert taken_as(_finding("UNKNOWN"), threshold) == unknown
    assert counts(_finding("UNKNOWN"), threshold) is counted


def test_a_finding_without_a_fix_is_tolerated_where_only_fixed_ones_count(
    make_finding: Callable[..., Finding], make_threshold: Callable[..., Threshold]
) -> None:
    """`fixed_only` sets aside what nobody can update; without it everything counts."""
    finding = make_finding(fixed="")
    assert not counts(finding, make_threshold(fixed_only=True))
    assert counts(finding, make_threshold(fixed_only=False))


@pytest.mark.parametrize("kind", ["secret", "misconfig"])
def test_a_secret_is_always_fixable(
    kind: str, make_finding: Callable[..., Finding], make_threshold: Callable[..., Threshold]
) -> None:
    """A secret or a misconfiguration has no fixed version and counts all the same."""
    assert counts(make_finding(kind=kind, fixed=""), make_threshold(fixed_only=True))


def test_every_field_comes_from_the_environment() -> None:
    """The default environments give the policy of S2.9: dev reports from MEDIUM, prod blocks from HIGH."""
    environments = Settings(project="p", components={}).environments
    dev, prod = from_environment(environments["dev"]), from_environment(environments["prod"])
    assert (dev.severity, dev.blocks, dev.fixed_only) == ("MEDIUM", False, True)
    assert (prod.severity, prod.blocks, prod.fixed_only) == ("HIGH", True, True)
    assert (dev.embedded_advisories, prod.embedded_advisories) == (True, False)
    assert (dev.dirty, prod.dirty) == (True, False)
    assert (dev.unsandboxed_scanner, prod.unsandboxed_scanner) == (True, False)
    assert (dev.database_max_age_days, prod.database_max_age_days) == (365, 2)


def _finding(severity: Severity) -> Finding:
    from lockgate.scan.model import Finding

    return Finding(
        kind="vuln",
        id="CVE-2026-1",
        severity=severity,
        title="",
        package="p",
        version="1",
        fixed="2",
        target="debian",
        path="",
        purl="",
        aliases=(),
        platforms=(),
        layer="",
    )
