"""`inv test`: run the repository's nox sessions and say where the time went."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from invoke.exceptions import Exit
from invoke.tasks import task

from lockgate.base.errors import ToolMissing, UsageError
from lockgate.tasks.command import reported

if TYPE_CHECKING:
    from invoke.context import Context

    from lockgate.tasks.session import Session

LIMIT = 3600
"""Seconds that one session may take."""


@task(
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
    from lockgate.tasks.console import quantity
    from lockgate.tasks.session import open_session

    session = open_session()
    names = _names(session)
    chosen = [one.strip() for one in only.split(",") if one.strip()] or names
    for name in chosen:
        if name not in names:
            raise UsageError(
                f"{name!r} is not a session",
                hint=nearest(name, names) or "there are: " + ", ".join(names),
            )
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


def _names(session: Session) -> list[str]:
    import json

    if not (session.root / "noxfile.py").is_file():
        raise UsageError(f"there is no noxfile.py in {session.root}", hint="`inv check` needs none")
    done = subprocess.run(
        [*_nox(), "--list", "--json"],
        cwd=session.root,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [
            "no reason given"
        ]
        raise ToolMissing(f"nox cannot list the sessions: {last[0]}", hint="`./inv` installs nox")
    return [one["session"] for one in json.loads(done.stdout) if one["session"] != "benchmarks"]


def _run(argv: list[str], session: Session) -> int:
    # The output of tests belongs to the person who asked for it: it is passed through, not captured.
    try:
        return subprocess.run(
            argv, cwd=session.root, check=False, timeout=LIMIT, env=os.environ.copy()
        ).returncode
    except subprocess.TimeoutExpired:
        return 124
