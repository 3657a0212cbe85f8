"""Blobs on their way into a folder: written beside their place, and renamed into it when they are whole.

Each one is locked by whoever writes it. The kernel drops the lock when the writer ends, however it ends, and so
the next writer knows what a killed one left, and removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lockgate.base.files import storage_error
from lockgate.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

ABANDONED = 24 * 3600
"""Seconds after which a file without a lock is taken for abandoned, where nobody can tell."""

_PREFIX = ".partial-"


class BlobWriter:
    """Hashes what it writes; `digest` and `size` hold what was written so far."""

    def __init__(self, file: BinaryIO, folder: Path) -> None:
        self._file, self._folder = file, folder
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Append bytes.

        Raises:
            StorageError: the disk is full.
        """
        self._hash.update(data)
        self.size += len(data)
        try:
            return self._file.write(data)
        except OSError as error:
            raise storage_error(error, self._folder) from error

    @property
    def digest(self) -> Digest:
        """The digest of what was written so far."""
        return Digest("sha256:" + self._hash.hexdigest())


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[BlobWriter]:
    """Stream a blob of unknown digest into a folder; it appears under its digest when the block ends well.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = _create(folder)
    except OSError as error:
        raise storage_error(error, folder) from error
    file = os.fdopen(handle, "wb")
    try:
        blob = BlobWriter(file, folder)
        yield blob
        # Outside of these lines an OSError is the caller's: a source that could not be read.
        try:
            os.fchmod(handle, 0o644)
            file.flush()
            os.fsync(handle)
            # Before it is closed, which ends the lock.
            os.replace(name, folder / blob.digest.hex)
        except OSError as error:
            raise storage_error(error, folder) from error
    except BaseException:
        # What cannot be removed now is removed by another writer; why this one failed matters more.
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    finally:
        # A buffer that found no room is still there, and closing tries once more.
        with contextlib.suppress(OSError):
            file.close()


def sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder. What cannot be looked at or removed stays."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            if entry.name.startswith("."):
                with contextlib.suppress(OSError):
                    _remove(entry)


def _create(folder: Path) -> tuple[int, str]:
    """Return a new file with its lock held, and its path."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=_PREFIX)
        if not _lock(handle, otherwise=True):
            os.close(handle)
            continue  # a sweep was faster, and is about to remove it
        try:
            if os.path.samestat(os.fstat(handle), Path(name).stat()):
                return handle, name
        except FileNotFoundError:
            pass  # a sweep came and went in between
        os.close(handle)


def _remove(entry: os.DirEntry[str]) -> None:
    old = entry.stat(follow_symlinks=False).st_mtime < time.time() - ABANDONED
    if not entry.name.startswith(_PREFIX):
        # A small blob, which is written at once and without a lock.
        if old:
            os.unlink(entry.path)
        return
    handle = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if _lock(handle, otherwise=old):
            os.unlink(entry.path)
    finally:
        os.close(handle)


def _lock(handle: int, *, otherwise: bool) -> bool:
    """Take the lock of a file unless somebody holds it; `otherwise` is returned where there are no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return otherwise
    return True
