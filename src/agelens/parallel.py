"""Many pictures at once, in order, with bounded memory; and how long work reports its progress."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with the number of things done and their total."""


def silent(_done: int, _total: int) -> None:
    """Report to nobody."""


def default_jobs() -> int:
    """As many pictures at once as there are processors for this process."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


_LOCAL = threading.local()


def in_worker() -> bool:
    """Whether this thread is one of several of `map_in_order`."""
    return getattr(_LOCAL, "busy", False)


def _mark_worker() -> None:
    _LOCAL.busy = True


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, jobs: int
) -> Iterator[tuple[Item, Result]]:
    """Call `function` on item after item, `jobs` at a time, in threads.

    Items are read lazily and results kept only until their turn, so neither pile up in memory.

    Yields:
        Each item with its result, in the items' order. An exception of `function` is raised here,
        and what is waiting is dropped.
    """
    if jobs == 1:
        for item in items:
            yield item, function(item)
        return
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(jobs, "agelens-picture", _mark_worker) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) >= 2 * jobs:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)
