from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from airflow_etl_provider.engines.prefetch import Prefetch

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_items_come_in_order() -> None:
    assert list(Prefetch(iter(range(100)))) == list(range(100))


def test_an_error_is_raised_where_the_items_are_taken() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    prefetch = iter(Prefetch(items()))
    assert next(prefetch) == 1
    with pytest.raises(ValueError, match="broken"):
        next(prefetch)


def test_no_more_than_the_depth_is_read_ahead() -> None:
    made = 0
    enough = threading.Event()

    def items() -> Iterator[int]:
        nonlocal made
        for made in range(1, 1_000):
            if made == 4:
                enough.set()
            yield made

    prefetch = Prefetch(items(), depth=2)
    assert next(iter(prefetch)) == 1
    enough.wait(5)
    prefetch.close()
    # One taken, two waiting, one in the producer's hand.
    assert made <= 4


def test_closing_ends_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    prefetch = Prefetch(items())
    prefetch.close()
    assert closed.is_set()
    assert not prefetch._thread.is_alive()
