"""What is known about a component, in `RUN/<component>/`, safe against a kill at any line.

state.json     the `State`
lock           held while something changes
*.log          output of the services
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from lockgate.base.canonical import decode, encode
from lockgate.base.errors import UsageError
from lockgate.base.files import atomic_write, storage_error
from lockgate.deploy.model import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_TAIL = 1 << 20
"""Most bytes at the end of a log that are looked at."""


def read(folder: Path) -> State:
    """Return the state of the component in `folder`; the empty one when it was never deployed.

    Raises:
        UsageError: the file is not a state.
        StorageError: it cannot be read.
    """
    path = folder / "state.json"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return State()
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        return decode(data, State, what=str(path))
    except UsageError as error:
        error.hint = f"end what still runs of it by hand, then remove {path}"
        raise


def write(folder: Path, state: State) -> None:
    """Replace the state atomically.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    atomic_write(folder / "state.json", encode(state))


def remove(path: Path) -> None:
    """Remove a file of the component that may be there.

    Raises:
        StorageError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, path) from error


@contextlib.contextmanager
def hold(folder: Path, waiting: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold the component's lock and yield its descriptor.

    A process that inherits the descriptor holds the lock too. A service that is not kept yet does, so when
    its deployer is killed the next one waits here until the service is gone.

    Raises:
        StorageError: the folder cannot be written.
    """
    import fcntl

    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def last_lines(path: Path, lines: int) -> str:
    """Return the last lines of a file, of its last megabyte at most; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            data = file.read(_TAIL)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise storage_error(error, path) from error
    return "\n".join(data.decode("utf-8", "replace").splitlines()[-lines:])
