"""A Decision as SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format), for code-scanning views.

A violation is a failed result, a waived finding a failed result with an accepted suppression, and a
tolerated finding an informational one: nothing that the scanner found is left out.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lockgate import __version__
from lockgate.base.canonical import encode
from lockgate.gate.threshold import taken_as

if TYPE_CHECKING:
    from lockgate.gate.decision import Decision, Waiver
    from lockgate.scan.model import Finding

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

_LEVEL = {"CRITICAL": "error", "HIGH": "error", "MEDIUM": "warning", "LOW": "note"}
"""Result levels (section 3.27.10); a severity that is still unknown is a note."""

_SCORE = {"CRITICAL": "9.5", "HIGH": "8.0", "MEDIUM": "5.5", "LOW": "2.0"}
"""Middles of the score bands that code-scanning views sort by; they say no more than the severity."""

_ROOT = "IMAGE"


def sarif(decision: Decision) -> bytes:
    """Return the SARIF log of one decision: one run, UTF-8, the same bytes for the same decision."""
    results = [_result(one, decision) for one in decision.violations]
    results += [
        {**_result(one.finding, decision), "suppressions": [_suppression(one.waiver)]}
        for one in decision.waived
    ]
    # A result that is not a failure has the level "none" (section 3.27.10).
    results += [
        {**_result(one, decision), "kind": "informational", "level": "none"}
        for one in decision.tolerated
    ]
    findings = [
        *decision.violations,
        *(one.finding for one in decision.waived),
        *decision.tolerated,
    ]
    rules = _rules(findings, decision)
    places = {rule["id"]: number for number, rule in enumerate(rules)}
    for result in results:
        result["ruleIndex"] = places[result["ruleId"]]
    run = {
        "tool": {
            "driver": {"name": "lockgate", "version": __version__, "rules": rules},
            "extensions": [
                {"name": decision.scanner.name, "version": decision.scanner.version or "unknown"}
            ],
        },
        "automationDetails": {"id": f"{decision.component}/{decision.environment}/"},
        "originalUriBaseIds": {
            _ROOT: {"description": {"text": f"the files of image {decision.subject}"}}
        },
        "invocations": [_invocation(decision)],
        "results": results,
        "properties": {
            "subject": decision.subject,
            "allowed": decision.allowed,
            "refusals": list(decision.refusals),
            "partialAdvisories": decision.database.partial,
        },
    }
    return encode({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _result(finding: Finding, decision: Decision) -> dict[str, Any]:
    severity = taken_as(finding, decision.threshold)
    name = f"{finding.package}@{finding.version}" if finding.version else finding.package
    return {
        "ruleId": finding.id,
        "kind": "fail",
        "level": _LEVEL.get(severity, "note"),
        "message": {"text": _message(finding)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(finding), "uriBaseId": _ROOT},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [
                    {"fullyQualifiedName": finding.purl or name, "kind": "package"}
                ],
            }
        ],
        "partialFingerprints": {"lockgate/v1": _fingerprint(finding)},
        "properties": {"severity": finding.severity, "platforms": list(finding.platforms)},
    }


def _message(finding: Finding) -> str:
    title = finding.title or finding.id
    if finding.kind == "unchecked":
        return title
    if finding.kind != "vuln":
        return f"{title} in {finding.path or finding.package}"
    fix = f"fixed in {finding.fixed}" if finding.fixed else "no fixed version"
    return f"{finding.package} {finding.version}: {title} ({fix})"


def _uri(finding: Finding) -> str:
    if finding.path:
        return quote(finding.path.lstrip("/"))
    if finding.target == "debian":
        # A report gives no path for a Debian package; its status file is where a reader can look.
        return quote(f"var/lib/dpkg/status.d/{finding.package}")
    return quote(finding.target or finding.package)


def _fingerprint(finding: Finding) -> str:
    # Without the version: a finding that outlives an update is the same finding.
    parts = (finding.kind, finding.id, finding.package, finding.path)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _suppression(waiver: Waiver) -> dict[str, Any]:
    return {
        "kind": "external",
        "status": "accepted",
        "justification": f"{waiver.reason} (waiver {waiver.id}, owner {waiver.owner}, "
        f"until {waiver.until})",
    }


def _rules(findings: list[Finding], decision: Decision) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for finding in findings:
        severity = taken_as(finding, decision.threshold)
        found.setdefault(
            finding.id,
            {
                "id": finding.id,
                "shortDescription": {"text": finding.title or finding.id},
                "properties": {
                    "security-severity": _SCORE.get(severity, "0.0"),
                    "tags": ["security", finding.kind],
                },
            },
        )
    return [found[name] for name in sorted(found)]


def _invocation(decision: Decision) -> dict[str, Any]:
    ended = dt.datetime.fromtimestamp(decision.decided, dt.UTC)
    notes = [
        {"level": "error", "message": {"text": f"{decision.environment} never takes {one}"}}
        for one in decision.refusals
    ]
    return {
        "executionSuccessful": True,
        "endTimeUtc": ended.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "toolConfigurationNotifications": notes,
    }
