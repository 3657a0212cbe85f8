"""The severity that a CVSS version 3 vector stands for (FIRST, CVSS 3.1 specification, sections 5 and 7.1)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from lockgate.base.errors import UsageError

if TYPE_CHECKING:
    from lockgate.base.settings import Severity

_VERSION = re.compile(r"CVSS:3\.[01]")

_WEIGHTS: dict[str, dict[str, float]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "PR": {"N": 0.85, "L": 0.62, "H": 0.27},
    "UI": {"N": 0.85, "R": 0.62},
    "S": {"U": 0.0, "C": 1.0},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_WHEN_CHANGED = {"N": 0.85, "L": 0.68, "H": 0.5}
"""Weights of `PR` when the scope changes (section 7.4)."""


def severity(vector: str) -> Severity:
    """Return the rating of a vector's base score; UNKNOWN for a score of 0.

    Raises:
        UsageError: not a CVSS 3.0 or 3.1 vector with all eight base metrics.
    """
    tenths = base_score(vector)
    if tenths >= 90:
        return "CRITICAL"
    if tenths >= 70:
        return "HIGH"
    if tenths >= 40:
        return "MEDIUM"
    return "LOW" if tenths else "UNKNOWN"


def base_score(vector: str) -> int:
    """Return the base score in tenths: 98 for 9.8.

    Raises:
        UsageError: not a CVSS 3.0 or 3.1 vector with all eight base metrics.
    """
    metrics = _metrics(vector)
    weight = {name: _WEIGHTS[name][value] for name, value in metrics.items()}
    changed = metrics["S"] == "C"
    if changed:
        weight["PR"] = _WHEN_CHANGED[metrics["PR"]]
    lost = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    impact = 7.52 * (lost - 0.029) - 3.25 * (lost - 0.02) ** 15 if changed else 6.42 * lost
    if impact <= 0:
        return 0
    ease = 8.22 * weight["AV"] * weight["AC"] * weight["PR"] * weight["UI"]
    total = impact + ease
    return _round_up(min(1.08 * total if changed else total, 10.0))


def _metrics(vector: str) -> dict[str, str]:
    version, *parts = vector.split("/")
    pairs = [part.partition(":") for part in parts]
    known = [(name, value) for name, _, value in pairs if name in _WEIGHTS]
    found = {name: value for name, value in known if value in _WEIGHTS[name]}
    if not _VERSION.fullmatch(version) or not len(known) == len(found) == len(_WEIGHTS):
        raise UsageError(f"{vector!r} is not a CVSS 3 base vector")
    return found


def _round_up(score: float) -> int:
    # Appendix A of the specification: the next tenth, without the noise of binary fractions.
    hundred_thousandths = round(score * 100_000)
    return math.ceil(hundred_thousandths / 10_000)
