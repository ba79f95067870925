from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.contracts.expressions import parse_expression
from airflow_etl_provider.exceptions import SpecificationError


@pytest.mark.parametrize(
    "sql",
    [
        "amt - tax",
        "status is distinct from 'test'",
        "case when a > 5 then 'x' else upper(name) end",
        "coalesce(name, 'x') || '-' || a",
        "d between '2024-01-01' and '2024-02-01'",
        "regexp_matches(name, '^a.*')",
        "cast(name as decimal(10,2)) > 0",
        "name::int + 1",
        "extract(year from d) = 2024 and not b",
        "try_strptime(name, '%d.%m.%Y')",
        "d + interval 1 day",
        "json_extract_string(doc, '$.a.b')",
        "round(amt, 1) in (1, 2)",
        "-a",
    ],
)
def test_what_only_computes_is_allowed(sql: str) -> None:
    assert parse_expression(sql, kind="conversion").sql == sql


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("(select 1)", "subquery"),
        ("a in (select b from t)", "subquery"),
        ("exists (select 1)", "subquery"),
        ("sum(a)", "aggregate"),
        ("count(*)", "aggregate"),
        ("row_number() over ()", "window"),
        ("amt tax", "alias"),
        ("a as b", "alias"),
        ("amt; drop table x", "more than one statement"),
        ("a;", "more than one statement"),
        ("read_text('/etc/passwd')", "read_text"),
        ("read_csv('x')", "no part of an expression|read_csv"),
        ("getenv('HOME')", "getenv"),
        ("current_setting('x')", "current_setting"),
        ("pg_sleep(9)", "pg_sleep"),
        ("nextval('s')", "nextval|no part"),
        ("version()", "version"),
        ("random()", "chance"),
        ("now()", "now"),
        ("current_date", "clock"),
        ("uuid()", "function"),
        ("t.a", "table"),
        ("*", "star"),
        ("$1", "placeholder"),
        (":x", "placeholder"),
        ("?", "placeholder"),
        ("list_transform([1], x -> x)", "not among the allowed"),
        ("drop table x", ""),
        ("copy x to 'y'", ""),
        ("attach 'x'", ""),
        ("pragma version", ""),
        ("set x = 1", ""),
        ("", "is empty"),
        ("a +", "no SQL expression"),
        ("'unterminated", "no SQL expression"),
        ("a\0b", "NUL"),
    ],
)
def test_all_else_is_refused_with_the_reason(sql: str, reason: str) -> None:
    with pytest.raises(SpecificationError, match=f"(?i){reason}"):
        parse_expression(sql, kind="filter")


def test_the_position_is_told() -> None:
    with pytest.raises(
        SpecificationError, match=r"line 2, column 5.*sum|line 2, column 5.*aggregate"
    ):
        parse_expression("a +\n    sum(b)", kind="rule")


@pytest.mark.parametrize(
    "sql",
    [
        "(" * 5_000 + "a" + ")" * 5_000,
        "upper(" * 300 + "a" + ")" * 300,
        "-" * 3_000 + "a",
        "not " * 2_000 + "a",
        "case when a then " * 400 + "1" + " end" * 400,
        "a + " * 20_000 + "a",
    ],
)
def test_deep_or_long_expressions_are_refused_and_crash_nothing(sql: str) -> None:
    with pytest.raises(SpecificationError):
        parse_expression(sql, kind="filter")


def test_the_columns_are_listed_once_in_order() -> None:
    parsed = parse_expression('b + a + b + "Mixed Case"', kind="conversion")
    assert parsed.columns == ("b", "a", "Mixed Case")


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_in_our_words(sql: str) -> None:
    with contextlib.suppress(SpecificationError):
        parse_expression(sql, kind="filter")
