"""Sketches tell how much two columns overlap, from a fixed number of hashes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.contracts.sketch import SIZE, Sketch, sketch_of
from airflow_etl_provider.exceptions import SpecificationError

HASHES = st.sets(st.integers(0, 2**64 - 1), max_size=60)


def numbers(first, last, *, seed=7):
    """A hash for each number, the same one for the same number."""
    return [random.Random(n * 1_000_003 + seed).getrandbits(64) for n in range(first, last)]


@given(hashes=HASHES)
def test_what_was_written_is_read(hashes):
    sketch = sketch_of(hashes, size=100)

    assert Sketch.parse(str(sketch)) == sketch
    assert sketch.complete


@given(ones=HASHES, others=HASHES)
def test_of_all_values_the_overlap_is_exact(ones, others):
    short = {one >> 16 for one in ones}, {one >> 16 for one in others}
    mine, other = sketch_of(ones, size=100), sketch_of(others, size=100)

    inside, alike = mine.inside(other), mine.likeness(other)

    assert (inside.shared, inside.looked_at) == (len(short[0] & short[1]), len(short[0]))
    assert (alike.shared, alike.looked_at) == (len(short[0] & short[1]), len(short[0] | short[1]))


@pytest.mark.parametrize("shared", [0, 2500, 5000, 10_000])
def test_of_many_values_it_is_near(shared):
    mine = sketch_of(numbers(0, 10_000), size=512)
    other = sketch_of(numbers(10_000 - shared, 20_000 - shared), size=512)

    assert mine.inside(other).share == pytest.approx(shared / 10_000, abs=0.1)
    assert mine.likeness(other).share == pytest.approx(shared / (20_000 - shared), abs=0.1)


def test_few_values_are_found_among_many():
    few = sketch_of(numbers(0, 5000), size=512)
    many = sketch_of(numbers(0, 200_000), size=512)

    found = few.inside(many)

    assert found.share == 1.0
    assert 5 <= found.looked_at <= 30
    assert many.inside(few).share < 0.2


def test_no_more_is_written_than_is_compared_later():
    held = sketch_of(numbers(0, 1000), size=512)

    kept = Sketch.parse(str(held))

    assert (len(held.hashes), len(kept.hashes), kept.complete) == (512, SIZE, False)
    assert kept.inside(held).share == 1.0


@pytest.mark.parametrize("text", ["", "all", "kmv:abc", "some:AAAAAAAA", "all:=AAA"])
def test_what_is_no_sketch_is_refused(text):
    with pytest.raises(SpecificationError):
        Sketch.parse(text)
