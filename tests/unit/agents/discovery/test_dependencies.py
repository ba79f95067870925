"""Columns that determine others are found; what is so by chance is not."""

from __future__ import annotations

import random

import pyarrow as pa

from airflow_etl_provider.agents.discovery.dependencies import find_dependencies


def find(**columns):
    rows = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    names = list(columns)
    return {
        (names[left], names[n])
        for left, right in find_dependencies(rows, range(len(names)))
        for n in right
    }


def test_a_postal_code_determines_its_city_and_the_city_its_country():
    chance = random.Random(1)
    codes = [f"{chance.randrange(300):05d}" for _ in range(3000)]
    cities = [f"city {int(code) // 10}" for code in codes]
    countries = [f"country {int(code) // 100}" for code in codes]

    found = find(postal_code=codes, city=cities, country=countries)

    assert found == {
        ("postal_code", "city"), ("postal_code", "country"), ("city", "country"),
    }  # fmt: skip


def test_one_exception_is_enough():
    codes = [str(n % 50) for n in range(2000)]
    cities = [f"city {n % 50 // 5}" for n in range(2000)]
    cities[-1] = "another"

    assert find(postal_code=codes, city=cities) == set()


def test_what_is_nearly_always_the_same_is_determined_by_nothing():
    chance = random.Random(2)
    left = [str(chance.randrange(900)) for _ in range(1000)]
    right = ["usual"] * 999 + ["other"]

    assert find(left=left, right=right) == set()


def test_independent_columns_and_empty_ones_have_none():
    chance = random.Random(3)
    ones = [str(chance.randrange(40)) for _ in range(2000)]
    others = [str(chance.randrange(6)) for _ in range(2000)]

    assert find(ones=ones, others=others) == set()
    assert find(ones=[None] * 100, others=["x"] * 100) == set()
    assert find(ones=[], others=[]) == set()


def test_a_null_is_a_value_like_others():
    codes = [None if n % 7 == 0 else str(n % 60) for n in range(3000)]
    known = ["unknown" if code is None else f"city {int(code) // 6}" for code in codes]

    assert ("code", "city") in find(code=codes, city=known)
