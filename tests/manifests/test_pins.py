"""Everything that comes from outside is pinned, and no machine's addresses are written down."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LOCKS = sorted(
    [
        *ROOT.glob("requirements/*.txt"),
        *ROOT.glob("src/lockgate/*/*requirements.txt"),
        ROOT / "app" / "requirements.txt",
    ]
)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_requirements_are_locked_by_hash_and_name_no_index(lock: Path) -> None:
    """Each requirement has an exact version and a hash; there is no option, address or path."""
    text = re.sub(r"\\\n", " ", lock.read_text())
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    assert lines
    for line in lines:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", line), line
        assert "--hash=sha256:" in line, line
        assert "://" not in line, line


def workflow_steps() -> list[dict[str, Any]]:
    """Return every step of every workflow."""
    steps = []
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            steps += job["steps"]
    return steps


def test_actions_are_pinned_by_commit() -> None:
    """A tag of an action can be moved (as happened to a scanner's in 2026); a commit cannot."""
    used = [step["uses"] for step in workflow_steps() if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action


def test_ci_runs_what_a_laptop_runs() -> None:
    """The workflow lets the machine make sandboxes and calls `.ci/run`, which calls `./inv test`; no more than that."""
    commands = [step["run"] for step in workflow_steps() if "run" in step]
    assert commands == [
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        "bash .ci/run",
    ]
    assert "./inv test" in (ROOT / ".ci" / "run").read_text()


def test_workflow_tokens_can_only_read() -> None:
    """No job can write to the repository, whatever its steps do."""
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        content = yaml.safe_load(path.read_text())
        assert content["permissions"] == {}
        for job in content["jobs"].values():
            assert job["permissions"] == {"contents": "read"}


def test_every_owned_path_exists() -> None:
    """`CODEOWNERS` names no path that is gone."""
    for line in (ROOT / ".github" / "CODEOWNERS").read_text().splitlines():
        if line and not line.startswith("#"):
            assert (ROOT / line.split()[0].strip("/")).exists(), line
