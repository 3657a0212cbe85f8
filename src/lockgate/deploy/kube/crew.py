"""Work on many objects at a time, a bounded number of them."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

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
    with ThreadPoolExecutor(min(workers, len(listed))) as pool:
        futures = {pool.submit(_guarded, work, one, stop): one for one in listed}
        try:
            yield from _done(futures)
        finally:
            stop.set()  # Ctrl-C, or whoever reads this has had enough


def _guarded(work: Callable[[T], R], one: T, stop: threading.Event) -> R:
    if stop.is_set():
        raise _NotBegun
    try:
        return work(one)
    except BaseException:
        stop.set()
        raise


def _done(futures: Mapping[Future[R], T]) -> Iterator[tuple[T, R]]:
    failure: BaseException | None = None
    for future in as_completed(futures):
        error = future.exception()
        if error is None:
            yield futures[future], future.result()
        elif failure is None and not isinstance(error, _NotBegun):
            failure = error
    if failure is not None:
        raise failure
