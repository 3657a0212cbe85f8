"""kustomize is found where it is, run closed in, and its complaints become our errors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import CommandFailed, ToolError, UsageError
from lockgate.config.kustomize import Kustomize, find

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Script = Callable[[str, str], Path]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a program of a name into a folder that can be searched."""

    def write(name: str, body: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return write


def never() -> Path:
    """Stand for a build that must not be asked for."""
    raise AssertionError("nothing is to be built")


KUBECTL = """echo '{"kustomizeVersion": "v5.5.0"}'"""


def test_kustomize_on_path_is_taken(script: Script) -> None:
    """It goes before the one in kubectl."""
    path = script("kustomize", "echo v5.8.1")
    script("kubectl", KUBECTL)
    found = find(never, search=str(path.parent))
    assert found == Kustomize((str(path), "build"), "kustomize v5.8.1")


@pytest.mark.parametrize("answer", ["echo v4.5.7", "echo '{Version:kustomize/v3.2.0}'", "exit 1"])
def test_an_old_or_broken_kustomize_is_not_taken(answer: str, script: Script) -> None:
    """Kubectl's own is next."""
    script("kustomize", answer)
    path = script("kubectl", KUBECTL)
    found = find(never, search=str(path.parent))
    assert found == Kustomize((str(path), "kustomize"), "kustomize v5.5.0")


@pytest.mark.parametrize("answer", ["echo '{}'", "echo no", "exit 1"])
def test_without_either_one_is_built(answer: str, script: Script, tmp_path: Path) -> None:
    """A kubectl that does not say what is in it is passed over."""
    folder = script("kubectl", answer).parent
    built = script("built", "echo v5.8.1")
    assert find(lambda: built, search=str(folder)).argv == (str(built), "build")


def test_what_was_built_must_be_recent(script: Script) -> None:
    """What a tools folder of one's own declares may be too old."""
    built = script("built", "echo v4.0.0")
    with pytest.raises(ToolError, match=r"is no kustomize of version 5\.0 or later"):
        find(lambda: built, search="/nonexistent")


def test_it_sees_no_home_no_path_and_no_secret(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plug-ins lie in a home, git and helm on a path; variables of the person are not handed on."""
    monkeypatch.setenv("LOCKGATE_KEY_PASSWORD", "secret")
    path = script("kustomize", 'echo "home: $(/bin/ls $HOME)"; /usr/bin/env; echo "$@"')
    text = Kustomize((str(path), "build"), "kustomize v5").build(tmp_path).decode()
    assert "home: \n" in text
    assert "secret" not in text
    assert os.environ["HOME"] not in text.replace(str(tmp_path), "").split("HOME=")[1].split()[0]
    assert f"build --load-restrictor=LoadRestrictionsRootOnly {tmp_path}" in text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Error: no matches for Id Deployment", "no matches for Id Deployment"),
        ('E1121 16:32:14.1 9 run.go:72] "command failed" err="no such file"', "no such file"),
    ],
)
def test_its_complaint_is_an_error_of_the_input(
    line: str, shown: str, script: Script, tmp_path: Path
) -> None:
    """The last line, without what surrounds it in kustomize and in kubectl."""
    path = script("kustomize", f"echo '{line}' >&2; exit 1")
    with pytest.raises(UsageError) as caught:
        Kustomize((str(path),), "kustomize v5").build(tmp_path)
    assert caught.value.message == f"{tmp_path} cannot be rendered: {shown}"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            'Error: unable to parse SM or JSON patch from [patch: "kind: Secret data: hidden"]',
            "unable to parse SM or JSON patch from [patch: …",
        ),
        (
            "Error: loading KV pairs: literal sources [hidden]: invalid literal source hidden, expected k=v",
            "loading KV pairs: literal sources …",
        ),
        (
            '"command failed" err=<\n\tdata: hidden\n\t`: unable to parse it from [patch: "hidden"]\n >',
            "`: unable to parse it from [patch: …",
        ),
        (
            "Error: wrong node kind: expected MappingNode but got ScalarNode: node contents:\nhidden\n",
            "wrong node kind: expected MappingNode but got ScalarNode",
        ),
    ],
)
def test_what_it_quotes_is_not_shown(said: str, shown: str, script: Script, tmp_path: Path) -> None:
    """It may be a value of a Secret."""
    (tmp_path / "said").write_text(said)
    path = script("kustomize", f"/bin/cat {tmp_path}/said >&2; exit 1")
    with pytest.raises(UsageError) as caught:
        Kustomize((str(path),), "kustomize v5").build(tmp_path)
    assert caught.value.message == f"{tmp_path} cannot be rendered: {shown}"


def test_a_program_that_says_nothing_is_broken(script: Script, tmp_path: Path) -> None:
    """Without a word on stderr it is no fault of the input."""
    path = script("kustomize", "exit 3")
    with pytest.raises(CommandFailed):
        Kustomize((str(path),), "kustomize v5").build(tmp_path)
