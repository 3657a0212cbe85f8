"""Folders to work in for a while, which are found and removed later when the work was killed.

    HOME/.lock            held while one is made, and while it is found out which are abandoned
    HOME/work-XXXXXXXX/   one piece of work
        lock              locked by who works there, and by the programs that it hands the lock to
        in/               the folder itself; empty at first

The kernel drops a lock when the last process that holds it has ended, however it ended. So what is not locked is
abandoned, and what a program still uses that has outlived us is not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lockgate.base.errors import StorageError
from lockgate.base.files import exclusive, storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "work-"
_LOCK, _INSIDE = "lock", "in"


class Scratch(NamedTuple):
    """A folder while it is worked in."""

    path: Path
    """Empty, and its owner's alone."""
    lock: int
    """Descriptor to hand to a program that works there (`pass_fds`), so that the folder outlives us with it."""


def system_home() -> Path:
    """Return this user's home of such folders in the system's folder for temporary files; made when absent.

    Everybody can make folders there, so one of this name counts only when it is this user's alone.

    Raises:
        StorageError: it cannot be made, or others may use it.
    """
    home = Path(tempfile.gettempdir()).resolve() / f"lockgate-{os.geteuid()}"
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        found = home.lstat()
    except OSError as error:
        raise storage_error(error, home) from error
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.geteuid()
        or stat.S_IMODE(found.st_mode) & 0o077
    ):
        raise StorageError(
            f"{home} is not a folder of this user alone",
            hint="remove it, or name a folder of your own in `TMPDIR`",
        )
    return home


@contextlib.contextmanager
def scratch(home: Path) -> Iterator[Scratch]:
    """Make a folder for the duration of the block, and remove those whose work was killed.

    Args:
        home: where these folders are; nothing else belongs there.

    Raises:
        StorageError: it cannot be written, or the file system has no locks.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Between making a folder and locking it nobody may look for abandoned ones.
        with exclusive(home / ".lock"):
            abandoned = _abandoned(home)
            whole = Path(tempfile.mkdtemp(dir=home, prefix=_PREFIX))
            (whole / _INSIDE).mkdir(mode=0o700)
            lock = _take(whole / _LOCK, os.O_CREAT | os.O_EXCL)
    except OSError as error:
        raise storage_error(error, home) from error
    try:
        for one in abandoned:
            _remove(one)
        yield Scratch(whole / _INSIDE, lock)
    finally:
        _remove(whole)
        os.close(lock)


def _abandoned(home: Path) -> list[Path]:
    """Return the folders of ours in which nobody works any more."""
    with os.scandir(home) as entries:
        return [Path(one.path) for one in entries if _is_ours(one) and not _is_held(one.path)]


def _is_ours(entry: os.DirEntry[str]) -> bool:
    # A link is no folder here, wherever it leads, and what another user made is not ours to remove.
    try:
        return (
            entry.name.startswith(_PREFIX)
            and entry.is_dir(follow_symlinks=False)
            and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
        )
    except FileNotFoundError:
        return False  # its work ended while the folders were listed


def _is_held(folder: str) -> bool:
    try:
        handle = _take(Path(folder) / _LOCK, 0)
    except FileNotFoundError:
        return False  # killed before it was locked, or while it was removed
    except OSError:
        return True  # somebody holds it, or it cannot be told
    os.close(handle)
    return False


def _take(path: Path, flags: int) -> int:
    """Open a file and lock it.

    Raises:
        BlockingIOError: somebody holds it.
        OSError: it cannot be opened, or locked.
    """
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it; links are removed and not followed.

    What cannot be removed now is abandoned then, and tried again by the next work.
    """
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        _open(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _open(folder: Path) -> None:
    """Let the owner write every folder below; tests like to make one that nobody may write."""
    for here, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(here, name)
            with contextlib.suppress(OSError):
                if not path.is_symlink():
                    path.chmod(0o700)
