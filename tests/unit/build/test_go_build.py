"""Programs that are compiled once and kept: what makes another one, what is checked, what a kill leaves."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.build import fake_go

from lockgate.base.errors import CommandFailed, MirrorError, UsageError
from lockgate.build import go_build
from lockgate.build.go import Go
from lockgate.build.go_build import build, contained
from lockgate.build.go_program import Built, Module, finished

if TYPE_CHECKING:
    from pathlib import Path


class Bench:
    """A module, a compiler that counts, and a cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tool"
        self.folder.mkdir()
        (self.folder / "go.mod").write_text(
            "module example.org/mine/tool\ngo 1.26\nrequire example.org/tool v1.2.3\n"
        )
        (self.folder / "go.sum").write_text("example.org/tool v1.2.3 h1:x=\n")
        (self.folder / "README.md").write_text("about")
        fake_go.write(folder / "bin" / "go")
        self.go = Go(folder / "bin" / "go", "go1.27.3", "PATH")
        self.cache = folder / "cache"
        self.log = folder / "log"

    def module(self, **changes: Any) -> Module:
        """The module, with changes."""
        plain: dict[str, Any] = {
            "folder": self.folder,
            "programs": {"tool": "example.org/tool/v3"},
            "variables": {},
            "platform": "linux/amd64",
        }
        return Module(**{**plain, **changes})

    def build(self, module: Module | None = None, **more: Any) -> dict[str, Built]:
        """Compile."""
        return build(
            module or self.module(),
            self.go,
            self.cache,
            jobs=2,
            progress=lambda *_: None,
            **more,
        )

    def compiled(self) -> list[str]:
        """The commands of the compilations so far."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench."""
    return Bench(tmp_path)


def test_a_program_is_compiled_once(bench: Bench) -> None:
    """The second time neither a compilation nor Go is needed."""
    first = bench.build()["tool"]
    bench.go.program.unlink()

    assert finished(bench.module(), bench.cache)["tool"] == first
    assert finished(bench.module(), bench.cache, go="go1.27.3")["tool"] == first
    assert finished(bench.module(), bench.cache, go="go1.26.8") == {}
    assert len(bench.compiled()) == 1


def test_the_record_says_what_is_in_it(bench: Bench) -> None:
    """Compiler, platform, digest and every module; a replaced one is what stands in for it."""
    about = bench.build()["tool"].about

    assert (about.go, about.platform, about.size) == ("go1.27.3", "linux/amd64", about.size)
    assert about.size > 0
    assert [(one.path, one.version) for one in about.modules] == [
        ("example.org/tool", "v1.2.3"),
        ("example.org/New", "v0.2.0"),
    ]


def test_flags_make_the_bytes_depend_on_nothing_of_this_machine(bench: Bench) -> None:
    """No path, no time, no version control, no symbols; the linker sets what is asked for."""
    module = bench.module(variables={"example.org/b.text": "2", "example.org/a.text": "1"})
    bench.build(module)

    (command,) = bench.compiled()
    assert "-trimpath -buildvcs=false" in command
    assert "-ldflags=-s -w -buildid= -X=example.org/a.text=1 -X=example.org/b.text=2" in command
    assert command.endswith("example.org/tool/v3")


@pytest.mark.parametrize("change", ["go.mod", "go.sum", "main.go"])
def test_every_file_that_counts_makes_another_program(change: str, bench: Bench) -> None:
    """Locks and sources are part of what a program is known by."""
    before = bench.module().inputs()
    path = bench.folder / change
    path.write_text((path.read_text() if path.exists() else "") + "// changed\n")

    assert bench.module().inputs() != before
    assert finished(bench.module(), bench.cache) == {}


def test_everything_else_that_counts(bench: Bench) -> None:
    """Platform and variables count; texts for people and how to ask for a version do not."""
    before = bench.module().inputs()
    (bench.folder / "README.md").write_text("more")
    (bench.folder / "tool.yaml").write_text("binaries: {}")

    assert bench.module().inputs() == before
    assert bench.module(platform="linux/arm64").inputs() != before
    assert bench.module(variables={"a.b": "c"}).inputs() != before


def test_a_changed_program_is_not_used(bench: Bench) -> None:
    """What is kept is checked against its record, and compiled again when it does not agree."""
    built = bench.build()["tool"]
    whole = built.path.read_bytes()
    built.path.write_bytes(whole + b"x")

    assert finished(bench.module(), bench.cache) == {}
    assert bench.build()["tool"].path.read_bytes() == whole


def test_a_kill_leaves_nothing_that_counts(bench: Bench) -> None:
    """A program without its record, and the folder of a killed run, are as good as not there."""
    built = bench.build()["tool"]
    built.path.with_name("tool.json").unlink()
    left = bench.cache / "tools" / f".partial-{built.path.parent.name}-dead"
    left.mkdir()

    assert finished(bench.module(), bench.cache) == {}
    assert bench.build()["tool"].about == built.about
    assert not left.exists()


def test_a_failure_leaves_nothing(bench: Bench) -> None:
    """A mistake in the sources: nothing partial stays, and the next run compiles."""
    (bench.folder / "says").write_text("./main.go:1:1: syntax error\n")
    with pytest.raises(CommandFailed, match="syntax error"):
        bench.build()
    (bench.folder / "says").unlink()

    assert not list((bench.cache / "tools").glob(".partial-*"))
    assert bench.build()["tool"].path.is_file()


