"""Work on many objects at a time, a bounded number of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")


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
    with ThreadPoolExecutor(min(workers, len(listed))) as pool:
        futures = {pool.submit(work, one): one for one in listed}
        failure: BaseException | None = None
        try:
            for future in as_completed(futures):
                if future.cancelled():
                    continue
                error = future.exception()
                if error is None:
                    yield futures[future], future.result()
                elif failure is None:
                    failure = error
                    _drop(futures)
        except BaseException:
            _drop(futures)
            raise
    if failure is not None:
        raise failure


def _drop(futures: Iterable[object]) -> None:
    for one in futures:
        one.cancel()  # type: ignore[attr-defined]
