"""What the command line offers: names, help, examples that parse, flags that mean one thing."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from invoke.program import Program

from lockgate.tasks import namespace
from lockgate.tasks.command import HELP
from lockgate.tasks.flow import STAGES

if TYPE_CHECKING:
    from invoke.tasks import Task
    from tests.tasks.conftest import Mini

EVERYDAY = (
    "check",
    "build",
    "scan",
    "sign",
    "verify",
    "deploy",
    "test",
    "doctor",
    "flow",
    "push",
    "pull",
    "copy",
    "tools",
    "settings",
)
"""They stand alone."""

SHORT = {"env": "e", "component": "c", "plan": "p", "why": "w", "json": "j"}
"""The flags that are the same everywhere, with their short forms."""


def every() -> dict[str, Task[Any]]:
    """Return every task by the name that a person types."""
    found = namespace()
    # A collection's default task is known by the collection's name, as an alias.
    names = [next(iter(aliases), name) for name, aliases in found.task_names.items()]
    return {name: found[name] for name in names}


TASKS = every()

ARGUMENTS = {
    name: {one.names[0]: one for one in task.get_arguments()} for name, task in TASKS.items()
}
"""Every task's arguments by their long name. Asked for while tests are collected: Invoke gives a task's help
texts away the first time that it is asked, and never again in the same process."""


def test_list_shows_every_task(mini: Mini) -> None:
    """`inv --list` names the everyday tasks alone and the others below their floor."""
    answer = mini.inv("--list")

    assert answer.code == 0
    listed = re.findall(r"^  (\S+)(?: \((\S+)\))?  ", answer.out, re.MULTILINE)
    shown = {alias or name for name, alias in listed}
    assert shown == set(TASKS)
    assert {name for name in shown if "." not in name} == set(EVERYDAY)


@pytest.mark.parametrize("name", TASKS)
def test_help_has_an_example_that_parses(name: str, mini: Mini) -> None:
    """`inv --help TASK` shows an example, and the example is a command of that task that can be typed."""
    shown = mini.inv("--help", name)
    found = re.search(r"Example: (inv .*?)\.?$", TASKS[name].__doc__ or "", re.MULTILINE)

    assert found
    assert shown.code == 0
    assert found[0] in " ".join(shown.out.split())
    program = Program(namespace=namespace(), binary_names=["inv"])
    program.create_config()
    program.parse_core(shlex.split(found[1]))
    program.parse_collection()
    program.parse_tasks()
    (called,) = program.tasks
    assert TASKS[name] == namespace()[called.name]


@pytest.mark.parametrize("name", TASKS)
def test_every_flag_has_help(name: str) -> None:
    """No flag is listed without a word on what it does."""
    silent = [long for long, one in ARGUMENTS[name].items() if not one.help]

    assert not silent


@pytest.mark.parametrize("flag", SHORT)
def test_a_shared_flag_is_the_same_everywhere(flag: str) -> None:
    """`--env`, `--component`, `--plan`, `--why`, `--json`: one meaning, one type, no other short form."""
    found = {name: listed[flag] for name, listed in ARGUMENTS.items() if flag in listed}

    assert found
    for name, one in found.items():
        own = OWN_HELP.get((name, flag), HELP[flag])
        assert one.help == own, name
        assert set(one.names) <= {flag, SHORT[flag]}, name
        assert one.kind is (str if flag in ("env", "component") else bool), name


OWN_HELP = {
    ("check", "why"): "say why each gate exists",
    ("check.manifests", "why"): "say why each rule exists",
    ("doctor", "json"): "print the list as JSON, on stdout",
    ("settings", "component"): "print this component alone",
    ("settings", "env"): "print this environment alone",
}
"""Where the shared words would not be true."""


def test_a_short_flag_means_one_thing() -> None:
    """`-p` is not `--plan` here and `--pull` there."""
    meanings: dict[str, set[str]] = {}
    for listed in ARGUMENTS.values():
        for long, one in listed.items():
            for short in one.names[1:]:
                meanings.setdefault(short, set()).add(long)

    assert {short: longs for short, longs in meanings.items() if len(longs) > 1} == {}


def test_flow_names_the_stages_in_order(mini: Mini) -> None:
    """`inv flow` lists the stages of each component in the order in which they run, each a real task."""
    answer = mini.inv("flow")

    assert answer.code == 0
    rows = [line.split()[:4] for line in answer.out.splitlines()]
    names = ["check", "build", "scan", "sign", "verify", "deploy"]
    assert [one.name for one in STAGES] == names
    assert rows == [[part, "inv", name, "-"] for part in ("web", "worker") for name in names]
    assert set(names) <= set(TASKS)


def words(answer: str) -> list[str]:
    """Return what `inv flow` says of each stage of the first component."""
    return [line.split()[3] for line in answer.splitlines()][:6]


def test_flow_says_what_is_done(built_mini: Mini) -> None:
    """After `inv build scan sign` these three are done, with the gate's answer, and the others are not."""
    assert words(built_mini.inv("flow").out) == ["-", "done", "open", "done", "-", "-"]


def test_flow_says_what_is_stale(built_mini: Mini) -> None:
    """A changed file makes the image stale; a new image makes scan and signature stale."""
    page = next((built_mini.path / "web").glob("*.py"))
    page.write_text(page.read_text() + "# changed\n")
    assert words(built_mini.inv("flow").out)[1:4] == ["stale", "open", "done"]

    assert built_mini.inv("build").code == 0
    assert words(built_mini.inv("flow").out)[1:4] == ["done", "stale", "stale"]
