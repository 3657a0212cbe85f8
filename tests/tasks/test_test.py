"""`inv test`: which sessions there are, by what the real nox says of this repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockgate.base.errors import UsageError
from lockgate.tasks.test import sessions

ROOT = Path(__file__).parents[2]


def test_what_takes_long_runs_when_it_is_named() -> None:
    """Every session is known by its name; those on a cluster and the benchmarks are none of the usual ones."""
    found = sessions(ROOT)
    assert list(found)[:3] == ["format", "lint", "imports"]
    assert [name for name, usual in found.items() if not usual] == ["cluster", "benchmarks"]


def test_a_folder_without_sessions_is_named(tmp_path: Path) -> None:
    """There is nothing to run, and that is not a pass."""
    with pytest.raises(UsageError, match=r"no noxfile\.py"):
        sessions(tmp_path)
