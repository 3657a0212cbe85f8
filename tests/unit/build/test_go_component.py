"""Go programs as layers: how they are named, what they are known by, what is listed of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import DigestMismatch, UsageError
from lockgate.build.go_component import describe, entries, module, packages
from lockgate.build.go_program import Built, GoModule, GoProgram
from lockgate.build.layer import tar_stream
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.build.model import GoSources


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a module of its own, and one of tools."""
    own = tmp_path / "hello"
    own.mkdir()
    (own / "go.mod").write_text("module example.org/hello/v2\ngo 1.26\n")
    (own / "main.go").write_text("package main\n")
    tools = tmp_path / "tools" / "box"
    tools.mkdir(parents=True)
    (tools / "go.mod").write_text("module t\ngo 1.26\nrequire example.org/box v1.0.0\n")
    (tools / "go.sum").write_text("x\n")
    (tools / "tool.yaml").write_text(
        "binaries: {lid: {package: example.org/box/server}}\nvariables: {example.org/box.v: v1}\n"
    )
    return tmp_path


def test_programs_of_a_module_of_ones_own(root: Path) -> None:
    """`.` is named after the module, `./cmd/x` after its folder; without requirements there is no go.sum."""
    found = describe(root, "hello", [".", "./cmd/other"])

    assert found.programs == {"hello": ".", "other": "./cmd/other"}
    assert found.mod == Digest.of((root / "hello" / "go.mod").read_bytes())
    assert not found.sums


@pytest.mark.parametrize("given", ["lid", "example.org/box/server"])
def test_programs_of_a_declared_tool(given: str, root: Path) -> None:
    """Its name and its package mean the same; what the linker sets is declared with it."""
    found = describe(root, "tools/box", [given])

    assert found.programs == {"lid": "example.org/box/server"}
    assert module(root, "tools/box", found.programs, platform="linux/arm64").variables == {
        "example.org/box.v": "v1"
    }


def test_two_packages_that_give_one_name(root: Path) -> None:
    """One would hide the other in the image."""
    with pytest.raises(UsageError, match="two programs called `other`"):
        describe(root, "hello", ["./cmd/other", "./test/other"])


def test_the_content_is_the_same_for_every_platform(root: Path) -> None:
    """The plan speaks of the index; each layer adds its platform."""
    before = describe(root, "hello", ["."]).content
    (root / "hello" / "main.go").write_text("package main // changed\n")

    assert describe(root, "hello", ["."]).content != before


def built(folder: Path, data: bytes = b"program") -> Built:
    """A program in a cache."""
    path = folder / "hello"
    path.write_bytes(data)
    about = GoProgram(
        name="hello",
        package=".",
        platform="linux/amd64",
        go="go1.27.3",
        sha256=hashlib.sha256(b"program").hexdigest(),
        size=len(data),
        modules=(
            GoModule(path="example.org/hello", version="", sum="", licences=()),
            GoModule(
                path="github.com/A/b/v2",
                version="v2.0.0+incompatible",
                sum="h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=",
                licences=("MIT",),
            ),
        ),
    )
    return Built(path, about)


def sources() -> GoSources:
    """What it was compiled from."""
    from lockgate.build.model import GoSources

    return GoSources(
        module="hello", programs={"hello": "."}, mod="", sums="", content="sha256:" + "c" * 64
    )


def test_the_layer_holds_the_program_alone(tmp_path: Path) -> None:
    """Executable for all, in the folder that is on every image's PATH."""
    (entry,) = entries(built(tmp_path))

    assert (entry.path, entry.kind, entry.mode) == ("usr/local/bin/hello", "file", 0o755)
    assert b"program" in b"".join(tar_stream([entry]))


def test_a_changed_program_makes_no_layer(tmp_path: Path) -> None:
    """It is checked while it is read, however it came to differ."""
    with pytest.raises(DigestMismatch, match="is not the program that was compiled"):
        b"".join(tar_stream(entries(built(tmp_path, b"forgery"))))


def test_every_module_is_listed(tmp_path: Path) -> None:
    """With a package URL, the sum of `go.sum` in hexadecimal digits, and Go's own library."""
    own, other, library = packages(built(tmp_path), sources())

    assert (library.name, library.version, library.sha256) == ("stdlib", "v1.27.3", "")
    assert library.purl == "pkg:golang/stdlib@v1.27.3"
    assert (own.purl, own.sha256) == ("pkg:golang/example.org/hello", "c" * 64)
    assert other.purl.startswith("pkg:golang/github.com/")
    assert other.sha256 == "0" * 62 + "ff"
    assert other.licences == ("MIT",)
