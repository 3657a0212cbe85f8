"""Servers that others wrote, as processes that end with the test: their output goes to a file, shown on failure."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.machine import say

from lockgate.base import kernel
from lockgate.build import gotools
from lockgate.tasks.session import user_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
LINES = 20
"""How much of a log is shown."""
END_SECONDS = 20.0
"""How long a server may take to end when it is asked to."""


def built(name: str) -> str:
    """Return a program of `tools/`; when it has to be compiled, which takes minutes, say so and how many."""
    began = time.monotonic()
    notes: list[str] = []

    def note(words: str) -> None:
        notes.append(words)
        say(words)

    path = gotools.binary(
        name, root=ROOT, cache=user_cache(), reports=gotools.Reports(note, lambda *_: None)
    )
    if notes:
        say(f"{name} is there after {time.monotonic() - began:.0f} s")
    return str(path)


class Service:
    """One running server."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log

    @property
    def name(self) -> str:
        """What its log is called."""
        return self._log.stem

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def log(self, about: str = "") -> str:
        """Return the end of what it said, or of those lines that have a word in them."""
        lines = self._log.read_text(errors="replace").splitlines()
        said = [one for one in lines if about in one][-LINES:]
        return "\n".join([f"{self.name} said:", *said])

    def end(self) -> None:
        """Ask it to end; kill it when it does not."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_SECONDS)


@contextlib.contextmanager
def serving(
    argv: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str],
    before: Callable[[], None] | None = None,
) -> Iterator[Service]:
    """Run a server for the length of a block.

    Args:
        argv: program and arguments.
        log: file for all that it says.
        env: its whole environment, but for PATH.
        before: called in the new process, before the program.
    """
    parent = os.getpid()

    def prepare() -> None:
        if before is not None:
            before()
        # Whatever kills the tests, nothing goes on without them.
        kernel.die_with_parent(parent)

    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                argv,
                cwd=log.parent,
                env={"PATH": os.environ["PATH"], **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=prepare,  # noqa: PLW1509 - no thread runs yet
            )
        except subprocess.SubprocessError as error:
            pytest.fail(f"{log.stem}: the kernel refused what it is started with: {error}")
    made = Service(process, log)
    try:
        yield made
    finally:
        made.end()
