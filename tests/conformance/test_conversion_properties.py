"""What holds of every conversion for every input, on DuckDB."""

from __future__ import annotations

import contextlib
import datetime as dt
import operator
import re
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from airflow_etl_provider.contracts.conversions import CONVERSIONS, Sql, read_conversion
from airflow_etl_provider.contracts.expressions import parse_expression
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.backends.duckdb.conversions import render_conversion
from airflow_etl_provider.engines.backends.duckdb.expressions import bind_expression
from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb
from airflow_etl_provider.exceptions import SpecificationError

NO_DEADLINE = settings(max_examples=25, deadline=None)

ANY_TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.text("0123456789+-.,eE_ xX%()€$':/TZ", max_size=24),
    st.sampled_from(
        [
            "infinity",
            "-infinity",
            "epoch",
            "nan",
            "1e400",
            "9" * 400,
            "\0",
            "0001-01-01",
            "294247-01-10",
        ]
    ),
    st.datetimes().map(str),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
)

FROM_TEXT: list[tuple[Any, str]] = [
    *[
        ("cast", of)
        for of in [
            "bool",
            "int16",
            "int32",
            "int64",
            "float32",
            "float64",
            "decimal(12,2)",
            "decimal(38,10)",
            "string(5)",
            "binary",
            "date",
            "time",
            "timestamp",
            "timestamptz",
            "uuid",
            "json",
        ]
    ],
    ({"cast": {"round": True}}, "int64"),
    ({"cast": {"round": True}}, "decimal(5,2)"),
    ("null_words", "string"),
    ("trim", "string"),
    ("normalize_space", "string"),
    ("title", "string"),
    ("strip_accents", "string"),
    ({"pad": 10}, "string"),
    ({"substring": {"start": -3, "length": 2}}, "string"),
    ({"split_part": {"separator": "e", "part": -2}}, "string"),
    ({"regex_extract": r"(\d+)"}, "string"),
    ({"parse_int": ","}, "int16"),
    ({"parse_decimal": {"decimal": ",", "thousands": "."}}, "decimal(38,10)"),
    (
        {
            "parse_decimal": {
                "currency": ["€", "$"],
                "parentheses": True,
                "trailing_minus": True,
                "thousands": ",",
            }
        },
        "decimal(12,2)",
    ),
    ({"parse_decimal": {"percent": True}}, "decimal(38,20)"),
    ({"parse_float": {"decimal": ",", "thousands": "."}}, "float32"),
    ("parse_bool", "bool"),
    ({"parse_date": ["%d/%m/%Y", "%Y-%m-%d", "%d %b %y", "%Y-%j"]}, "date"),
    ({"parse_timestamp": {"timezone": "Europe/Berlin"}}, "timestamptz"),
    ({"parse_timestamp": {"formats": ["%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S%z"],
                          "timezone": "America/New_York"}}, "timestamptz"),
    ("parse_time", "time"),
    ({"parse_time": "%H%M"}, "time"),
    ("parse_duration", "duration"),
    ({"parse_duration": "weeks"}, "duration"),
    ("percent", "decimal(38,10)"),
    ({"mask": {"keep_last": 2, "keep_first": 1}}, "string"),
    ("hash", "string"),
    ({"uuid5": "url"}, "uuid"),
    ("json_parse", "json"),
    ({"array_split": ","}, "array<string>"),
]  # fmt: skip

CONNECTION = duckdb.connect(config={"threads": 1})
CONNECTION.execute("SET TimeZone = 'UTC'")


def convert(spec: object, values: list[Any], *, of: str, to: str) -> list[Any]:
    """All values in one query, as an engine does."""
    given_type = parse_type(of)
    tree = render_conversion(
        read_conversion(spec),
        inputs=(exp.column("v"),),
        input_types=(given_type,),
        target=parse_type(to),
    )
    typed = f"cast(unnest($1) as {to_duckdb(given_type).sql(dialect='duckdb')}) as v"
    text = exp.Cast(this=tree, to=exp.DataType.build("VARCHAR", dialect="duckdb"))
    query = f"select {text.sql(dialect='duckdb')} from (select {typed})"
    return [row[0] for row in CONNECTION.execute(query, [values]).fetchall()]


@pytest.mark.parametrize(("spec", "to"), FROM_TEXT, ids=str)
@NO_DEADLINE
@given(values=st.lists(ANY_TEXT, min_size=1, max_size=8))
def test_no_text_makes_a_conversion_raise(spec: object, to: str, values: list[str]) -> None:
    results = convert(spec, [*values, None], of="string", to=to)
    assert len(results) == len(values) + 1
    assert results[-1] is None
    assert not {"nan", "inf", "-inf", "infinity", "-infinity"} & set(
        results if to in ("float32", "float64", "date", "timestamp", "timestamptz") else ()
    )


@pytest.mark.parametrize(("spec", "to"), FROM_TEXT, ids=str)
@NO_DEADLINE
@given(value=ANY_TEXT)
def test_a_value_converts_the_same_whatever_stands_beside_it(
    spec: object, to: str, value: str
) -> None:
    alone = convert(spec, [value], of="string", to=to)
    beside = convert(spec, ["x", value, "", "1", "2024-01-01"], of="string", to=to)
    assert beside[1] == alone[0]


@NO_DEADLINE
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8))
def test_integers_survive_being_text(values: list[int]) -> None:
    assert convert("cast", [str(v) for v in values], of="string", to="int64") == [
        str(v) for v in values
    ]


