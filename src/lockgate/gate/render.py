"""A Decision for readers: lines for the terminal and the canonical record."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from lockgate.base.canonical import encode
from lockgate.base.settings import SEVERITIES
from lockgate.gate.waiver import day
from lockgate.scan.model import UNSUPPORTED

if TYPE_CHECKING:
    from lockgate.gate.decision import Decision, Waived, Waiver
    from lockgate.scan.model import Finding

WIDTH = 91
"""Columns of a line; the console puts the stage's name in nine columns before it, which makes 100."""

_SEVERITY = 9
"""Columns of the severity and one blank."""


def headline(decision: Decision) -> str:
    """Return the verdict in a few words: `prod: closed   2 findings block`."""
    name, count = decision.environment, len(decision.violations)
    if decision.allowed:
        if not decision.violations:
            return f"{name}: pass"
        return f"{name}: pass   {_many(count, 'finding')} reported, {name} does not block"
    reasons = []
    if decision.blocks and count:
        reasons.append(f"{_many(count, 'finding')} {'blocks' if count == 1 else 'block'}")
    if decision.refusals:
        reasons.append("never takes " + ", ".join(decision.refusals))
    return f"{name}: closed   {'; '.join(reasons)}"


def totals(decision: Decision) -> str:
    """Return how many findings there are by severity, and what is waived.

    `critical 0 · high 0 · medium 1 (waived until 2026-12-31, owner platform)`
    """
    waived = [one.finding for one in decision.waived]
    every = [*decision.violations, *waived, *decision.tolerated]
    parts = []
    for severity in reversed(SEVERITIES):
        found = [one for one in every if one.severity == severity]
        if found or severity in ("CRITICAL", "HIGH"):
            parts.append(f"{severity.lower()} {len(found)}{_waived_part(decision, severity)}")
    return " · ".join(parts)


def _waived_part(decision: Decision, severity: str) -> str:
    found = [one for one in decision.waived if one.finding.severity == severity]
    if not found:
        return ""
    if len(found) == 1:
        waiver = found[0].waiver
        return f" (waived until {waiver.until}, owner {_plain(waiver.owner)})"
    return f" ({len(found)} waived)"


def table(decision: Decision, *, requirements: str, width: int = WIDTH) -> tuple[str, ...]:
    """Return what stands below the headline: violations, waived findings, lapsed and unused waivers.

    Args:
        decision: the verdict.
        requirements: the file to edit for a Python distribution, `app/requirements.in`.
        width: columns that a line may have.
    """
    lines: list[str] = []
    for finding in decision.violations:
        lines += _violation(finding, requirements, width)
    lines += [_fit(_waived(one), width) for one in decision.waived]
    lines += [_fit(_lapsed(one, day(decision.decided)), width) for one in decision.lapsed]
    lines += [
        _fit(f"waiver {one.id} matches nothing: remove it (owner {_plain(one.owner)})", width)
        for one in decision.unused
    ]
    if decision.tolerated:
        lines.append(_fit(_tolerated(decision), width))
    return tuple(lines)


def _violation(finding: Finding, requirements: str, width: int) -> list[str]:
    main = f"{finding.severity:<{_SEVERITY}}{_plain(finding.id)}  {_what(finding)}"
    hint = where_to_fix(finding, requirements)
    if len(main) + 3 + len(hint) <= width:
        return [f"{main}   {hint}"]
    return [_fit(main, width), _fit(" " * _SEVERITY + hint, width)]


def _what(finding: Finding) -> str:
    if finding.kind == "unchecked":
        return _plain(finding.title)
    if finding.kind != "vuln":
        return (
            f"{_plain(finding.title or finding.kind)} in {_plain(finding.path or finding.package)}"
        )
    fix = f"→ fixed in {_plain(finding.fixed)}" if finding.fixed else "has no fix yet"
    return f"{_plain(finding.package)} {_plain(finding.version)} {fix}"


def where_to_fix(finding: Finding, requirements: str) -> str:
    """Return where a person goes to remove the finding."""
    if finding.kind == "secret":
        return "remove it from the sources, and revoke it"
    if finding.id == UNSUPPORTED:
        return "build on a release that is supported, or a waiver"
    if finding.kind == "unchecked":
        return "pull Trivy's database: `./inv scan.database --pull`, or a waiver"
    if finding.kind == "misconfig":
        return "change the image's configuration"
    if not finding.fixed:
        return "nothing to update to: a waiver, or another package"
    if finding.purl.startswith("pkg:deb/") or finding.target == "debian":
        return "base layer: `./inv build.lock`, or a waiver"
    return _plain(requirements)


def _waived(one: Waived) -> str:
    finding, waiver = one.finding, one.waiver
    return (
        f"{'waived':<{_SEVERITY}}{_plain(finding.id)}  {_plain(finding.package)} until {waiver.until} "
        f'(owner {_plain(waiver.owner)}, "{_plain(waiver.reason)}")'
    )


def _lapsed(waiver: Waiver, today: dt.date) -> str:
    ago = (today - dt.date.fromisoformat(waiver.until)).days
    when = "yesterday" if ago == 1 else f"{ago} days ago"
    return (
        f"waiver {waiver.id} lapsed {when}: {', '.join(waiver.findings)} "
        f'(owner {_plain(waiver.owner)}, "{_plain(waiver.reason)}")'
    )


def _tolerated(decision: Decision) -> str:
    fixed = " with a fix" if decision.threshold.fixed_only else ""
    return (
        f"{_many(len(decision.tolerated), 'finding')} tolerated: {decision.environment} counts "
        f"{decision.threshold.severity} and up{fixed}"
    )


def _plain(text: str) -> str:
    """Return foreign text without what moves a terminal's cursor or hides other text."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def record(decision: Decision) -> bytes:
    """Return the decision's canonical JSON, for `--json` and for signing."""
    return encode(decision)
