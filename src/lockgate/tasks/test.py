"""`inv test`, `test.cluster`: run the repository's nox sessions and say where the time went."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.exceptions import Exit
from invoke.tasks import task

from lockgate.base.errors import ToolMissing, UsageError
from lockgate.tasks.command import reported

if TYPE_CHECKING:
    from pathlib import Path

    from invoke.context import Context

    from lockgate.tasks.session import Session

LIMIT = 3600
"""Seconds that one session may take."""


@task(
    default=True,
    auto_shortflags=False,  # `-p` is `--plan` everywhere
    help={
        "only": "comma-separated sessions, for example `--only unit,types`",
        "python": "Python version to test with, for example `--python 3.13`",
    },
)
@reported
def test(context: Context, only: str = "", python: str = "") -> None:
    """Pass the tests: every nox session in order, each in its own environment.

    All of them run even when one fails. Example: inv test --only unit
    """
    from lockgate.base.settings import nearest
    from lockgate.tasks.session import open_session

    session = open_session()
    names = sessions(session.root)
    named = [one.strip() for one in only.split(",") if one.strip()]
    chosen = named or [name for name, usual in names.items() if usual]
    for name in chosen:
        if name not in names:
            raise UsageError(
                f"{name!r} is not a session",
                hint=nearest(name, list(names)) or "there are: " + ", ".join(names),
            )
    _run_all(session, chosen, python)


@task(
    help={"python": "Python version to test with, for example `--python 3.13`"},
    auto_shortflags=False,
)
@reported
def cluster(context: Context, python: str = "") -> None:
    """Pass the tests on a real Kubernetes, which is built first when it must be. Example: inv test.cluster.

    Needs a container engine; as root on Debian one is installed and run for the tests alone.
    """
    from lockgate.tasks.session import open_session

    session = open_session()
    if "cluster" not in sessions(session.root):
        raise UsageError("noxfile.py has no session `cluster`", hint="`inv test` runs those it has")
    _run_all(session, ["cluster"], python)


def _run_all(session: Session, chosen: list[str], python: str) -> None:
    """Run sessions one after the other, and say how long each took; end with exit code 1 when one failed."""
    from lockgate.tasks.console import quantity

    results: list[tuple[str, int, float]] = []
    for name in chosen:
        started = time.monotonic()
        session.console.say("test", f"{name} …")
        argv = [*_nox(), "--session", name, *(["--force-python", python] if python else [])]
        results.append((name, _run(argv, session), time.monotonic() - started))
    session.console.say("test", "where the time went")
    session.console.block(
        [
            f"{name:<14}{'passed' if not code else 'FAILED':<8}{took:7.1f} s"
            for name, code, took in results
        ]
    )
    failed = [name for name, code, _ in results if code]
    if failed:
        session.console.problem(
            f"{quantity(len(failed), 'session')} of {len(results)} failed: {', '.join(failed)}",
            f"inv test --only {failed[0]}",
        )
        raise Exit(code=1)


def _nox() -> list[str]:
    return [sys.executable, "-m", "nox", "--no-error-on-missing-interpreters"]


def sessions(root: Path) -> dict[str, bool]:
    """Return the sessions of a repository in their order, and whether each runs without being named.

    Raises:
        UsageError: there is no noxfile.
        ToolMissing: nox is not there, or cannot read it.
    """
    if not (root / "noxfile.py").is_file():
        raise UsageError(f"there is no noxfile.py in {root}", hint="`inv check` needs none")
    # Its JSON leaves out what does not run by default.
    done = subprocess.run(
        [*_nox(), "--list", "--nocolor"],
        cwd=root,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [
            "no reason given"
        ]
        raise ToolMissing(f"nox cannot list the sessions: {last[0]}", hint="`./inv` installs nox")
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    found = (re.match(r"([*-]) ([^ ]+)", line) for line in lines)
    return {one[2]: one[1] == "*" for one in found if one}


def _run(argv: list[str], session: Session) -> int:
    # The output of tests belongs to the person who asked for it: it is passed through, not captured.
    try:
        return subprocess.run(
            argv, cwd=session.root, check=False, timeout=LIMIT, env=os.environ.copy()
        ).returncode
    except subprocess.TimeoutExpired:
        return 124


def collection() -> Collection:
    """Return the tasks of this module."""
    return Collection("test", test, cluster)
