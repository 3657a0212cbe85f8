"""A newcomer who types something wrong gets the nearest right word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def inv(*typed: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the program in a repository, this one unless told otherwise."""
    return subprocess.run(
        [sys.executable, "-m", "lockgate.tasks.program", *typed],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["bild"], "did you mean `build`?"),
        (["deploy.stats"], "did you mean `deploy.status`?"),
        (["xyzzy"], "`./inv --list` names every task"),
    ],
)
def test_the_nearest_word_is_named(typed: list[str], meant: str) -> None:
    """Exit code 2, one line and a hint; no traceback."""
    done = inv(*typed)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"No idea what '{typed[-1]}' is", f"  hint: {meant}"]


def test_the_nearest_flag_of_the_task_is_named() -> None:
    """Of the task that it was typed behind: another task's flag would not help."""
    done = inv("flow", "build", "--whi")
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["`build` has no `--whi`", "  hint: did you mean `--why`?"]


@pytest.mark.parametrize(
    ("typed", "line", "hint"),
    [
        (["verify", "--require"], "`--require` of `verify` has no value", "verify"),
        (
            ["verify", "--reference", "-e", "dev"],
            "`--reference` of `verify` has no value",
            "verify",
        ),
        (["verify", "-e", ""], "`-e` of `verify` has no value", "verify"),
        (["verify", "app", "--env="], "`--env` of `verify` has no value", "verify"),
        (["flow", "push", "--to", ""], "`--to` of `push` has no value", "push"),
        (["copy"], "`copy` needs `origin` and `to`", "copy"),
        (["deploy.repair", "-p"], "`deploy.repair` has no `-p`", "deploy.repair"),
        (["flow", "deploy.stop", "-c", "app", "-e", "dev"], "`deploy.stop` has no `-e`", "deploy.stop"),
        (["deploy.diff", "-jp"], "`deploy.diff` has no `-p`", "deploy.diff"),
        (
            ["flow", "deploy.diff", "--target", "cluster"],
            "`deploy.diff` has no `--target`",
            "deploy.diff",
        ),
        (["build", "-x"], "`build` has no `-x`", "build"),
    ],
)  # fmt: skip
def test_a_flag_that_would_be_another_one_is_refused(
    typed: list[str], line: str, hint: str
) -> None:
    """Exit code 2, and the flag.

    A script whose variable is empty does not verify, or push to, something else; and what is typed as a plan does
    not act, since Invoke itself knows `-p`.
    """
    done = inv(*typed)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [line, f"  hint: `./inv --help {hint}` explains it"]


@pytest.mark.parametrize(
    "typed",
    [
        [
            "verify",
            "app",
            "--require",
            "sbom",
            "--require=vuln: {max_age_days: 2}",
            "-e",
            "dev",
            "flow",
        ],
        ["verify", "-edev", "--json", "copy", "app", "archive:a=b.tar", "-i", "registry.example"],
        ["registry.serve", "--port", "0", "--read-only"],
        ["build", "--component", "build"],
        ["-e", "build", "-c", "app", "-p", "deploy.status", "-je", "dev", "-h"],
    ],
)
def test_values_that_are_there_are_taken(typed: list[str]) -> None:
    """With a blank or an equals sign before it, glued to a short flag, or called as a task is."""
    from lockgate.tasks import namespace
    from lockgate.tasks.hinting import by_name
    from lockgate.tasks.program import without_flag, without_value

    named = by_name(namespace().to_contexts())

    assert without_value(typed, named) is None
    assert without_flag(typed, named) is None


def test_help_explains_each_flag() -> None:
    """Invoke takes the texts out of the tasks when it reads them a first time."""
    done = inv("--help", "verify")
    assert done.returncode == 0
    assert "name in the store, digest" in done.stdout


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


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_stream_that_is_closed_stops_nothing(number: int) -> None:
    """As with `inv flow <&-`: the task runs, and no file takes the place of the stream in programs that it starts."""
    look = (  # `_run` does it first of all
        "import subprocess, sys, lockgate.tasks.program as p\n"
        "p._open_what_is_closed()\n"
        "opened = open('/dev/zero')\n"
        "assert opened.fileno() > 2, opened.fileno()\n"
        "subprocess.run([sys.executable, '-c', 'import os; [os.fstat(n) for n in range(3)]'], check=True)\n"
    )
    for words in (["-m", "lockgate.tasks.program", "--list"], ["-c", look]):
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {number}>&-', "sh", sys.executable, *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


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


SWALLOWED = """
import time
from invoke.tasks import task

class Last:
    def __del__(self):
        raise KeyboardInterrupt

@task
def hang(context):
    Last()
    time.sleep(600)
"""


def test_ctrl_c_in_a_callback_is_one(tmp_path: Path) -> None:
    """Python goes on after an interrupt in the middle of a destructor, or of an import; we end with exit code 130."""
    (tmp_path / "tasks.py").write_text(SWALLOWED)
    done = inv("hang", folder=tmp_path)
    assert done.returncode == 130
    assert done.stderr == "stopped by Ctrl-C; what was finished is kept\n"


def test_what_else_goes_wrong_in_a_callback_is_told(tmp_path: Path) -> None:
    """As Python tells it."""
    broken = SWALLOWED.replace("raise KeyboardInterrupt", "raise RuntimeError('in a callback')")
    (tmp_path / "tasks.py").write_text(broken.replace("time.sleep(600)", "pass"))
    done = inv("hang", folder=tmp_path)
    assert done.returncode == 0
    assert "RuntimeError: in a callback" in done.stderr