@NO_DEADLINE
@given(st.text("0123456789+-._eExXbB ", max_size=12))
def test_text_is_an_integer_exactly_where_it_is_written_as_one(value: str) -> None:
    (result,) = convert("cast", [value], of="string", to="int64")
    expected = int(value) if re.fullmatch(r"\s*[+-]?[0-9]+\s*", value) else None
    assert result == (None if expected is None else str(expected))


@NO_DEADLINE
@given(
    st.decimals(places=2, min_value=-(10**10) + 1, max_value=10**10 - 1),
    st.sampled_from([".", ","]),
)
def test_decimals_survive_being_text(value: Decimal, separator: str) -> None:
    written = f"{value:,.2f}".replace(",", "_").replace(".", separator)
    written = written.replace("_", "." if separator == "," else ",")
    spec = {"parse_decimal": {"decimal": separator, "thousands": "." if separator == "," else ","}}
    (result,) = convert(spec, [written], of="string", to="decimal(12,2)")
    assert Decimal(result) == value


@NO_DEADLINE
@given(st.text("0123456789+-._eE ", max_size=12))
def test_text_is_a_decimal_exactly_where_no_digit_is_lost(value: str) -> None:
    (result,) = convert("cast", [value], of="string", to="decimal(6,2)")
    expected = None
    if re.fullmatch(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)\s*", value):
        exact = Decimal(value.strip())
        if exact == round(exact, 2) and abs(exact) < 10_000:
            expected = exact
    assert (None if result is None else Decimal(result)) == expected


@NO_DEADLINE
@given(st.dates())
def test_dates_survive_their_formats(value: dt.date) -> None:
    written = f"{value.day:02}/{value.month:02}/{value.year:04}"
    spec = {"parse_date": ["%Y-%m-%d", "%d/%m/%Y"]}
    assert (
        convert(spec, [written, value.isoformat()], of="string", to="date")
        == [value.isoformat()] * 2
    )


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
)
@NO_DEADLINE
@given(data=st.data())
def test_local_times_become_the_instants_that_python_knows(zone: str, data: st.DataObject) -> None:
    import zoneinfo

    info = zoneinfo.ZoneInfo(zone)
    near_changes = st.sampled_from(
        ["2024-03-31", "2024-10-27", "2024-03-10",
         "2024-11-03", "2024-04-07", "2024-10-06"]
    )  # fmt: skip
    minutes = st.integers(-2 * 24 * 60, 2 * 24 * 60).map(lambda m: dt.timedelta(minutes=m))
    local = data.draw(st.builds(operator.add, near_changes.map(dt.datetime.fromisoformat), minutes))
    first = local.replace(tzinfo=info, fold=0).astimezone(dt.timezone.utc)
    exists = first.astimezone(info).replace(tzinfo=None) == local
    spec = {"parse_timestamp": {"timezone": zone}}
    (result,) = convert(spec, [str(local)], of="string", to="timestamptz")
    assert result == (f"{first:%Y-%m-%d %H:%M:%S}+00" if exists else None)


HOSTILE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.sampled_from(["'", "''", "\\'", "'; drop table t; --", "$$", "\\", "\n", "/*", "{0}", "\0"]),
)


@NO_DEADLINE
@given(hostile=HOSTILE, value=ANY_TEXT)
def test_parameters_are_data_whatever_they_hold(hostile: str, value: str) -> None:
    assert convert({"constant": hostile}, [value], of="string", to="string") == [hostile]
    assert convert(
        {"replace": {"old": hostile, "new": "x"}}, [value], of="string", to="string"
    ) == [value.replace(hostile, "x")]
    assert convert({"nullif": hostile}, [hostile, value], of="string", to="string") == [
        None,
        None if value == hostile else value,
    ]
    mapped = {"map_values": {"values": {hostile: hostile}, "otherwise": "keep"}}
    assert convert(mapped, [hostile, value], of="string", to="string") == [hostile, value]
    split = {"array_split": hostile}
    expected = len(value.split(hostile)) if value else 0
    (parts,) = convert(split, [value], of="string", to="array<string>")
    assert (parts == "[]") == (expected == 0)


@NO_DEADLINE
@given(pattern=HOSTILE)
def test_a_pattern_is_understood_or_refused_before_anything_runs(pattern: str) -> None:
    with contextlib.suppress(SpecificationError):
        convert({"regex_extract": pattern}, ["a"], of="string", to="string")


@pytest.mark.parametrize("name", CONVERSIONS)
def test_the_example_of_the_documentation_is_true(name: str) -> None:
    example = CONVERSIONS[name].example
    types = tuple(parse_type(of) for of in example.source)
    conversion, target = read_conversion(example.spec), parse_type(example.target)
    if isinstance(conversion, Sql):
        columns = ["value"]
        parsed = parse_expression(conversion.sql, kind="conversion")
        schema = Schema((Field("value", *types),))
        tree, _ = bind_expression(parsed, schema=schema, expect=target)
    else:
        columns = [f"v{i}" for i in range(len(types))]
        inputs = tuple(exp.column(name) for name in columns)
        tree = render_conversion(conversion, inputs=inputs, input_types=types, target=target)
    made = ", ".join(
        f"cast(${i + 1} as {to_duckdb(of).sql(dialect='duckdb')}) as {column}"
        for i, (of, column) in enumerate(zip(types, columns, strict=True))
    )
    query = f"select {tree.sql(dialect='duckdb')} from (select {made or '1 as one'})"
    ((result,),) = CONNECTION.execute(query, list(example.given)).fetchall()
    if isinstance(result, dt.datetime):
        result = result.astimezone(dt.timezone.utc) if result.tzinfo else result
        result = result.isoformat()
    assert result == example.result or str(result) == example.result
