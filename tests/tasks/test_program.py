"""A newcomer who types something wrong gets the nearest right word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["bild"], "did you mean `build`?"),
        (["deploy.stats"], "did you mean `deploy.status`?"),
        (["build", "--whi"], "did you mean `--why`?"),
        (["xyzzy"], "`./inv --list` names every task"),
    ],
)
def test_the_nearest_word_is_named(typed: list[str], meant: str) -> None:
    """Exit code 2, one line and a hint; no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "lockgate.tasks.program", *typed],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"No idea what '{typed[-1]}' is", f"  hint: {meant}"]


def test_ctrl_c_between_two_tasks_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Invoke alone would end with exit code 1 there."""
    from invoke.program import Program

    from lockgate.tasks.program import Lockgate

    def interrupted(_: Program) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Program, "execute", interrupted)
    with pytest.raises(SystemExit) as ended:
        Lockgate().execute()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C; what was finished is kept\n"


@pytest.mark.parametrize("typed", [["--list"], ["--help", "deploy"]])
def test_a_reader_that_goes_away_is_141(typed: list[str]) -> None:
    """As in `inv --help deploy | head`: no traceback, and the code that shells give it."""
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lockgate.tasks.program", *typed],
            cwd=ROOT,
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_tasks_of_other_programs_are_not_executed(tmp_path: Path) -> None:
    """Celery's `tasks.py` is called so, too: ours above it counts, and without one the standard tasks."""
    from lockgate.tasks.program import tasks_above

    inner = tmp_path / "shop" / "web"
    inner.mkdir(parents=True)
    (inner / "tasks.py").write_text("from celery import Celery\n")
    assert tasks_above(inner) is None
    done = subprocess.run(
        [sys.executable, "-m", "lockgate", "settings.init", "--plan"],
        cwd=inner,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "looks like a component" in done.stderr
    (tmp_path / "tasks.py").write_text("from lockgate.tasks import namespace\n\nns = namespace()\n")
    assert tasks_above(inner) == tmp_path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_somebody_else_put_into_a_folder_above_is_not_executed(tmp_path: Path) -> None:
    """As a `tasks.py` in `/tmp`."""
    from lockgate.tasks.program import tasks_above

    (tmp_path / "tasks.py").write_text("# lockgate\nprint('ran')\n")
    os.chown(tmp_path / "tasks.py", 12345, -1)
    assert tasks_above(tmp_path / "sub") is None
