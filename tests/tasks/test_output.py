"""What goes where: records on stdout, words on stderr, colour only for a person at a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lockgate.base.canonical import decode, encode
from lockgate.build.model import Image
from lockgate.gate.decision import Decision
from lockgate.sign.model import Signed, Verification
from lockgate.tasks.console import Console, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.tasks.conftest import Mini

    from lockgate.base.canonical import Record

ESCAPE = "\x1b["


def at_a_terminal(mini: Mini, *arguments: str, env: Mapping[str, str]) -> str:
    """Return what `inv` writes to a terminal."""
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "lockgate.tasks.program", *arguments],
            cwd=mini.path,
            env=mini.environment | {"TERM": "xterm-256color"} | dict(env),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            timeout=60,
            check=False,
        )
    finally:
        os.close(theirs)
    written = b""
    try:
        # Linux answers EIO once nobody holds the other end.
        while piece := os.read(ours, 65536):
            written += piece
    except OSError:
        pass
    finally:
        os.close(ours)
    return written.decode()


@pytest.mark.parametrize(
    ("command", "kind"),
    [("build", Image), ("scan", Decision), ("sign", Signed), ("verify", Verification)],
)
def test_json_prints_the_record_alone(command: str, kind: type[Record], built_mini: Mini) -> None:
    """With `--json` stdout holds one canonical record a component and not a word more."""
    answer = built_mini.inv(command, "--json")

    assert answer.code == 0
    lines = answer.out.splitlines()
    records = [decode(line.encode(), kind) for line in lines]
    assert len(records) == 2
    assert [encode(one).decode() for one in records] == lines


@pytest.mark.parametrize("command", ["deploy.status", "doctor", "scan.database"])
def test_json_of_the_other_tasks_is_json(command: str, built_mini: Mini) -> None:
    """Whatever else takes `--json` prints JSON and nothing else on stdout."""
    answer = built_mini.inv(command, "--json")

    text = answer.out if command == "doctor" else answer.out.splitlines()[0]
    assert json.loads(text)
    assert answer.code in (0, 6)  # doctor: something is missing on this machine


def test_a_closed_gate_prints_its_decision_too(built_mini: Mini) -> None:
    """Blocked is an answer: `scan --json` prints the decision and exits 3."""
    answer = built_mini.inv("scan", "-c", "web", "-e", "prod", "--json")

    assert answer.code == 3
    decision = decode(answer.out.encode(), Decision)
    assert not decision.allowed
    assert [one.id for one in decision.violations] == ["CVE-2026-0001"]


@pytest.mark.parametrize("command", ["build", "scan", "sign", "build.compare", "scan.database"])
def test_without_json_stdout_is_empty(command: str, built_mini: Mini) -> None:
    """Progress and words are no data: they go to stderr."""
    answer = built_mini.inv(command)

    assert answer.code == 0
    assert answer.out == ""
    assert answer.err


@pytest.mark.parametrize("command", [["build"], ["build", "-c", "wbe"]])
def test_a_person_at_a_terminal_sees_colour(command: list[str], built_mini: Mini) -> None:
    """At a terminal the stage's name is bold and an error red: the next test could fail."""
    assert ESCAPE in at_a_terminal(built_mini, *command, env={})


@pytest.mark.parametrize("command", [["build"], ["build", "-c", "wbe"]])
@pytest.mark.parametrize("variable", ["NO_COLOR", "CI"])
def test_no_escape_codes_where_they_are_not_wanted(
    command: list[str], variable: str, built_mini: Mini
) -> None:
    """`NO_COLOR` and `CI` turn them off at a terminal."""
    written = at_a_terminal(built_mini, *command, env={variable: "1"})

    assert written
    assert ESCAPE not in written


@pytest.mark.parametrize("command", [["build", "scan", "sign"], ["scan", "-e", "prod"], ["flow"]])
def test_no_escape_codes_without_a_terminal(command: list[str], built_mini: Mini) -> None:
    """Into a pipe goes plain text, one line an event."""
    done = built_mini.spawn(*command)

    assert done.stdout + done.stderr
    assert ESCAPE not in done.stdout + done.stderr
    assert "\r" not in done.stderr


def test_a_download_at_a_terminal_leaves_no_bar_behind(mini: Mini) -> None:
    """A first build at a terminal ends with its own lines only: a bar that was drawn is wiped."""
    written = at_a_terminal(mini, "build", env={"LOCKGATE_CACHE": str(mini.path / "cache")})

    left = [line.rpartition("\x1b[2K")[2] for line in written.split("\n")]
    assert "█" in written
    assert "packages" in written
    assert not [line for line in left if "█" in line or "░" in line]


def test_what_others_wrote_cannot_draw_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Names, values and messages come from registries and clusters; lines and tabs of them stay."""
    console = Console()
    console.say("deploy", "a\x1b[2Jb\r")
    console.block(["c\x9bd", "e\u202ef"])
    console.problem("g\x07\n\th", "i\x1b]0;j")
    assert capsys.readouterr().err.splitlines() == [
        "deploy   a?[2Jb?", "         c?d", "         e?f", "g?", "\th", "  hint: i?]0;j",
    ]  # fmt: skip


def test_a_row_of_a_table_is_one_line() -> None:
    """Else what others wrote could be taken for a row of its own."""
    assert printable("ready\nPod/a current\x1b[0m") == "ready?Pod/a current?[0m"


def test_quiet_silences_progress(built_mini: Mini) -> None:
    """What `./inv -q` sets leaves nothing on stderr when all is well."""
    done = built_mini.spawn("build", "sign", env={"LOCKGATE_QUIET": "1"})

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quiet_keeps_errors(built_mini: Mini) -> None:
    """It does not silence what went wrong."""
    done = built_mini.spawn("build", "-c", "wbe", env={"LOCKGATE_QUIET": "1"})

    assert done.returncode == 2
    assert done.stderr == "'wbe' is not a component\n  hint: did you mean `web`?\n"


def test_quiet_keeps_a_closed_gate(built_mini: Mini) -> None:
    """Nor the gate's answer and the reason."""
    done = built_mini.spawn("scan", "-c", "web", "-e", "prod", env={"LOCKGATE_QUIET": "1"})

    assert done.returncode == 3
    assert "prod: closed" in done.stderr
    assert "prod is closed to web" in done.stderr


def test_quiet_keeps_the_record(built_mini: Mini) -> None:
    """`-q` and `--json` together: the record, and nothing else anywhere."""
    done = built_mini.spawn("build", "-c", "web", "--json", env={"LOCKGATE_QUIET": "1"})

    assert done.stderr == ""
    assert decode(done.stdout.encode(), Image).component == "web"


def test_every_line_of_a_stage_names_the_digest(built_mini: Mini) -> None:
    """What a stage says, it says of a digest: the short form stands in its line."""
    subject = decode(built_mini.inv("build", "-c", "web", "--json").out.encode(), Image).subject
    short = f"{subject[:15]}…{subject[-4:]}"

    for command in ("build", "scan", "sign", "verify"):
        assert short in built_mini.inv(command, "-c", "web").err.splitlines()[0]


def test_hints_name_the_wrapper_where_it_is_in_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hint works when pasted: `./inv` sets LOCKGATE_INV, and commands are written that way."""
    from lockgate.tasks.console import Console

    monkeypatch.setenv("LOCKGATE_INV", "./inv")
    Console().problem("nothing was built", "run `inv build` first; not ./inv twice, not invent")
    assert capsys.readouterr().err.splitlines() == [
        "nothing was built",
        "  hint: run `./inv build` first; not ./inv twice, not invent",
    ]
