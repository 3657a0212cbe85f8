"""Tools: what is declared, what of PATH is taken, what is compiled, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.build import fake_go

from lockgate.base.errors import CommandFailed, UsageError
from lockgate.build import gotools
from lockgate.build.gotools import Reports, binary, catalogue, choose, look

if TYPE_CHECKING:
    from pathlib import Path

ROOT_TOOLS = ("coredns", "cosign", "crane", "etcd", "kubectl", "kustomize", "registry", "sops")


def declare(root: Path, module: str, accept: str = "", *programs: str) -> Path:
    """Write a module of tools; its programs are called as given."""
    folder = root / "tools" / module
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text(
        f"module example.org/tools/{module}\ngo 1.26\nrequire example.org/{module} v1.2.3\n"
    )
    (folder / "go.sum").write_text("")
    lines = [
        f"  {name}: {{package: example.org/{module}/{name}, ask: [version], accept: {accept!r}}}"
        for name in programs or (module,)
    ]
    (folder / "tool.yaml").write_text("binaries:\n" + "\n".join(lines) + "\n")
    return folder


def on_path(folder: Path, name: str, says: str, code: int = 0) -> str:
    """Put a program that prints its version into a folder; return the folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    (folder / name).chmod(0o755)
    return str(folder)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with two modules of tools, and a Go in `bin/`."""
    declare(tmp_path, "cutter", ">=1.2,<2")
    declare(tmp_path, "box", "", "lid", "bottom")
    fake_go.write(tmp_path / "bin" / "go", "go1.27.3")
    return tmp_path


def test_everything_declared_is_listed_with_its_origin(root: Path) -> None:
    """Name, version and module come from `go.mod`, where they are locked."""
    found = catalogue(root)

    assert list(found) == ["bottom", "cutter", "lid"]
    assert (found["lid"].version, found["lid"].source) == ("v1.2.3", "example.org/box@v1.2.3")


def test_two_modules_with_one_name(root: Path) -> None:
    """Which one is meant would be a guess."""
    declare(root, "other", "", "lid")

    with pytest.raises(UsageError, match="`lid` is declared by box and by other"):
        catalogue(root)


def test_a_modules_name_stands_for_its_programs(root: Path) -> None:
    """Each is chosen once."""
    chosen = choose(catalogue(root), ["box", "lid", "cutter"])

    assert sorted(one.name for one in chosen) == ["bottom", "cutter", "lid"]


def test_a_mistyped_name(root: Path) -> None:
    """The nearest one is offered."""
    with pytest.raises(UsageError, match="'cuter' is not a tool") as caught:
        choose(catalogue(root), ["cuter"])
    assert "`cutter`" in caught.value.hint


def test_an_accepted_version_on_path_is_taken(root: Path, tmp_path: Path) -> None:
    """Nothing is compiled for it."""
    search = on_path(tmp_path / "path", "cutter", "Cutter version v1.9.0 (built 2026.11.21)")

    found = look(catalogue(root)["cutter"], tmp_path / "cache", search=search)

    assert (found.origin, found.version) == ("PATH", "v1.9.0")
    assert found.path == tmp_path / "path" / "cutter"


@pytest.mark.parametrize(
    ("says", "code", "note"),
    [
        ("v1.1.9", 0, "is v1.1.9, >=1.2,<2 is needed"),
        ("v2.0.0", 0, "is v2.0.0, >=1.2,<2 is needed"),
        ("(devel)", 0, "does not tell its version"),
        ("v1.5.0", 1, "does not tell its version"),
    ],
)
def test_another_version_is_not(
    says: str, code: int, note: str, root: Path, tmp_path: Path
) -> None:
    """It is said why, and the tool counts as absent."""
    search = on_path(tmp_path / "path", "cutter", says, code)

    found = look(catalogue(root)["cutter"], tmp_path / "cache", search=search)

    assert found.origin == "absent"
    assert note in found.note


def test_a_tool_that_accepts_nothing_is_never_taken_from_path(root: Path, tmp_path: Path) -> None:
    """It is not even asked."""
    search = on_path(tmp_path / "path", "lid", "v1.2.3")

    found = look(catalogue(root)["lid"], tmp_path / "cache", search=search)

    assert (found.origin, found.note) == ("absent", "")


def test_what_is_absent_is_compiled_and_kept(root: Path) -> None:
    """One compilation a module; afterwards the tools are there without Go."""
    said: list[str] = []
    tools = choose(catalogue(root), ["box", "cutter"])
    reports = Reports(said.append, lambda *_: None)

    made = gotools.build(tools, root / "cache", reports=reports, search=str(root / "bin"), cpus=4)
    (root / "bin" / "go").unlink()
    again = gotools.build(tools, root / "cache", search="")

    assert [one.origin for one in made] == ["built"] * 3
    assert again == made
    assert sorted(said) == ["box: compiling bottom, lid", "cutter: compiling cutter"]
    assert len((root / "tools" / "log").read_text().splitlines()) == 2


def test_processors_are_shared(root: Path) -> None:
    """Two modules on four processors take two each; one module on two takes both."""
    tools = choose(catalogue(root), ["box", "cutter"])
    gotools.build(tools, root / "cache", search=str(root / "bin"), cpus=4)
    gotools.build(tools[:1], root / "other", search=str(root / "bin"), cpus=2)

    assert all("-p=2 " in one for one in (root / "tools" / "log").read_text().splitlines())


def test_the_first_failure_is_told(root: Path) -> None:
    """What went wrong is not hidden by what went well."""
    (root / "tools" / "box" / "says").write_text("./a.go:1:1: syntax error\n")
    tools = choose(catalogue(root), ["box", "cutter"])

    with pytest.raises(CommandFailed, match="syntax error"):
        gotools.build(tools, root / "cache", search=str(root / "bin"), cpus=2)


def test_one_tool_by_its_name(root: Path) -> None:
    """What other floors and tests call."""
    path = binary("lid", root=root, cache=root / "cache", search=str(root / "bin"))

    assert path.name == "lid"
    assert path.is_file()


def test_the_tools_of_this_repository_are_locked(pytestconfig: pytest.Config) -> None:
    """Each declaration agrees with its `go.mod`: its package is a `tool` there, or is the module's own."""
    found = catalogue(pytestconfig.rootpath)

    assert set(ROOT_TOOLS) <= set(found)
    for tool in found.values():
        parsed = gotools.module([tool]).parsed()
        assert tool.version, f"{tool.name} comes from no required module"
        assert tool.package in parsed.tools
        assert (tool.folder / "go.sum").read_bytes()
