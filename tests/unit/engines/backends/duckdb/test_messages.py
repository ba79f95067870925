"""What is kept of DuckDB's messages: what went wrong, and nothing of the row."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_etl_provider.engines.backends.duckdb.messages import stem_of

TYPES = ["date", "int", "double", "decimal(4,2)", "timestamp", "time", "boolean", "uuid", "json"]
TYPES += ["int[]", "struct(a int)", "interval", "blob", "enum('a', 'b')", "timestamptz"]

MARKED = st.text(st.sampled_from("'\"\\\n\r:;.,()[]{} ä\x00qK7")).map(
    lambda text: f"Zq{text}Schmidt{text}"
)


def failure(query: str, *values: object) -> duckdb.Error:
    connection = duckdb.connect()
    try:
        connection.execute("CREATE TABLE t AS SELECT unnest(?) AS x", [list(values)])
        with pytest.raises(duckdb.Error) as error:
            connection.execute(query).fetchall()
        return error.value
    finally:
        connection.close()


@pytest.mark.parametrize("type", TYPES)
@settings(max_examples=15, deadline=None)
@given(value=MARKED)
def test_no_value_that_is_not_converted_is_in_the_message(type: str, value: str) -> None:
    error = failure(f"SELECT CAST(coalesce(x, 'q\"') || '\xff' AS {type}) FROM t", value)
    told = stem_of(error, columns=["x"])
    assert "Schmidt" not in told
    assert "Zq" not in told
    assert told.isascii()
    assert told.isprintable()


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT CAST(x AS date) FROM t", "Maria Schmidt\nBerlin"),
        ("SELECT CAST(x AS int) FROM t", "it's Maria Schmidt, born 3 May"),
        ("SELECT CAST(x AS double) FROM t", 'Anna "Ann" Schmidt'),
        ("SELECT CAST(x AS double) FROM t", "a' to INT32 when casting from source column Schmidt"),
        ("SELECT CAST(x AS int) FROM t", "a' to INT32 from column Schmidt\n\nLINE 1: Schmidt"),
        ("SELECT strptime(x, '%d') FROM t", "Schmidt"),
        ("SELECT regexp_matches('a', x) FROM t", "Schmidt("),
        ("SELECT json_extract(x, '$.a') FROM t", "Schmidt"),
        ("SELECT date_trunc(x, DATE '2020-01-01') FROM t", "Schmidt"),
        ("SELECT timezone(x, TIMESTAMP '2020-01-01') FROM t", "Schmidt"),
    ],
)
def test_values_that_look_like_a_part_of_the_message_are_cut_off(query: str, value: str) -> None:
    told = stem_of(failure(query, value), columns=["x"])
    assert "Schmidt" not in told
    assert "May" not in told


@pytest.mark.parametrize("number", [77_431, -77_431, 7.7431e30])
def test_a_number_that_fits_no_type_is_cut_off(number: float) -> None:
    told = stem_of(failure("SELECT CAST(x AS tinyint) FROM t", number))
    assert "7" not in told
    assert told.startswith("Type ")


def test_an_overflow_is_told_without_its_numbers() -> None:
    told = stem_of(failure("SELECT x::tinyint + x::tinyint FROM t", 120))
    assert told == "Overflow in addition of INT8"


def test_the_type_and_a_known_column_are_told() -> None:
    error = failure("SELECT CAST(x AS int) FROM t", "it's\nMaria")
    assert stem_of(error) == "Could not convert string"
    assert (
        stem_of(error, columns=["y", "x"])
        == "Could not convert string to INT32 when casting from source column x"
    )


def test_what_wraps_another_error_is_left_out() -> None:
    error = RuntimeError("Invalid Input Error: Conversion Error: Could not convert string 'M' to")
    assert stem_of(error) == "Could not convert string"


def test_an_error_without_words_has_its_class() -> None:
    assert stem_of(RuntimeError("'Maria'")) == "RuntimeError"
    assert stem_of(OSError(28, "x", "/data/Maria")) == "No space left on device"
