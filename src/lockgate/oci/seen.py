"""What was hashed in this run, so that it is not hashed again as long as nobody touched the file.

A file is known by its inode, its size and its times of change; the time of the last change of an inode cannot be
set by whoever may write the file. A file that was changed a moment ago is not remembered: the next change could
fall into the same tick of the clock, and would not be seen.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

TICK = 100_000_000
"""Nanoseconds; the clock that files are stamped with moves every 1 to 10 ms."""


class Seen:
    """Digests whose files were hashed and found right. Several threads may use it at once.

    Args:
        now: the time in nanoseconds since 1970.
    """

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._files: dict[str, tuple[int, ...]] = {}

    def holds(self, digest: str, found: os.stat_result) -> bool:
        """True when the file of a digest was hashed before and is still the same."""
        return self._files.get(digest) == identity(found)

    def add(self, digest: str, before: os.stat_result, after: os.stat_result) -> None:
        """Remember that a file has this digest, unless it may have been changed while it was hashed.

        Args:
            digest: what was found.
            before: the open file, before it was read.
            after: the same, after it was read.
        """
        if settled(before, after, self._now()):
            self._files[digest] = identity(after)


def settled(before: os.stat_result, after: os.stat_result, now: int) -> bool:
    """True when a file that was read between the two is still the one that was read, and will show a change."""
    return after.st_ctime_ns + TICK < now and identity(before) == identity(after)


def identity(found: os.stat_result) -> tuple[int, ...]:
    """Return what changes whenever a file does."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
