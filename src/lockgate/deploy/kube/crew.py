"""Work on many objects at a time, a bounded number of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")


class _NotBegun(Exception):
    """Another item had failed before this one's turn came."""


def each(work: Callable[[T], R], items: Iterable[T], *, workers: int) -> Iterator[tuple[T, R]]:
    """Yield every item with what `work` returns for it, as they are done.

    After the first failure nothing new is begun; what was under way is finished and yielded, since it happened;
    then the failure is raised.
    """
    listed = list(items)
    if len(listed) <= 1:
        for one in listed:
            yield one, work(one)
        return
    stop = threading.Event()

    def guarded(one: T) -> R:
        if stop.is_set():
            raise _NotBegun
        try:
            return work(one)
        except BaseException:
            stop.set()
            raise

    failure: BaseException | None = None
    with ThreadPoolExecutor(min(workers, len(listed))) as pool:
        futures = {pool.submit(guarded, one): one for one in listed}
        try:
            for future in as_completed(futures):
                error = future.exception()
                if error is None:
                    yield futures[future], future.result()
                elif failure is None and not isinstance(error, _NotBegun):
                    failure = error
        except BaseException:
            stop.set()  # Ctrl-C, or whoever reads this has had enough
            raise
    if failure is not None:
        raise failure
