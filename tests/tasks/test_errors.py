"""Errors become one line, a hint and an exit code. What a person typed wrong is met with the nearest word."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from invoke.collection import Collection
from invoke.program import Program
from invoke.tasks import task

from lockgate.base import errors
from lockgate.base.errors import CommandFailed, GateClosed, LockgateError
from lockgate.tasks.command import reported

if TYPE_CHECKING:
    from invoke.context import Context
    from tests.tasks.conftest import Mini


def family(kind: type[LockgateError]) -> list[type[LockgateError]]:
    """Return a class and everything below it."""
    return [kind, *(each for one in kind.__subclasses__() for each in family(one))]


def make(kind: type[LockgateError]) -> LockgateError:
    """Return an error of a kind, with the arguments that its kind needs."""
    if issubclass(kind, GateClosed):
        return kind("it is closed", decision=None, hint="do `this`")
    if issubclass(kind, CommandFailed):
        return kind(["tool", "--flag"], 7, "first\nlast words\n", hint="do `this`")
    return kind("it went wrong", hint="do `this`")


def run(raised: BaseException) -> int:
    """Run a task that raises through Invoke's own program; return the exit code."""

    @task
    @reported
    def boom(context: Context) -> None:
        raise raised

    program = Program(namespace=Collection(boom), binary_names=["inv"])
    with pytest.raises(SystemExit) as stop:
        program.run(["inv", "boom"])
    return stop.value.code if isinstance(stop.value.code, int) else 1


