"""Chance makes no news, however often one looks; what is large and no chance does."""

from __future__ import annotations

import random

import pytest

from airflow_etl_provider.agents.discovery.drift.chance import (
    all_on_one_side,
    categories_differ,
    shares_differ,
    spreads_differ,
)


def quantiles(values):
    ordered = sorted(values)
    return [ordered[max(-(-n * len(ordered) // 32) - 1, 0)] for n in range(33)]


@pytest.mark.parametrize("size", [30, 300, 3000])
def test_two_samples_of_one_kind_do_not_differ(size):
    chance = random.Random(size)
    for _ in range(300):
        ones, others = ([chance.gauss(0, 1) for _ in range(size)] for _ in range(2))
        share = [sum(value > 1 for value in values) / size for values in (ones, others)]
        few = [
            {word: sum(chance.random() < 0.3 for _ in range(size)) for word in "abc"}
            for _ in range(2)
        ]

        assert not spreads_differ(quantiles(ones), size, quantiles(others), size).is_news(900)
        assert not shares_differ(share[0], size, share[1], size).is_news(900)
        assert not categories_differ(few[0], few[1]).is_news(900)


def test_a_shift_is_told_with_its_size():
    chance = random.Random(1)
    was = quantiles([chance.gauss(0, 1) for _ in range(2000)])
    now = quantiles([chance.gauss(0.6, 1) for _ in range(2000)])

    found = spreads_differ(was, 2000, now, 2000)

    assert found.is_news(100)
    assert found.effect == pytest.approx(0.236, abs=0.06)


def test_the_smallest_difference_of_many_rows_is_no_news():
    found = shares_differ(0.500, 10**8, 0.502, 10**8)

    assert found.p < 1e-9
    assert not found.is_news(1)


@pytest.mark.parametrize(
    ("was", "now", "news"), [(0.0, 0.012, True), (0.1, 0.17, True), (0.1, 0.12, False)]
)
def test_shares_matter_by_cohens_h(was, now, news):
    assert shares_differ(was, 10_000, now, 10_000).is_news(10) is news


def test_few_things_of_a_kind_may_all_be_on_one_side():
    assert all_on_one_side(3, here=100, there=100) == pytest.approx(0.125)
    assert all_on_one_side(3, here=1, there=99) == pytest.approx(1e-6)
    assert all_on_one_side(3, here=0, there=0) == 1.0


def test_nothing_differs_from_nothing():
    assert not categories_differ({}, {}).is_news(1)
    assert not spreads_differ([], 0, [], 0).is_news(1)
    assert not shares_differ(0, 0, 1, 0).is_news(1)