def test_a_download_that_breaks_off_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice, and what comes then counts; a proxy that goes on failing is an error."""
    monkeypatch.setattr(go_build, "PAUSES", (0.0, 0.0))
    (bench.folder.parent / "fails").write_text("2")

    assert bench.build()["tool"].path.is_file()
    assert len(bench.compiled()) == 3

    (bench.folder.parent / "fails").write_text("3")
    with pytest.raises(MirrorError, match="connection reset by peer"):
        bench.build(bench.module(platform="linux/arm64"))


def test_a_proxy_that_refuses_is_asked_once(bench: Bench) -> None:
    """That downloads are turned off, or a certificate is not trusted, does not pass."""
    (bench.folder / "says").write_text("a@v1: module lookup disabled by GOPROXY=off\n")
    with pytest.raises(MirrorError) as caught:
        bench.build()
    assert not caught.value.retryable
    assert len(bench.compiled()) == 1


def test_two_runs_do_the_work_once(bench: Bench) -> None:
    """The second waits for the first, and finds its programs."""
    runs = [threading.Thread(target=bench.build) for _ in range(3)]
    for one in runs:
        one.start()
    for one in runs:
        one.join()

    assert len(bench.compiled()) == 1


def test_only_what_is_missing_is_compiled(bench: Bench) -> None:
    """A second program of a module does not compile the first one again."""
    bench.build()
    both = bench.module(programs={"tool": "example.org/tool/v3", "other": "example.org/other"})

    made = bench.build(both)

    assert list(made) == ["tool", "other"]
    assert bench.compiled()[1].endswith("example.org/other")


def test_programs_that_go_would_give_one_name(bench: Bench) -> None:
    """Each gets its own all the same."""
    made = bench.build(
        bench.module(programs={"one": "example.org/a/server", "two": "example.org/b/server"})
    )

    assert made["one"].path.read_text().startswith("example.org/a/server\n")
    assert made["two"].path.read_text().startswith("example.org/b/server\n")


def test_anew_compiles_what_is_there(bench: Bench, tmp_path: Path) -> None:
    """To compare, everything is compiled again, with nothing compiled before, into another folder."""
    built = bench.build()["tool"]

    again = bench.build(anew=tmp_path / "again")["tool"]

    assert (tmp_path / "again") in again.path.parents
    assert again.path.read_bytes() == built.path.read_bytes()
    assert f"GOCACHE={tmp_path / 'again' / 'compiled'} " in bench.compiled()[1]
    assert f"GOMODCACHE={bench.cache / 'go' / 'mod'} " in bench.compiled()[1]
    assert finished(bench.module(), bench.cache)["tool"] == built


def test_a_package_that_looks_like_a_flag_is_none(bench: Bench) -> None:
    """One of Go's flags names a program that is run in place of each tool of the compiler."""
    bench.build(bench.module(programs={"tool": "-toolexec=x"}))
    assert bench.log.read_text().rstrip().endswith(" -- -toolexec=x")


def test_what_is_no_program_is_named(bench: Bench) -> None:
    """Go compiles a package without `main` and writes nothing."""
    (bench.folder / "no-main").touch()

    with pytest.raises(UsageError, match="is no main package"):
        bench.build()


def test_a_module_outside_of_its_folder_is_refused(bench: Bench) -> None:
    """What lies elsewhere would be compiled and not be known."""
    with (bench.folder / "go.mod").open("a") as file:
        file.write("replace example.org/tool => ../other\n")

    with pytest.raises(UsageError, match=r"replaces a module by \.\./other"):
        bench.build()


@pytest.mark.parametrize("name", ["go.mod", "go.sum"])
def test_a_lock_must_be_there(name: str, bench: Bench) -> None:
    """Without one of the two files nothing is compiled."""
    (bench.folder / name).unlink()

    with pytest.raises(UsageError, match=f"there is no .*{name}"):
        bench.build()


def test_a_file_that_changes_meanwhile(bench: Bench) -> None:
    """A program is not known by sources that it was not compiled from."""

    def edit(*_: object) -> None:
        (bench.folder / "main.go").write_text("package main")

    with pytest.raises(UsageError, match="changed while it was compiled"):
        build(bench.module(), bench.go, bench.cache, jobs=1, progress=edit)
    assert finished(bench.module(), bench.cache) == {}


def test_licences_come_from_the_module_cache(bench: Bench) -> None:
    """A capital letter in a path is written as `!` and the small one there."""
    place = bench.cache / "go" / "mod" / "example.org" / "!new@v0.2.0"
    place.mkdir(parents=True)
    (place / "LICENSE").write_text(
        "Permission is hereby granted, free of charge, to any person to deal without restriction"
    )

    about = bench.build()["tool"].about

    assert [one.licences for one in about.modules] == [(), ("MIT",)]


def test_the_caches_of_go_are_not_needed_again(bench: Bench) -> None:
    """A finished program stays when they are removed."""
    bench.build()
    shutil.rmtree(bench.cache / "go", ignore_errors=True)

    assert finished(bench.module(), bench.cache)["tool"].path.is_file()


def test_a_program_of_the_folders_own_sources() -> None:
    """`(devel)` is no version."""
    assert contained("x: go1.27.3\n\tpath\ta\n\tmod\ta\t(devel)\t\n\tdep\tb\tv1\th1:c=\n") == [
        ("a", "", ""),
        ("b", "v1", "h1:c="),
    ]
