from __future__ import annotations

from typing import Any

import duckdb
import pytest
from sqlglot import exp

from airflow_etl_provider.contracts.expressions import ExpressionKind, parse_expression
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.backends.duckdb.expressions import bind_expression, bind_failure
from airflow_etl_provider.exceptions import SpecificationError

SCHEMA = Schema(
    tuple(
        Field(name, parse_type(of))
        for name, of in {
            "a": "int64",
            "b": "bool",
            "d": "date",
            "Name": "string",
            "amt": "decimal(12,2)",
            "tax": "decimal(12,2)",
            "f": "float64",
        }.items()
    )
)

ROW = (
    "SELECT 1::BIGINT a, true b, DATE '2024-01-31' d, 'x' \"Name\", 5.00::DECIMAL(12,2) amt, "
    "2.50::DECIMAL(12,2) tax, 0.0::DOUBLE f"
)


def value_of(sql: str, kind: ExpressionKind = "conversion") -> Any:
    expect = None if kind == "conversion" else "bool"
    tree, _ = bind_expression(parse_expression(sql, kind=kind), schema=SCHEMA, expect=expect)
    return duckdb.sql(f"SELECT {tree.sql(dialect='duckdb')} FROM ({ROW})").fetchall()[0][0]


@pytest.mark.parametrize(
    ("sql", "of"),
    [
        ("amt - tax", "decimal(13,2)"),
        ("a + 1", "int64"),
        ("upper(name)", "string"),
        ("d + interval 1 day", "timestamp"),
        ("a = 1", "bool"),
        ("null", "string"),
    ],
)
def test_the_type_of_the_result_is_found(sql: str, of: str) -> None:
    _, found = bind_expression(parse_expression(sql, kind="conversion"), schema=SCHEMA)
    assert str(found) == of


@pytest.mark.parametrize(
    "sql",
    ["1 / f", "a % 0", "ln(-f - 1)", "cast(name as int)", "9223372036854775807 + a", "sqrt(-a)"],
)
def test_what_fails_or_is_not_finite_gives_null_and_never_raises(sql: str) -> None:
    assert value_of(sql) is None


def test_names_are_found_without_case_and_stay_quoted() -> None:
    assert value_of("NAME || a") == "x1"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("nam = 'x'", "'nam'.*Did you mean 'Name'"),
        ("not a", "for a condition"),
        ("a and b", "for a condition"),
        ("b and 1", "for a condition"),
        ("d > 'nope'", "DATE with 'nope'"),
        ("d between '2024-01-01' and 'x'", "DATE with 'x'"),
        ("a in (1, 'x')", "with 'x', which is none"),
        ("a < 1" + "0" * 39, "too large or too exact"),
        ("a in (1, 1" + "0" * 50 + ")", "too large or too exact"),
        ("name > 5", "compares text with|Cannot compare values"),
        ("a + 1", "gives int64; a condition"),
        ("a + name", "does not fit|gives"),
        ("name", "gives string"),
    ],
)
def test_a_condition_that_can_not_be_meant_is_refused(sql: str, words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        bind_expression(parse_expression(sql, kind="filter"), schema=SCHEMA, expect="bool")


def test_binding_reaches_nothing_outside() -> None:
    with pytest.raises(SpecificationError):
        value_of("read_text('/etc/hostname')")


def test_hostile_column_names_are_only_names() -> None:
    evil = 'x" FROM typed_empty; DROP TABLE typed_empty; --'
    schema = Schema((Field(evil, parse_type("int64")),))
    quoted = '"' + evil.replace('"', '""') + '"'
    tree, of = bind_expression(parse_expression(f"{quoted} + 1", kind="conversion"), schema=schema)
    assert str(of) == "int64"
    assert quoted in tree.sql(dialect="duckdb")


def test_expressions_that_share_a_failing_part_do_not_raise_beside_each_other() -> None:
    trees = [
        bind_expression(parse_expression(sql, kind="conversion"), schema=SCHEMA)[0]
        for sql in (
            "cast(name as int)",
            "cast(name as int) + 1",
            "cast(name as int) + cast(name as int)",
        )
    ]
    query = exp.select(*trees).from_("given").sql(dialect="duckdb")
    assert duckdb.sql(f"WITH given AS ({ROW}) {query}").fetchall() == [(None, None, None)]


@pytest.mark.parametrize(
    ("sql", "fails"),
    [("a / f", True), ("cast(name as int)", True), ("nullif(a, 1)", False), ("a + 1", False)],
)
def test_a_failure_is_told_from_a_null_on_purpose(sql: str, fails: bool) -> None:
    tree = bind_failure(parse_expression(sql, kind="conversion"), schema=SCHEMA)
    assert duckdb.sql(f"SELECT {tree.sql(dialect='duckdb')} FROM ({ROW})").fetchall() == [(fails,)]
