"""The conformance table of conversions, run on every backend."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import duckdb
import pytest
from ruamel.yaml import YAML

from airflow_etl_provider.contracts.conversions import CONVERSIONS, Sql, read_conversion
from tests.conformance.backends import Backend, DuckDB, name_of, read_group

TABLE = YAML(typ="safe").load((Path(__file__).parent / "conversions.yaml").read_text("utf-8"))


OTHERWISE_IN_DUCKDB_1 = {
    "cast from string to timestamptz",
    '{"sql": "a % 0"} from int64 to int64',
}


@pytest.fixture(scope="module", params=["duckdb"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return {"duckdb": DuckDB}[request.param]()


@pytest.mark.parametrize("group", TABLE, ids=name_of)
def test_a_conversion_gives_and_rejects_what_the_table_says(
    backend: Backend, group: dict[str, Any]
) -> None:
    if duckdb.__version__ < "2" and name_of(group) in OTHERWISE_IN_DUCKDB_1:
        pytest.skip("DuckDB 1.5, on Python 3.10, differs here; docs/stability.md says how")
    wrong = read_group(group).wrong(backend)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("group", TABLE, ids=name_of)
def test_the_table_never_calls_a_null_on_purpose_what_an_engine_would_reject(
    group: dict[str, Any],
) -> None:
    conversion = read_conversion(group["convert"])
    for row in group.get("gives", []):
        if row[-1] is None and None not in row[:-1] and not isinstance(conversion, Sql):
            assert conversion.makes_null
            assert not conversion.fallible
    assert conversion.fallible or not group.get("rejects")


def test_the_table_has_every_conversion() -> None:
    assert {read_conversion(group["convert"]).name for group in TABLE} == set(CONVERSIONS)


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert sum(len(g.get("gives", [])) + len(g.get("rejects", [])) for g in TABLE) >= 300


def test_no_result_of_the_table_is_infinite_or_no_number() -> None:
    for group in TABLE:
        for row in group.get("gives", []):
            assert not (isinstance(row[-1], float) and not math.isfinite(row[-1]))
