"""An inventory while one run holds it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lockgate.base.errors import LockgateError, Moved

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from lockgate.deploy.kube.inventory import Inventory
    from lockgate.deploy.kube.storage import Storage


class Held:
    """An inventory that this run holds. A thread renews that; `check` says when it could not."""

    def __init__(self, storage: Storage, version: str) -> None:
        self._storage, self._version = storage, version
        self._beat, self._renewed = 0, storage.clock()
        self._lost: LockgateError | None = None
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def write(self, inventory: Inventory, *, last: bool = False) -> None:
        """Write the inventory; `last` lets go of it.

        Raises:
            Moved: somebody else took it.
        """
        with self._lock:
            self._beat += 1
            self._version = self._storage.put(
                inventory, self._version, beat=None if last else self._beat
            )
            self._renewed = self._storage.clock()
            if last:
                self._end.set()  # before the lock is free: nothing may be renewed after this

    def remove(self) -> None:
        """Delete the record, which nobody needs any more."""
        with self._lock:
            self._end.set()
            self._storage.remove(self._version)

    def check(self) -> None:
        """Stop a run that no longer holds the inventory: another one may be at work.

        Raises:
            Moved: it was taken, or could not be renewed in time.
        """
        if self._lost is not None:
            raise self._lost
        if self._storage.clock() - self._renewed > self._storage.lease:
            raise Moved(
                f"the inventory {self._storage.owner} could not be renewed in time",
                hint="run the same command again",
                retryable=True,
            )

    def _renew(self) -> None:
        while not self._end.wait(self._storage.lease / 3):
            with self._lock:
                if self._end.is_set():
                    return
                try:
                    self._version = self._storage.renew(self._version, self._beat + 1)
                except Moved as error:
                    self._lost = error
                    return
                except LockgateError:
                    continue  # the cluster may come back; `check` counts the time
                self._beat += 1
                self._renewed = self._storage.clock()
