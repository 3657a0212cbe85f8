"""A compilation that is watched: what is reported, when it is ended, and what its words become."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from lockgate.base.errors import (
    CommandFailed,
    DigestMismatch,
    LockgateError,
    MirrorError,
    PackageGone,
    StorageError,
    ToolMissing,
    UsageError,
)
from lockgate.build.go_run import Watch, compile_with, explain

if TYPE_CHECKING:
    from pathlib import Path


def watch(told: list[tuple[str, int, str]], *, timeout: float = 30, stops: bool = False) -> Watch:
    """Return a watch that remembers what it is told."""
    return Watch(
        "tool",
        timeout,
        lambda name, done, last: told.append((name, done, last)),
        lambda: stops,
    )


def script(text: str) -> list[str]:
    """Return the command that runs this text."""
    return [sys.executable, "-IS", "-c", text]


def test_packages_and_downloads_are_reported(tmp_path: Path) -> None:
    """A package counts, a download does not, and what is neither is not reported."""
    told: list[tuple[str, int, str]] = []
    lines = ["example.org/one", "go: downloading example.org/two v1.0.0", "# a note", "main"]
    text = f"import sys; sys.stderr.write({chr(10).join(lines)!r})"

    compile_with(script(text), cwd=tmp_path, env={}, watch=watch(told))

    assert told == [
        ("tool", 1, "example.org/one"),
        ("tool", 1, "downloading example.org/two v1.0.0"),
        ("tool", 2, "main"),
    ]


def test_much_output_does_not_block(tmp_path: Path) -> None:
    """The pipe is drained while the command runs."""
    text = "import sys; sys.stderr.write('note: x\\n' * 200_000); sys.exit(1)"

    with pytest.raises(CommandFailed) as caught:
        compile_with(script(text), cwd=tmp_path, env={}, watch=watch([]))
    assert caught.value.code == 1
    assert len(caught.value.stderr_tail) < 5000


def test_time_is_limited(tmp_path: Path) -> None:
    """A command that hangs is ended, with what it started."""
    with pytest.raises(CommandFailed, match=r"not compiled within 0\.2 s") as caught:
        compile_with(
            script("import time; time.sleep(60)"),
            cwd=tmp_path,
            env={},
            watch=watch([], timeout=0.2),
        )
    assert caught.value.code == -9


def test_it_can_be_stopped(tmp_path: Path) -> None:
    """When another compilation failed, this one is given up."""
    with pytest.raises(CommandFailed, match="it was stopped"):
        compile_with(
            script("import time; time.sleep(60)"), cwd=tmp_path, env={}, watch=watch([], stops=True)
        )


def test_no_such_program(tmp_path: Path) -> None:
    """A compiler that is not there is named."""
    with pytest.raises(ToolMissing, match="cannot be executed"):
        compile_with([str(tmp_path / "go")], cwd=tmp_path, env={}, watch=watch([]))


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            "verifying example.org/a@v1.0.0: checksum mismatch\n\tdownloaded: h1:x\nSECURITY ERROR",
            DigestMismatch,
            "example.org/a@v1.0.0 is not what go.sum of tool lists",
        ),
        ("write /tmp/b: no space left on device", StorageError, "the disk is full"),
        ("x.go:1: missing go.sum entry for module a", UsageError, "not complete"),
        ("go: updates to go.mod needed", UsageError, "not complete"),
        (
            "go: example.org/a@v9.9.9: reading https://p/a/@v/v9.9.9.zip: 404 Not Found",
            PackageGone,
            "example.org/a@v9.9.9 of tool is not on the module proxy",
        ),
        (
            'go: example.org/a@v1: Get "https://p/": dial tcp: lookup p: no such host',
            MirrorError,
            "could not be downloaded",
        ),
        ("a@v1: read: 503 Service Unavailable", MirrorError, "could not be downloaded"),
        ("no required module provides package example.org/z", UsageError, "could not be compiled"),
        ("go: directory not found", UsageError, "could not be compiled"),
        ("# main\n./main.go:3:1: syntax error", CommandFailed, "syntax error"),
    ],
)
def test_what_go_says_is_translated(said: str, kind: type[LockgateError], words: str) -> None:
    """Every kind of failure has an error of its own, with a hint."""
    found = explain(CommandFailed(["go", "build"], 1, said), "tool")

    assert type(found) is kind
    assert words in found.message
    assert found.hint


def test_a_compilers_complaint_is_shown(tmp_path: Path) -> None:
    """The lines of a mistake in the sources are in the hint, not only the last one."""
    found = explain(
        CommandFailed(["go", "build"], 1, "# main\n./a.go:1:1: one\n./a.go:2:1: two"), "t"
    )

    assert "./a.go:1:1: one" in found.hint


def test_a_killed_compiler_speaks_of_memory() -> None:
    """The kernel ends what takes too much memory; Go says only that it was killed."""
    found = explain(CommandFailed(["go"], 1, "compile: signal: killed"), "t")

    assert "memory" in found.hint
