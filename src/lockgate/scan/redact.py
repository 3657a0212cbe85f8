"""Take out of a report what quotes the image: lines around a secret may hold another one.

A report is kept, and its results are signed and published with the image. What was found and where stays;
the quoted code does not.
"""

from __future__ import annotations

import json
from typing import Any

from lockgate.base.canonical import loads
from lockgate.base.errors import ReportUnreadable, UsageError


def redact(data: bytes) -> bytes:
    """Return a Trivy report without quoted code: no `Match` or `Code` of secrets, no `Code` of causes.

    Raises:
        ReportUnreadable: the bytes are not a JSON object.
    """
    try:
        report = loads(data, what="trivy's report")
    except UsageError as error:
        raise ReportUnreadable(
            error.message, hint="run the scan again; nothing was decided from this report"
        ) from None
    if not isinstance(report, dict):
        raise ReportUnreadable("trivy's report is not a JSON object", hint="run the scan again")
    for result in _list(report.get("Results")):
        for secret in _list(result.get("Secrets")):
            secret.pop("Match", None)
            secret.pop("Code", None)
        for check in _list(result.get("Misconfigurations")):
            cause = check.get("CauseMetadata")
            if isinstance(cause, dict):
                cause.pop("Code", None)
    return json.dumps(report, ensure_ascii=False, separators=(",", ":")).encode()


def _list(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
