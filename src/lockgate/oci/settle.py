"""Lists in a registry that several clients change by reading and writing them, as no registry does at once.

A client that reads a list before another writes it, and writes it after, takes the other's entry away. So
whoever wrote such a list waits longer than others take for that, looks again, and adds what is gone.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.oci.connection import World

LEAST, MOST = 0.05, 5.0
"""Seconds that are waited for at least and at most."""

_FACTOR = 4
"""How much slower than this client another one may be."""


class Settling:
    """What one client changed, and how long it took it to do so."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._longest: float | None = None

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """Measure a change, from reading to having written; one that fails counts, it may have been made."""
        started = self._world.now()
        try:
            yield
        finally:
            self._longest = max(self._longest or 0.0, self._world.now() - started)

    def wait(self) -> None:
        """Wait until those have finished who read before the last change; not at all when there was none."""
        if self._longest is not None:
            seconds = min(max(LEAST, _FACTOR * self._longest), MOST)
            self._longest = None
            # Two that wait for each other do not come back at the same moment.
            self._world.sleep(seconds * (1 + self._world.random()))
