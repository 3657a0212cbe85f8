"""`lockgate.scan.cvss`."""

from __future__ import annotations

import itertools

import pytest

from lockgate.base.errors import UsageError
from lockgate.scan.cvss import base_score, severity


@pytest.mark.parametrize(
    ("vector", "tenths", "rating"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 75, "HIGH"),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 98, "CRITICAL"),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 100, "CRITICAL"),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 61, "MEDIUM"),
        ("CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 64, "MEDIUM"),
        ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:L/A:N", 33, "LOW"),
        ("CVSS:3.1/AV:P/AC:H/PR:L/UI:R/S:U/C:N/I:N/A:N", 0, "UNKNOWN"),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H/E:P/RL:O", 75, "HIGH"),
    ],
)
def test_score_and_rating(vector: str, tenths: int, rating: str) -> None:
    """Published vectors have their published base scores; other groups of metrics change nothing."""
    assert (base_score(vector), severity(vector)) == (tenths, rating)


def test_more_impact_never_scores_less() -> None:
    """For every vector, raising one impact metric does not lower the score, and none exceeds ten."""
    fixed = list(itertools.product("NALP", "LH", "NLH", "NR", "UC"))
    for av, ac, pr, ui, scope in fixed:
        for rest in itertools.product("NL", repeat=2):
            scores = [
                base_score(
                    f"CVSS:3.1/AV:{av}/AC:{ac}/PR:{pr}/UI:{ui}/S:{scope}"
                    f"/C:{level}/I:{rest[0]}/A:{rest[1]}"
                )
                for level in "NLH"
            ]
            assert scores == sorted(scores)
            assert scores[-1] <= 100


@pytest.mark.parametrize(
    "vector",
    [
        "",
        "CVSS:3.1",
        "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
        "CVSS:4.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
        "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N",
        "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
        "CVSS:3.1/AV:N/AV:P/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
    ],
)
def test_incomplete_vector_is_refused(vector: str) -> None:
    """A vector that lacks, repeats or misspells a base metric has no score."""
    with pytest.raises(UsageError, match="CVSS 3"):
        base_score(vector)
