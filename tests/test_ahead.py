"""Items computed in advance come in order, and no further ones are begun."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from seqbelt.ahead import draw_ahead, map_ahead


def test_results_computed_ahead_are_in_the_order_of_their_items():
    def work(item):
        time.sleep(0.002 * (item % 3))
        return item * item

    results = map_ahead(ThreadPoolExecutor(4), work, range(20), num_ahead=4)
    assert list(results) == [item * item for item in range(20)]
    assert not list(map_ahead(ThreadPoolExecutor(1), work, [], num_ahead=4))


def test_as_many_items_are_drawn_ahead_as_asked_for_and_no_more():
    drawn = []
    items = draw_ahead((drawn.append(item) or item for item in range(100)), num_ahead=3)
    assert [next(items), next(items)] == [0, 1]
    assert drawn == [0, 1, 2, 3, 4]


def test_nothing_is_begun_any_more_once_the_results_are_closed():
    begun = []

    def work(item):
        begun.append(item)
        time.sleep(0.02)
        return item

    pool = ThreadPoolExecutor(1)
    results = map_ahead(pool, work, range(100), num_ahead=20)
    assert next(results) == 0
    results.close()
    assert len(begun) < 20
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(work, 0)


def test_an_error_of_a_worker_is_raised_where_its_result_is_due():
    def work(item):
        if item == 1:
            raise OSError("the disk is gone")
        return item

    results = map_ahead(ThreadPoolExecutor(1), work, [0, 1, 2], num_ahead=4)
    assert next(results) == 0
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)
