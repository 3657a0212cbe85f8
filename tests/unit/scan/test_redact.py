"""What quotes the image does not leave the scan."""

from __future__ import annotations

import json

import pytest

from lockgate.base.errors import ReportUnreadable
from lockgate.scan.redact import redact

REPORT = {
    "SchemaVersion": 2,
    "Results": [
        {
            "Target": "/app/settings.py",
            "Secrets": [
                {"RuleID": "aws", "StartLine": 3, "Match": "key = ****", "Code": {"Lines": ["x"]}}
            ],
            "Misconfigurations": [
                {"ID": "DS-1", "CauseMetadata": {"StartLine": 1, "Code": {"Lines": ["y"]}}}
            ],
        },
        {"Target": "debian", "Vulnerabilities": [{"VulnerabilityID": "CVE-2026-1"}]},
    ],
}


def test_no_line_of_code_is_left() -> None:
    """Neither the match of a secret nor code around it or around a cause survives."""
    left = redact(json.dumps(REPORT).encode())
    assert b"Match" not in left
    assert b"Code" not in left
    assert b"key =" not in left


def test_what_was_found_and_where_stays() -> None:
    """Rule, line, misconfiguration and vulnerability are as before."""
    first, second = json.loads(redact(json.dumps(REPORT).encode()))["Results"]
    assert first["Secrets"] == [{"RuleID": "aws", "StartLine": 3}]
    assert first["Misconfigurations"] == [{"ID": "DS-1", "CauseMetadata": {"StartLine": 1}}]
    assert second == REPORT["Results"][1]  # type: ignore[index]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"a":1,"a":2}'])
def test_half_a_report_is_refused(data: bytes) -> None:
    """What is not a whole JSON object cannot be redacted, and is no report."""
    with pytest.raises(ReportUnreadable):
        redact(data)
