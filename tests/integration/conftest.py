"""Real tools and real downloads. What is downloaded is kept between runs in the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]

INV = (sys.executable, "-m", "invoke")


class Repository:
    """A copy of this repository's app, stacks and settings in a git repository of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def inv(
        self, *arguments: str, env: Mapping[str, str] | None = None, code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run `inv` there; fail the test when the exit code is another than `code`."""
        done = subprocess.run(
            [*INV, *arguments],
            cwd=self.path,
            env={**os.environ, "LOCKGATE_QUIET": "", **(env or {})},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def git(self, *arguments: str) -> str:
        """Run git there, with an identity and times of the test's own."""
        environment = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_DATE": "2026-11-21T12:00:00Z",
            "GIT_COMMITTER_DATE": "2026-11-21T12:00:00Z",
        }
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        return subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    def commit(self, message: str = "change") -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)


def copy_project(into: Path) -> Repository:
    """Copy what the flow needs of this repository and commit it."""
    skip = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")
    into.mkdir(parents=True)
    for name in ("app", "stacks", "advisories", "policies"):
        shutil.copytree(ROOT / name, into / name, ignore=skip)
    for name in ("lockgate.yaml", "tasks.py", ".gitignore"):
        shutil.copy(ROOT / name, into / name)
    repository = Repository(into)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.commit("start")
    return repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A fresh copy of the project, committed."""
    return copy_project(tmp_path / "repository")


@pytest.fixture(scope="session")
def make_repository(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Repository]:
    """Call with a name for another fresh copy."""

    def make(name: str) -> Repository:
        return copy_project(tmp_path_factory.mktemp(name) / "repository")

    return make
