"""Names that need quotes, and names and values that would be SQL if anyone pasted them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_etl_provider.exceptions import (
    SpecificationError,
    TargetDataError,
    TargetMissingError,
    TargetSchemaError,
)

pytestmark = pytest.mark.postgres

HOSTILE = [
    "select",
    "MixedCase",
    "with space",
    'quo"te',
    'x"; DROP TABLE victim; --',
    "it's",
    "$1",
    "%s",
    "{name}",
    "ünïcödé",
    "a" * 63,
    "back\\slash",
    "table_placeholder",
    "new\nline",
]


def quoted(*parts: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_names_and_nothing_else(warehouse, name: str) -> None:
    warehouse.sql("CREATE TABLE victim (id int)")
    warehouse.sql(f"CREATE SCHEMA {quoted(name)}")
    rows = pa.table({name: pa.array([1, 2], pa.int64()), "other": pa.array(["x", None])})
    table = quoted(name, name)
    write = {"mode": "merge", "key": (name,), "latest_by": name, "load_columns": True}
    warehouse.run(table, rows, **write)
    warehouse.run(table, rows, load=warehouse.load_id("b"), **write)
    warehouse.run(table, rows, mode="replace", load=warehouse.load_id("c"))
    again = warehouse.load_id("d", on_reload="replace_load")
    more = pa.table({name: pa.array([3, 4], pa.int64()), "other": pa.array(["x", None])})
    warehouse.run(table, more, load=again, load_columns=True)
    again = warehouse.load_id("d", on_reload="replace_load", input_hash="2")
    with pytest.raises(TargetDataError, match="23505"):
        warehouse.run(table, rows, load=again, load_columns=True)
    assert warehouse.sql("SELECT count(*) FROM victim") == [(0,)]
    assert warehouse.target(table).schema().names == (name, "other")
    assert len(warehouse.target(table).ledger()) == 4


@pytest.mark.parametrize("value", ["'; DROP TABLE victim; --", "\\.", "\\N", '"', "$1", "\x01"])
def test_values_are_values_and_nothing_else(warehouse, value: str) -> None:
    warehouse.sql("CREATE TABLE victim (id int)")
    load = warehouse.load_id(value, pipeline=value, window=value, run_id=value, input_hash=value)
    warehouse.run("t", pa.table({"v": [value]}), load=load, load_columns=True)
    assert warehouse.sql("SELECT v, _etl_load_id FROM t") == [(value, value)]
    assert warehouse.target("t").ledger()[0].pipeline == value
    assert warehouse.sql("SELECT count(*) FROM victim") == [(0,)]


def test_an_unqualified_table_belongs_to_the_current_schema(warehouse) -> None:
    database = warehouse.uri.rsplit("/")[-1]
    warehouse.sql(f"CREATE SCHEMA mine; ALTER DATABASE {database} SET search_path = nowhere, mine")
    warehouse.run("t", pa.table({"v": [1]}))
    assert warehouse.sql("SELECT count(*) FROM mine.t") == [(1,)]
    assert warehouse.target("t").ledger()[0].target == "mine.t"


def test_no_current_schema_is_said(warehouse) -> None:
    database = warehouse.uri.rsplit("/")[-1]
    warehouse.sql(f"ALTER DATABASE {database} SET search_path = nowhere")
    with pytest.raises(TargetMissingError, match="search_path"):
        warehouse.target("t").schema()


def test_a_name_in_other_letter_case_is_pointed_out(warehouse) -> None:
    warehouse.sql('CREATE TABLE "Orders" (v bigint)')
    with pytest.raises(TargetMissingError, match="'Orders'"):
        warehouse.run("orders", pa.table({"v": [1]}))


@pytest.mark.parametrize("name", ["a" * 64, "ü" * 32])
def test_names_that_postgresql_would_cut_off_are_refused(warehouse, name: str) -> None:
    with pytest.raises(SpecificationError, match="63 bytes"):
        warehouse.target(name)
    with pytest.raises(TargetSchemaError, match="63 bytes"):
        warehouse.run("t", pa.table({name: [1]}))


@pytest.mark.parametrize(
    ("definition", "what"),
    [("CREATE VIEW t AS SELECT 1 AS v", "a view"), ("CREATE SEQUENCE t", "a sequence"),
     ("CREATE MATERIALIZED VIEW t AS SELECT 1 AS v", "a materialized view")],
)  # fmt: skip
def test_only_tables_can_be_loaded(warehouse, definition: str, what: str) -> None:
    warehouse.sql(definition)
    with pytest.raises(TargetSchemaError, match=what):
        warehouse.target("t").schema()


def test_missing_columns_are_named(warehouse) -> None:
    warehouse.sql("CREATE TABLE t (a bigint, b int NOT NULL)")
    with pytest.raises(TargetSchemaError, match="no column 'c'"):
        warehouse.run("t", pa.table({"c": [1]}), schema=warehouse.fields(c="int64"))
    with pytest.raises(TargetSchemaError, match="needs a value in b"):
        warehouse.run("t", pa.table({"a": [1]}), schema=warehouse.fields(a="int64"))
