"""The threshold: what an environment tolerates without a waiver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.settings import SEVERITIES
from lockgate.gate.decision import Threshold

if TYPE_CHECKING:
    from lockgate.base.settings import Environment, Severity
    from lockgate.scan.model import Finding


def from_environment(environment: Environment) -> Threshold:
    """Return the threshold that an environment's settings describe."""
    return Threshold(
        severity=environment.severity,
        blocks=environment.blocks,
        fixed_only=environment.fixed_only,
        unknown=environment.unknown,
        embedded_advisories=environment.embedded_advisories,
        dirty=environment.dirty,
        unsandboxed_scanner=environment.unsandboxed_scanner,
        database_max_age_days=environment.database_max_age_days,
        waiver_max_days=environment.waiver_max_days,
    )


def taken_as(finding: Finding, threshold: Threshold) -> Severity:
    """Return the finding's severity; for one without, the severity it is taken to have."""
    return threshold.unknown if finding.severity == "UNKNOWN" else finding.severity


def counts(finding: Finding, threshold: Threshold) -> bool:
    """True when the finding is severe enough, and fixable where only fixable ones count."""
    if threshold.fixed_only and not finding.fixable:
        return False
    return SEVERITIES.index(taken_as(finding, threshold)) >= SEVERITIES.index(threshold.severity)
