"""Files that survive a kill at any line: atomic writes and exclusive locks."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from typing import TYPE_CHECKING

from lockgate.base.errors import LockgateError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def storage_error(error: OSError, path: Path) -> LockgateError:
    """Translate an operating system error on `path` into a StorageError with a hint."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"{path} could not be written: the disk is full",
            hint="free some space, then run the same command again: finished work is kept",
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return StorageError(
        f"{path} could not be used: {reason}", hint="check the path's owner and mode"
    )


def atomic_write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write `data` so that readers see the old content or the new, never a part.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with _beside(path, data, mode) as name:
        os.replace(name, path)


def atomic_create(path: Path, data: bytes, *, mode: int = 0o644) -> bool:
    """Write `data` to a file that is not there: whole or not at all, and never over one that appears meanwhile.

    Returns:
        False when there is something of that name; it stays as it is.

    Raises:
        StorageError: the disk is full, the folder cannot be written, or its file system has no hard links.
    """
    with _beside(path, data, mode) as name:
        try:
            # Unlike a rename a link fails where the name is taken, in one step.
            os.link(name, path)
        except FileExistsError:
            made = False
        else:
            made = True
        os.unlink(name)
    return made


@contextlib.contextmanager
def _beside(path: Path, data: bytes, mode: int) -> Iterator[str]:
    """Give the name of a temporary file with `data`, to be moved or linked to `path`; gone after an error.

    It lies beside the target (a rename across file systems is not atomic) and has its final mode before it
    holds data.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield name
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
    except OSError as error:
        raise storage_error(error, path) from error


@contextlib.contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path` for the duration of the block; wait when another process has it.

    The kernel drops the lock when its holder ends, however it ends. `waiting` is called once when the lock
    is not free, so that a person learns why nothing happens.

    Raises:
        StorageError: the lock file cannot be made, or the file system has no locks.
    """
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            raise storage_error(error, path) from error
        yield
    finally:
        os.close(handle)
