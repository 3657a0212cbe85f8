"""Stacks as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.build.conftest import STACK, make_stack

from lockgate.base.errors import UsageError
from lockgate.build.stack import Omit, Stack, folder, load

ROOT = Path(__file__).parents[3]
STACKS = sorted(path.parent.name for path in (ROOT / "stacks").glob("*/stack.yaml"))


def test_least() -> None:
    """Three fields are enough."""
    assert make_stack() == Stack(suites=("trixie",), packages=("tiny",), python="3.13")


def test_all() -> None:
    """Every field is read."""
    text = STACK + (
        "architectures: [arm64]\nomit: [{package: awk, reason: scripts}]\nexclude: [a]\nkeep: [b]\n"
        "links: {c: d}\nenvironment: {E: f}\nuser: 1000\n"
    )
    found = make_stack(text)
    assert found.omit == (Omit(package="awk", reason="scripts"),)
    assert (found.architectures, found.exclude, found.keep) == (("arm64",), ("a",), ("b",))
    assert (found.links, found.environment, found.user) == ({"c": "d"}, {"E": "f"}, 1000)


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ("package: [tiny]\n", "`package` is not a field", "`packages`"),
        ("omit: [{package: a, why: b}]\n", r"`omit.0.why` is not a field", "reason"),
        ("colour: red\n", "`colour` is not a field", "known here"),
        ("omit: [{package: a, reason: ' '}]\n", "omitting `a` has no reason", ""),
        ("architectures: [i386]\n", r"`architectures.0`: input should be 'amd64' or 'arm64'", ""),
        ("architectures: []\n", "`architectures` is empty", ""),
        ("user: 0\n", "never runs as root", ""),
    ],
)
def test_refused(change: str, message: str, hint: str) -> None:
    """A wrong field is named, with the nearest right one."""
    with pytest.raises(UsageError, match=message) as caught:
        make_stack(STACK + change)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"3.13"', "3.13", "`python`: input should be a valid string"),
        ("[tiny]", "[tiny, tiny]", "`packages` is empty or names something twice"),
        ("[trixie]", "[]", "`suites` is empty"),
        ("[trixie]", "[trixie-security]", "starts with the security suite"),
        ("python", "pyton", "`pyton` is not a field"),
    ],
)
def test_wrong_values(old: str, new: str, message: str) -> None:
    """A wrong value is refused."""
    with pytest.raises(UsageError, match=message):
        make_stack(STACK.replace(old, new))


@pytest.mark.parametrize("data", [b"", b"- a\n", b"text", b"suites: [", b"\xff"])
def test_not_a_stack(data: bytes) -> None:
    """Anything but a mapping is refused."""
    with pytest.raises(UsageError, match="the file"):
        load(data, what="the file")


def test_folder_of_the_project(tmp_path: Path) -> None:
    """A project's own stack is found by its name."""
    place = tmp_path / "stacks" / "mine"
    place.mkdir(parents=True)
    (place / "stack.yaml").write_text(STACK)
    assert folder("mine", tmp_path) == place


@pytest.mark.parametrize("name", ["", "pyton", "../stacks/python", "/etc"])
def test_no_such_stack(name: str) -> None:
    """An unknown name is an error with the nearest one; a path is no name."""
    with pytest.raises(UsageError, match="is not a stack") as caught:
        folder(name, ROOT)
    assert "`python`" in caught.value.hint


PROGRAMS = {
    "docker-registry": ["usr/bin/docker-registry"],
    "postgres": ["usr/bin/dash", "usr/bin/sh"],
    "python": ["usr/bin/python3*"],
    "python-old": ["usr/bin/python3*"],
    "static": [],
}
"""Programs that a stack keeps. A node of Kubernetes is made of programs, and is not listed."""


@pytest.mark.parametrize("name", STACKS)
def test_committed(name: str) -> None:
    """The stacks of this repository are valid and leave every program out but what they are for."""
    found = load((ROOT / "stacks" / name / "stack.yaml").read_bytes(), what=name)
    assert found.user == 65532
    assert {*PROGRAMS, "node"} == set(STACKS)
    if name in PROGRAMS:
        assert "usr/bin/*" in found.exclude
        assert [one for one in found.keep if "bin" in one] == PROGRAMS[name]


def test_a_stack_may_have_no_python() -> None:
    """A stack for programs that need none says nothing of Python."""
    assert not make_stack(STACK.replace('python: "3.13"\n', "")).python
