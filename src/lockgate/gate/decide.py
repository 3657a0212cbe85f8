"""Decide: may this digest go on? A pure function of a report, a threshold, waivers and the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.base.canonical import encode
from lockgate.base.errors import DatabaseTooOld, GateClosed, ReportUnreadable
from lockgate.gate.decision import Decision, Waived
from lockgate.gate.threshold import counts
from lockgate.gate.waiver import covers, day, ends, holds
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from lockgate.gate.decision import Threshold, Waiver
    from lockgate.scan.model import Finding, Report

EMBEDDED = "embedded advisories"
DIRTY = "uncommitted changes"
UNSANDBOXED = "scanner without sandbox"

_DAY = 24 * 60 * 60
_SKEW = 5 * 60
"""Seconds by which two machines' clocks may differ."""


def decide(
    report: Report,
    *,
    component: str,
    environment: str,
    threshold: Threshold,
    waivers: Sequence[Waiver],
    now: int,
) -> Decision:
    """Return the gate's verdict on a report.

    Args:
        report: what the scanner said.
        component: name of the component, for waivers that are limited to some.
        environment: name of the environment whose threshold this is.
        threshold: what the environment tolerates.
        waivers: permissions, lapsed ones among them.
        now: seconds since 1970.

    Raises:
        ReportUnreadable: the report covers no platform, or no package on one: empty is not success.
        DatabaseTooOld: the advisories were older at `now` than the environment allows, or dated in the future. How
            old a set is that the environment takes at no age does not matter.
    """
    _check_report(report)
    _check_clock(report, now)
    if not _is_refused(report, threshold):
        _check_age(report, environment, threshold, now)
    today = day(now)
    violations: list[Finding] = []
    waived: list[Waived] = []
    tolerated: list[Finding] = []
    for finding in report.findings:
        if not counts(finding, threshold):
            tolerated.append(finding)
        elif (waiver := _permission(waivers, finding, component, today)) is not None:
            waived.append(Waived(finding=finding, waiver=waiver))
        else:
            violations.append(finding)
    here = [one for one in waivers if not one.components or component in one.components]
    matching = [
        one for one in here if any(covers(one, each, component) for each in report.findings)
    ]
    return Decision(
        subject=report.subject,
        component=component,
        environment=environment,
        threshold=threshold,
        violations=tuple(violations),
        blocks=threshold.blocks,
        refusals=_refusals(report, threshold),
        waived=tuple(waived),
        tolerated=tuple(tolerated),
        lapsed=tuple(one for one in matching if not holds(one, today)),
        unused=tuple(one for one in here if one not in matching),
        scanner=report.scanner,
        database=report.database,
        scanned=report.scanned,
        decided=now,
        report=Digest.of(encode(report)),
    )


def require_open(decision: Decision) -> None:
    """Return when the image may go on.

    Raises:
        GateClosed: it may not; the decision is inside.
    """
    if decision.allowed:
        return
    reasons = []
    if decision.blocks and decision.violations:
        many = len(decision.violations)
        reasons.append(f"{many} finding{'s block' if many != 1 else ' blocks'}")
    if decision.refusals:
        reasons.append("it never takes " + ", ".join(decision.refusals))
    raise GateClosed(
        f"{decision.environment} is closed to {decision.component} "
        f"{Digest(decision.subject).short}: {'; '.join(reasons)}",
        decision=decision,
        hint=_hint(decision),
    )


_REMEDIES = {
    EMBEDDED: "pull Trivy's database: `inv scan.database --pull`, then scan again",
    DIRTY: "commit the changes, then `inv build scan`",
    UNSANDBOXED: "scan where the kernel allows namespaces: `inv doctor` says",
}


def _hint(decision: Decision) -> str:
    if decision.blocks and decision.violations:
        return "fix what the table names and build again, or add a dated waiver for a finding"
    return _REMEDIES[decision.refusals[0]]


def lapses_at(decision: Decision) -> int:
    """Return the first second, since 1970, at which the verdict no longer holds.

    That is when its database becomes too old, or the first waiver that it rests on ends.
    """
    age = decision.threshold.database_max_age_days * _DAY
    return min(
        [decision.database.updated + age + 1, *(ends(one.waiver) for one in decision.waived)]
    )


def _check_report(report: Report) -> None:
    hint = "run `inv scan` again"
    if not report.platforms:
        raise ReportUnreadable(
            f"the report of {Digest(report.subject).short} covers no platform: nothing was scanned",
            hint=hint,
        )
    for one in report.platforms:
        if one.packages < 1:
            raise ReportUnreadable(
                f"the scanner saw no package on {one.platform}: nothing was scanned", hint=hint
            )


def _check_clock(report: Report, now: int) -> None:
    updated = report.database.updated
    if updated > now + _SKEW or report.scanned > now + _SKEW:
        # Of a time in the future no age can be told, and it would stay fresh for ever.
        raise DatabaseTooOld(
            "the scan or its database is dated in the future: how old it is cannot be told",
            hint="check this machine's clock with `date -u`, then run `inv scan` again",
        )


def _check_age(report: Report, environment: str, threshold: Threshold, now: int) -> None:
    updated, allowed = report.database.updated, threshold.database_max_age_days
    if now - updated > allowed * _DAY:
        # A begun day counts, or 2 days and an hour would read as "2 days old, prod allows 2".
        old = -(-(now - updated) // _DAY)
        raise DatabaseTooOld(
            f"the advisory database is {old} day{'s' if old != 1 else ''} old, "
            f"{environment} allows {allowed}",
            hint="pull it: `inv scan.database --pull`",
        )


def _is_refused(report: Report, threshold: Threshold) -> bool:
    """Return whether the environment takes no such database; what may be less than the whole one counts as a part."""
    whole = report.database.kind == "upstream" and not report.database.partial
    return not (whole or threshold.embedded_advisories)


def _refusals(report: Report, threshold: Threshold) -> tuple[str, ...]:
    found = []
    if _is_refused(report, threshold):
        found.append(EMBEDDED)
    if report.dirty and not threshold.dirty:
        found.append(DIRTY)
    if report.scanner.sandbox != "namespaces" and not threshold.unsandboxed_scanner:
        found.append(UNSANDBOXED)
    return tuple(sorted(found))


def _permission(
    waivers: Sequence[Waiver], finding: Finding, component: str, today: dt.date
) -> Waiver | None:
    """Return the waiver that permits the finding for longest, so that a verdict rests on that one."""
    usable = [one for one in waivers if holds(one, today) and covers(one, finding, component)]
    return max(usable, key=lambda one: one.until, default=None)
