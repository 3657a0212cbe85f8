"""Components that are no Python: what is built when none is named, and the flow for programs in Go and for stacks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.build import fake_go

from lockgate.build import go

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tasks.conftest import Mini

STACK = """\
  files:
    kind: stack
    path: worker
    stack: mini
    entrypoint: [/bin/tool]
    platforms: [linux/amd64]
    local: false
    on_demand: true
build:
"""
GO = """\
  tool:
    kind: gomodule
    path: tool
    stack: mini
    entrypoint: [tool]
    on_demand: true
build:
"""


@pytest.fixture
def kinds(mini: Mini) -> Mini:
    """The miniature with a component of each further kind, and a Go in miniature on PATH."""
    mini.settings("build:\n", STACK)
    mini.settings("build:\n", GO)
    folder = mini.path / "tool"
    folder.mkdir()
    (folder / "go.mod").write_text("module example.org/tool\ngo 1.26\n")
    # Each test has a program of its own: what is compiled is kept for all of them.
    (folder / "main.go").write_text(f"package main // {mini.path}\n")
    return mini


@pytest.fixture
def compiler(mini: Mini, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go of the pinned version, first on PATH."""
    import os

    place = mini.path / "bin" / "go"
    fake_go.write(place, go.pinned())
    monkeypatch.setenv("PATH", f"{place.parent}:{os.environ['PATH']}")
    return place


def record(mini: Mini, component: str) -> dict[str, object]:
    """The record of what was built last."""
    path = mini.path / ".lockgate" / "records" / component / "image.json"
    found: dict[str, object] = json.loads(path.read_bytes())
    return found


def test_what_is_on_demand_is_left_out(kinds: Mini) -> None:
    """`inv build` makes the others, `inv flow` speaks of the others, and neither says a word of it."""
    answer = kinds.inv("build")

    assert answer.code == 0
    assert sorted(one.name for one in (kinds.path / ".lockgate" / "records").iterdir()) == [
        "web",
        "worker",
    ]
    assert "tool" not in kinds.inv("flow").out + answer.err


def test_when_all_is_on_demand_one_must_be_named(kinds: Mini) -> None:
    """To do nothing is not a success."""
    kinds.settings("    path: web\n", "    path: web\n    on_demand: true\n")
    kinds.settings("entrypoint: [python3, work.py]\n", "entrypoint: [x]\n    on_demand: true\n")
    answer = kinds.inv("build")

    assert answer.code == 2
    assert "every component is on demand" in answer.err
    assert "-c files" in answer.err


def test_a_stack_with_files_goes_the_whole_way(kinds: Mini) -> None:
    """Built for its own platforms, scanned, signed, verified, and compared; not run here."""
    for task in ("build", "scan", "sign", "verify", "build.compare"):
        answer = kinds.inv(task, "-c", "files")
        assert answer.code == 0, answer.err
    found = record(kinds, "files")
    assert [one["platform"] for one in found["platforms"]] == ["linux/amd64"]  # type: ignore[attr-defined]
    assert not found["requirements"]

    refused = kinds.inv("deploy", "-c", "files")
    assert refused.code == 2
    assert "the `local` target does not run files" in refused.err


def test_a_program_in_go_is_compiled_for_each_platform(kinds: Mini, compiler: Path) -> None:
    """The second time nothing is, and no Go is needed."""
    assert kinds.inv("build", "-c", "tool").code == 0
    log = (kinds.path / "log").read_text().splitlines()
    compiler.unlink()
    again = kinds.inv("build", "-c", "tool")

    assert len(log) == 2
    assert again.code == 0
    assert "unchanged" in again.err
    found = record(kinds, "tool")
    assert found["compiler"] == go.pinned()
    assert [one["module"] for one in found["go"]] == ["tool"]  # type: ignore[attr-defined]


def test_compare_compiles_again(kinds: Mini, compiler: Path) -> None:
    """And finds the same program."""
    kinds.inv("build", "-c", "tool")
    answer = kinds.inv("build.compare", "-c", "tool")

    assert answer.code == 0
    assert "twice" in answer.err
    assert len((kinds.path / "log").read_text().splitlines()) == 4


def test_why_a_program_is_compiled_again(kinds: Mini, compiler: Path) -> None:
    """A changed source is named, as a changed file of Python is."""
    kinds.inv("build", "-c", "tool")
    (kinds.path / "tool" / "main.go").write_text("package main // changed\n")
    answer = kinds.inv("build", "-c", "tool", "--why", "--plan")

    assert "would run" in answer.err
    assert "SOURCE" in answer.err
    assert "GO " in answer.err


