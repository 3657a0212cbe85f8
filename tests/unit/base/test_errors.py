"""The error tree: one root, exit codes by kind, a hint for the reader."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import lockgate
from lockgate.base import errors
from lockgate.base.errors import (
    CommandFailed,
    GateClosed,
    LockgateError,
    MirrorError,
    RemoteError,
    UsageError,
)

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, LockgateError)
}


def drawn() -> dict[str, tuple[str, int]]:
    """Return name to (parent, exit code) as the module's docstring draws the tree."""
    found: dict[str, tuple[str, int]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r"    ([│├└─ ]*)([A-Z]\w+)(?: +(\d))?(?:  .*)?", line)
        if match is None:
            continue
        depth, name = len(match[1]), match[2]
        above = [one for one in above if one[0] < depth]
        parent = above[-1][1] if above else "Exception"
        code = int(match[3]) if match[3] else found[parent][1]
        found[name] = (parent, code)
        above.append((depth, name))
    return found


def test_the_drawn_tree_is_the_tree() -> None:
    """Names, parents and exit codes in the docstring are those of the classes, none more or less."""
    real = {name: (kind.__bases__[0].__name__, kind.exit_code) for name, kind in CLASSES.items()}
    assert drawn() == real


def test_no_error_is_defined_elsewhere() -> None:
    """The tree in `base.errors` is the only one: no module of the library adds to it."""
    found = []
    for path in sorted(Path(lockgate.__file__).parent.rglob("*.py")):
        if path == Path(errors.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                found += [f"{path.name}: {node.name}"] if bases & CLASSES.keys() else []
    assert found == []


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("UsageError", 2),
        ("GateClosed", 3),
        ("TrustError", 4),
        ("RemoteError", 5),
        ("ToolError", 6),
        ("StorageError", 1),
    ],
)
def test_the_kinds_have_different_exit_codes(kind: str, code: int) -> None:
    """Blocked, not trusted and broken are different answers for a script."""
    assert CLASSES[kind].exit_code == code


def test_an_error_is_its_message_and_has_a_hint() -> None:
    """The text of an error is its message; the hint stands apart."""
    error = UsageError("the port is taken", hint="choose another")
    assert (str(error), error.message, error.hint) == (
        "the port is taken",
        "the port is taken",
        "choose another",
    )


def test_the_hint_is_empty_when_there_is_none() -> None:
    """Without a hint the attribute is there and empty."""
    assert UsageError("x").hint == ""


def test_a_closed_gate_carries_the_decision() -> None:
    """Who catches GateClosed has the whole verdict."""
    decision = object()
    assert GateClosed("no", decision=decision).decision is decision


def test_remote_errors_are_final_unless_they_say_so() -> None:
    """`retryable` is False by default and kept by subclasses."""
    assert not RemoteError("x").retryable
    assert MirrorError("x", retryable=True).retryable


def test_a_failed_command_shows_the_last_line_of_stderr() -> None:
    """Program, exit code and the last words stand in the message, argv and tail in attributes."""
    error = CommandFailed(["git", "log"], 128, "warning: x\nfatal: no\n\n", hint="h")
    assert error.message == "`git` ended with exit code 128: fatal: no"
    assert (error.argv, error.code, error.hint) == (("git", "log"), 128, "h")
    assert error.stderr_tail == "warning: x\nfatal: no\n\n"


@pytest.mark.parametrize("stderr", ["", "\n", "  \n \n"])
def test_a_failed_command_without_words_says_so(stderr: str) -> None:
    """An empty stderr is no crash and no empty sentence."""
    assert CommandFailed(["x"], 1, stderr).message.endswith("it printed nothing on stderr")