@pytest.mark.parametrize("kind", family(LockgateError), ids=lambda kind: str(kind.__name__))
def test_every_error_has_its_exit_code(
    kind: type[LockgateError], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever of the tree a task raises: the code of its branch, its line, its hint, no traceback."""
    error = make(kind)

    code = run(error)

    shown = capsys.readouterr()
    assert code == kind.exit_code
    assert shown.err == f"{error.message}\n  hint: do `this`\n"
    assert shown.out == ""


def test_the_codes_are_the_documented_ones() -> None:
    """The tree in the docstring, with its numbers, is the tree of the classes."""
    listed: dict[str, int] = {}
    code = 0
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r" +(?:│ +)*(?:[├└]─ )?([A-Z]\w+)(?: +(\d))?", line):
            code = int(found[2]) if found[2] else code
            listed[found[1]] = code

    assert listed == {kind.__name__: kind.exit_code for kind in family(LockgateError)}


def test_no_error_lives_outside_the_tree() -> None:
    """Every exception that `lockgate.base.errors` defines is below the root."""
    defined = {one for _, one in inspect.getmembers(errors, inspect.isclass)}

    assert {one for one in defined if issubclass(one, BaseException)} == set(family(LockgateError))


def test_an_error_without_a_hint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No empty hint is printed."""
    run(LockgateError("it went wrong"))

    assert capsys.readouterr().err == "it went wrong\n"


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    """A task that is interrupted says so in one line and ends as a shell would count it."""
    code = run(KeyboardInterrupt())

    assert code == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C; what was finished is kept\n"


def test_other_exceptions_are_not_swallowed() -> None:
    """A mistake in the code is no LockgateError: its traceback is what helps."""
    program_error: Any = ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        run(program_error)


@pytest.mark.parametrize("command", ["flow", "scan --json"])
def test_a_reader_that_went_away_is_141(command: str, built_mini: Mini) -> None:
    """`inv … | head -0` ends as a shell counts SIGPIPE, and Python adds no words of its own."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lockgate.tasks.program", *command.split()],
            cwd=built_mini.path,
            env={**built_mini.environment, "PYTHONUNBUFFERED": ""},
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write)

    assert done.returncode == 141
    assert b"Exception" not in done.stderr


ONE_OF_EACH = (
    "build", "scan", "sign", "verify", "deploy", "check", "build.compare", "deploy.status",
    "deploy.logs", "deploy.stop", "deploy.rollback",
)  # fmt: skip


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_an_unknown_component_meets_the_nearest_one(name: str, mini: Mini) -> None:
    """Every task that takes `-c` refuses a name that is none with exit 2 and the nearest right one."""
    answer = mini.inv(name, "-c", "wbe")

    assert answer == (2, "", "'wbe' is not a component\n  hint: did you mean `web`?\n")


@pytest.mark.parametrize("name", ["build", "scan", "sign", "verify", "deploy", "deploy.rollback"])
@pytest.mark.parametrize("state", ["mini", "built_mini"])
def test_an_unknown_environment_meets_the_nearest_one(
    name: str, state: str, request: pytest.FixtureRequest
) -> None:
    """Every task that takes `-e` does the same, whether or not anything was built before."""
    answer = request.getfixturevalue(state).inv(name, "-c", "web", "-e", "prd")

    assert answer == (2, "", "'prd' is not an environment\n  hint: did you mean `prod`?\n")


def test_a_word_that_is_like_none_lists_all(mini: Mini) -> None:
    """Where no name is near, the hint lists those that there are."""
    answer = mini.inv("build", "-c", "zzz")

    assert answer.code == 2
    assert answer.err.endswith("hint: there are: `web`, `worker`\n")


def test_an_unknown_stack_meets_the_nearest_one(mini: Mini) -> None:
    """`inv build.lock --stack` too."""
    answer = mini.inv("build.lock", "--stack", "mimi")

    assert answer == (2, "", "'mimi' is not a stack\n  hint: did you mean `mini`?\n")


@pytest.mark.parametrize("name", ["build", "scan", "sign", "verify", "deploy", "flow", "doctor"])
def test_no_settings_is_one_line_and_a_hint(name: str, mini: Mini) -> None:
    """Without a `lockgate.yaml` here or above: exit 2, what is missing, what to do; no traceback."""
    (mini.path / "lockgate.yaml").unlink()

    answer = mini.inv(name)

    assert answer.code == 2
    line, hint = answer.err.splitlines()
    assert line == f"there is no `lockgate.yaml` in {mini.path} or above"
    assert hint.startswith("  hint: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "`lockgate.yaml`"),
        ("", "`lockgate.yaml` is empty"),
        ("- a\n", "`lockgate.yaml` must be a mapping"),
        ("project: \x00\n", "`lockgate.yaml`"),
        ("project: a\nproject: b\n", "`lockgate.yaml`"),
        ("project: mini\ncomponents: {}\n", "components is empty"),
        ("project: mini\n", "components: field required"),
    ],
)  # fmt: skip
def test_unreadable_settings_are_named(text: str, said: str, mini: Mini) -> None:
    """What is no `lockgate.yaml` is refused in one line and a hint, with exit 2."""
    (mini.path / "lockgate.yaml").write_text(text)

    answer = mini.inv("build")

    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_settings_that_are_not_utf8_are_named(mini: Mini) -> None:
    """Bytes that are no text are refused the same way."""
    (mini.path / "lockgate.yaml").write_bytes(b"project: \xff\xfe\n")

    answer = mini.inv("build")

    assert answer.code == 2
    assert "`lockgate.yaml`" in answer.err
    assert "hint: " in answer.err


def test_settings_that_cannot_be_read_are_named(mini: Mini) -> None:
    """A file that answers EIO, to root too, whom no mode keeps out, is refused with its name, as exit 2."""
    (mini.path / "lockgate.yaml").unlink()
    (mini.path / "lockgate.yaml").symlink_to("/proc/self/mem")

    answer = mini.inv("build")

    assert answer.code == 2
    assert "`lockgate.yaml` cannot be read" in answer.err


@pytest.mark.parametrize(
    ("old", "new", "named", "nearest"),
    [
        ("project: mini", "projet: mini", "projet", "project"),
        ("    entrypoint: [python3, wsgi.py]", "    entrypiont: [python3]",
         "components.web.entrypiont", "entrypoint"),
        ("  security_mirror:", "  securty_mirror:", "build.securty_mirror", "security_mirror"),
        ("blocks: false,", "block: false,", "environments.dev.block", "blocks"),
    ],
)  # fmt: skip
def test_an_unknown_setting_meets_the_nearest_one(
    old: str, new: str, named: str, nearest: str, mini: Mini
) -> None:
    """A misspelt field anywhere in the file is named with its place, and the right one beside it."""
    mini.settings(old, new)

    answer = mini.inv("build")

    assert answer.code == 2
    assert f"`lockgate.yaml`: {named} is not a setting" in answer.err
    assert answer.err.endswith(f"  hint: did you mean `{nearest}`?\n")


@pytest.mark.parametrize("name", ["scan", "sign", "deploy"])
def test_a_stage_names_the_one_before_it(name: str, mini: Mini) -> None:
    """A stage whose record is missing says which command leaves it."""
    answer = mini.inv(name, "-c", "web")

    assert answer == (2, "", "web has no image yet\n  hint: run `inv build -c web` first\n")


def test_a_child_shows_no_traceback(mini: Mini) -> None:
    """The same in a process of its own, where nothing but the real program is between."""
    done = mini.spawn("build", "-c", "wbe")

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "'wbe' is not a component\n  hint: did you mean `web`?\n"