def test_a_changed_module_is_not_of_a_commit(kinds: Mini, compiler: Path) -> None:
    """Sources of Go count as the component's own: an environment that builds commits refuses them."""
    answer = kinds.inv("build", "-c", "tool", "-e", "staging")

    assert answer.code == 2
    assert "uncommitted changes" in answer.err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: gomodule", "kind: golang", "kind"),
        ("kind: gomodule", "kind: stack\n    go: [{module: tool}]", "tool.go is for Go modules"),
        ("path: tool", "path: tool\n    go: [{module: ../tool}]", "leaves the repository"),
        ("path: tool", "path: tool\n    go: [{module: tool, packages: []}]", "without packages"),
        ("path: tool", "path: tool\n    go: [{modul: tool}]", "did you mean `module`"),
        ("path: tool", "path: tool\n    place: app", "is no folder of an image"),
        ("path: tool", "path: tool\n    place: /app/..", "is no folder of an image"),
        ("path: tool", "path: tool\n    platforms: [linux/amd64, linux/amd64]", "names one twice"),
        ("path: tool", "path: tool\n    go: [{module: web}]", "there is no .*go.mod"),
        ("kind: gomodule", "kind: python", "there is no tool/requirements.txt"),
    ],
)
def test_settings_that_cannot_be(old: str, new: str, said: str, kinds: Mini) -> None:
    """What does not fit together is refused by the name of its field, before anything is built."""
    import re

    kinds.settings(old, new)
    answer = kinds.inv("build", "-c", "tool")

    assert answer.code == 2
    assert re.search(said, answer.err)


@pytest.fixture
def tools(mini: Mini) -> Mini:
    """The miniature with a module of tools."""
    folder = mini.path / "tools" / "box"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module t\ngo 1.26\nrequire example.org/box v1.2.3\n")
    (folder / "go.sum").write_text(f"example.org/box v1.2.3 h1:x=\n// {mini.path}\n")
    (folder / "tool.yaml").write_text("binaries: {lid: {package: example.org/box/lid}}\n")
    return mini


def test_tools_are_listed_and_built(tools: Mini, compiler: Path) -> None:
    """Without a name they are listed; with one they are built, and are there from then on."""
    listed = tools.inv("tools")
    planned = tools.inv("tools", "-n", "lid", "--plan")
    built = tools.inv("tools", "-n", "box")
    (there,) = json.loads(tools.inv("tools", "-n", "lid", "--json").out)

    assert listed.out.split() == ["lid", "absent", "v1.2.3", "example.org/box@v1.2.3"]
    assert "lid  would be built from example.org/box@v1.2.3" in planned.err
    assert built.code == 0
    assert "box: compiling lid" in built.err
    assert (there["origin"], there["version"]) == ("built", "v1.2.3")
    assert there["path"].endswith("/lid")
    assert len((tools.path / "tools" / "log").read_text().splitlines()) == 1


def test_a_tool_that_does_not_compile_is_6(tools: Mini, compiler: Path) -> None:
    """What Go said is shown."""
    (tools.path / "tools" / "box" / "says").write_text("./lid.go:1:1: syntax error\n")
    answer = tools.inv("tools", "-n", "lid")

    assert answer.code == 6
    assert "syntax error" in answer.err


def test_an_unknown_tool_is_2(tools: Mini) -> None:
    """The nearest one is offered."""
    answer = tools.inv("tools", "-n", "lids")

    assert answer.code == 2
    assert "did you mean `lid`?" in answer.err


def test_the_caches_of_go_are_emptied_when_that_is_agreed_to(tools: Mini, cache: Path) -> None:
    """Folders that may not be written are, too; finished tools stay."""
    place = cache / "go" / "mod" / "example.org"
    place.mkdir(parents=True)
    (place / "go.mod").write_text("module m")
    place.chmod(0o555)
    (cache / "tools").mkdir(exist_ok=True)

    asked, agreed = tools.inv("tools.clean"), tools.inv("tools.clean", "--yes")

    assert (asked.code, agreed.code) == (2, 0)
    assert "`inv tools.clean --yes` removes them" in asked.err
    assert not (cache / "go").exists()
    assert (cache / "tools").is_dir()


def test_doctor_lists_tools(tools: Mini) -> None:
    """With what builds them."""
    listed = json.loads(tools.inv("doctor", "--json").out)

    (lid,) = [one for one in listed if one["name"] == "lid"]
    assert not lid["required"]
