"""Moves in processes of their own, so that they can be killed, and run at the same time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.oci import transfer
from lockgate.oci.archive_target import ArchiveTarget
from lockgate.oci.connection import World
from lockgate.oci.layout import Layout
from lockgate.oci.registry import Registry
from lockgate.oci.store import LayoutStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess

SECONDS = 600
"""No process may take longer than this. What one takes on a busy machine, with a busy disk, is far from it."""

# A process that has the library loaded makes the others: each one starts within milliseconds.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


class Together:
    """Several processes that push at the same time; each one's last wait is for the others, not for seconds.

    A process that is held up on a busy machine between reading a list and writing it comes back after any
    number of seconds, and takes away what was written meanwhile by those who waited for less. So a wait ends
    only at a moment at which all others wait too, or have ended: nobody has read a list then that it is yet to
    write. They go on one by one, the next when the one before it waits again or has ended.
    """

    LONGEST = 300
    """Seconds after which a process that waits for the others fails."""

    def __init__(self, count: int) -> None:
        # All from the beginning: one that starts late must be waited for.
        self._busy = _CONTEXT.Value("i", count)
        """Processes that neither wait nor have ended."""
        self._changed = _CONTEXT.Condition(self._busy.get_lock())

    @contextlib.contextmanager
    def member(self) -> Iterator[None]:
        """Be one of them, until the block ends."""
        try:
            yield
        finally:
            self._rest()

    def wait(self, _: float) -> None:
        """Wait until every other one waits or has ended.

        Raises:
            TimeoutError: one did neither.
        """
        with self._changed:
            self._rest()
            try:
                if not self._changed.wait_for(lambda: self._busy.value == 0, self.LONGEST):
                    raise TimeoutError("others who push neither wait nor end")
            finally:
                self._busy.value += 1

    def _rest(self) -> None:
        with self._changed:
            self._busy.value -= 1
            self._changed.notify_all()


def push(name: str, layout: str, digest: str, others: Together | None = None) -> None:
    """Push an image of a layout to a repository, named with its host; `others` push there at the same time."""
    world = World()
    with (
        others.member() if others else contextlib.nullcontext(),
        Registry(world.endpoint(name), world, push=True) as target,
    ):
        if others:
            # Only the last wait. Who pauses between two attempts may be about to write what it read before.
            target._settling._world = replace(world, sleep=others.wait)
        source = LayoutStore(Layout(Path(layout)), "the store")
        transfer.move(transfer.plan(source, target, digest, "1.0"), lambda *_: None)


def pull(name: str, layout: str, digest: str) -> None:
    """Pull an image into a layout."""
    world = World()
    with Registry(world.endpoint(name), world) as source:
        target = LayoutStore(Layout.create(Path(layout)), "the store")
        transfer.move(transfer.plan(source, target, digest, "app"), lambda *_: None)


def copy(name: str, archive: str, digest: str) -> None:
    """Copy an image into a file."""
    world = World()
    with Registry(world.endpoint(name), world) as source, ArchiveTarget(Path(archive)) as target:
        transfer.move(transfer.plan(source, target, digest, "app"), lambda *_: None)


def start(action: Callable[..., None], *arguments: str | Together) -> BaseProcess:
    """Start an action in a process of its own, which ends with this one."""
    child = _CONTEXT.Process(target=action, args=arguments, daemon=True)
    child.start()
    return child


@contextlib.contextmanager
def running(action: Callable[..., None], *arguments: str) -> Iterator[BaseProcess]:
    """Run an action in a process of its own; it is killed when the block ends."""
    child = start(action, *arguments)
    try:
        yield child
    finally:
        kill(child)


def kill(child: BaseProcess) -> None:
    """Send SIGKILL, and wait for the end."""
    if child.pid is not None and child.is_alive():
        os.kill(child.pid, signal.SIGKILL)
    child.join(SECONDS)


def finished(child: BaseProcess) -> int | None:
    """Wait for the end; return the exit code."""
    child.join(SECONDS)
    return child.exitcode


def nothing() -> None:
    """Do nothing, with everything loaded."""


def measured(note: str, name: str, *arguments: str) -> None:
    """Run one of the actions above, and note the most memory that this process ever had."""
    action: Callable[..., None] = globals()[name]
    action(*arguments)
    Path(note).write_text(str(high_water(os.getpid())))


def high_water(pid: int) -> int:
    """Return the most memory that a process ever had, in bytes.

    What getrusage(2) says counts the parent's too, from before the child ran its own program.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    return (
        next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        * 1024
    )
