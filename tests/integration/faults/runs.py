"""Moves in processes of their own, so that they can be killed, and run at the same time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.oci import settle, transfer
from lockgate.oci.archive_target import ArchiveTarget
from lockgate.oci.connection import World
from lockgate.oci.layout import Layout
from lockgate.oci.registry import Registry
from lockgate.oci.store import LayoutStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess

SECONDS = 120

# A process that has the library loaded makes the others: each one starts within milliseconds.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def push(name: str, layout: str, digest: str, tag: str = "1.0") -> None:
    """Push an image of a layout to a repository, named with its host."""
    # Several at once on two processors are held up for longer than four times what one takes alone.
    settle.LEAST = 1.0
    world = World()
    with Registry(world.endpoint(name), world, push=True) as target:
        source = LayoutStore(Layout(Path(layout)), "the store")
        transfer.move(transfer.plan(source, target, digest, tag), lambda *_: None)


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


def start(action: Callable[..., None], *arguments: str) -> BaseProcess:
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
    child.join(30)


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
