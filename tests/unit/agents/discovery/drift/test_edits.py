"""Drift tells the edits that were made, all of them and no other; chance makes none."""

from __future__ import annotations

import csv
import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_etl_provider.agents.discovery.discover import profile_dataset
from airflow_etl_provider.agents.discovery.drift.compare import compare_profiles
from airflow_etl_provider.contracts.source_spec import SourceSpec

ROWS = 400
WORDS = "ash birch cedar fir larch maple oak pine rowan spruce willow yew".split()  # noqa: SIM905


def ids(chance, number):
    first = chance.randrange(1, 1000) + 1_000_000 * number
    return [str(first + n) for n in range(ROWS)]


def codes(chance, number):
    prefix = chr(ord("A") + number) * 2
    return [f"{prefix}-{chance.randrange(10_000):04d}" for _ in range(ROWS)]


def categories(chance, number):
    values = [f"{word}{number}" for word in chance.sample(WORDS, 5)]
    return chance.choices(values, weights=[5, 4, 3, 2, 1], k=ROWS)


def measures(chance, number):
    return [f"{chance.gauss(10.0 ** (number % 6 + 1), 3):.2f}" for _ in range(ROWS)]


def counts(chance, number):
    return [str(chance.randrange(20) + 100 * number) for _ in range(ROWS)]


def dates(chance, number):
    return [
        f"{2000 + number}-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}"
        for _ in range(ROWS)
    ]


def emails(chance, number):
    return [
        f"{chance.choice(WORDS)}{chance.randrange(999)}@example{number}.com" for _ in range(ROWS)
    ]


def flags(chance, _number):
    return chance.choices(["yes", "no"], weights=[3, 1], k=ROWS)


def mostly(chance, _number):
    """Numbers, but for a few."""
    return [chance.choice(WORDS) if chance.random() < 0.02 else str(n) for n in range(ROWS)]


def rare_decimals(chance, _number):
    return [f"{n}.5" if chance.random() < 0.01 else str(n % 97) for n in range(ROWS)]


def rare_nulls(chance, _number):
    return ["" if chance.random() < 0.01 else str(n * 7 % 1013) for n in range(ROWS)]


def sentinels(chance, _number):
    return ["9999" if chance.random() < 0.012 else str(n % 90) for n in range(ROWS)]


def rare_values(chance, _number):
    return [f"rare{n}" if chance.random() < 0.01 else "usual" for n in range(ROWS)]


def nearly_unique(chance, number):
    return [str(chance.randrange(100_000) + number) for n in range(ROWS)]


def zip_codes(chance, _number):
    return [f"{chance.randrange(100, 99_999):05d}" for _ in range(ROWS)]


SOLID = (ids, codes, categories, measures, counts)
ONCE = (dates, emails, flags)
DOUBTFUL = (mostly, rare_decimals, rare_nulls, sentinels, rare_values, nearly_unique, zip_codes)


def profile(columns):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        dialect = {"delimiter": ","}
        spec = SourceSpec(location=str(path), format="csv", header_rows=1, dialect=dialect)
        return profile_dataset(spec, connections=lambda _name: None, name="t")  # type: ignore[arg-type, return-value]


def make(chance, makers):
    return {
        f"{maker.__name__}_{number}": maker(chance, number) for number, maker in enumerate(makers)
    }


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    makers=st.lists(st.sampled_from(SOLID + ONCE + DOUBTFUL), min_size=1, max_size=8),
)
def test_two_halves_of_a_table_do_not_differ(seed, makers):
    chance = random.Random(seed)
    table = make(chance, makers)
    first = [chance.random() < 0.5 for _ in range(ROWS)]

    def half(*, wanted):
        return {
            name: [v for v, mine in zip(values, first, strict=True) if mine is wanted]
            for name, values in table.items()
        }

    changes = compare_profiles(profile(half(wanted=True)), profile(half(wanted=False)))

    assert [change.message for change in changes] == []


def drop(chance, table, name):
    del table[name]
    return {("column_removed", name)}


def rename(chance, table, name):
    new = f"x_{chance.randrange(10**6)}"
    table[new] = table.pop(name)
    return {("column_renamed", new)}


def add(chance, table, name):
    new = f"new_{name}"
    table[new] = [f"{chance.choice(WORDS)} {chance.choice(WORDS)} {n}" for n in range(ROWS)]
    return {("column_added", new)}


def to_words(chance, table, name):
    old = table[name]
    table[name] = [f"{chance.choice(WORDS)} {n}" for n in range(ROWS)]
    kind = "type_widened" if old[0][0].isdigit() else "distribution_changed"
    return {(kind, name)}


def to_nulls(chance, table, name):
    table[name] = ["" if chance.random() < 0.2 else value for value in table[name]]
    return {("nullability_changed", name)}


def edited(chance, table, edits):
    """Edit a table, a column each; tells what was done."""
    done = set()
    untouched = list(table)
    for edit in edits:
        if not untouched or (edit is drop and len(table) == 1):
            continue
        name = untouched.pop(chance.randrange(len(untouched)))
        if edit is to_words and not name.startswith(("ids", "counts", "measures", "dates")):
            continue
        done |= edit(chance, table, name)
    return done


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    solid=st.lists(st.sampled_from(SOLID), min_size=2, max_size=6),
    once=st.sets(st.sampled_from(ONCE)),
    edits=st.lists(st.sampled_from([drop, rename, add, to_words, to_nulls]), max_size=4),
)
def test_the_edits_are_found_and_no_others(seed, solid, once, edits):
    chance = random.Random(seed)
    was = make(chance, [*solid, *sorted(once, key=lambda maker: maker.__name__)])
    now = dict(was)
    wanted = edited(chance, now, edits)

    changes = compare_profiles(profile(was), profile(now))

    found = {(c.kind, c.column) for c in changes if c.kind != "order_changed"}
    assert found == wanted
