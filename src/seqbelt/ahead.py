"""Iterators that compute or draw items in advance and yield them in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Drawn = TypeVar("Drawn")
Result = TypeVar("Result")


def map_ahead(
    pool: ThreadPoolExecutor,
    work: Callable[[Drawn], Result],
    items: Iterable[Drawn],
    num_ahead: int,
) -> Generator[Result, None, None]:
    """``work`` of each item in order, computed by a pool for ``num_ahead`` items in advance.

    The pool ends with the iterator; where that is closed early, or by Ctrl-C, no further item is
    begun.
    """
    try:
        for future in draw_ahead((pool.submit(work, item) for item in items), num_ahead):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def draw_ahead(items: Iterable[Drawn], num_ahead: int) -> Iterator[Drawn]:
    """The items in order; each is drawn ``num_ahead`` items before it is yielded."""
    drawn: deque[Drawn] = deque()
    for item in items:
        drawn.append(item)
        if len(drawn) > num_ahead:
            yield drawn.popleft()
    yield from drawn
