"""So many requests a minute for each asker, and no more memory for however many ask."""

from __future__ import annotations

from airflow_etl_provider.api import limits
from airflow_etl_provider.api.limits import Buckets


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_an_asker_waits_when_its_minute_is_used_up_and_others_do_not():
    clock = Clock()
    buckets = Buckets(60, clock=clock)

    assert [buckets.wait("a") for _ in range(60)] == [0.0] * 60
    assert buckets.wait("a") == 1.0
    assert buckets.wait("b") == 0.0
    clock.now = 1.0
    assert buckets.wait("a") == 0.0
    assert buckets.wait("a") > 0


def test_a_pause_gives_no_more_than_a_minute_back():
    clock = Clock()
    buckets = Buckets(2, clock=clock)
    assert [buckets.wait("a"), buckets.wait("a")] == [0.0, 0.0]
    clock.now = 10_000.0

    assert [buckets.wait("a") == 0.0 for _ in range(3)] == [True, True, False]


def test_askers_without_end_take_no_memory_without_end(monkeypatch):
    monkeypatch.setattr(limits, "_ASKERS", 10)
    buckets = Buckets(60)

    for asker in range(1000):
        buckets.wait(str(asker))

    assert len(buckets._left) == 10
