"""Every logical type into every column type that takes it, as another driver reads it."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.backends.duckdb.types import to_arrow
from airflow_etl_provider.engines.targets.postgres import types
from airflow_etl_provider.exceptions import TargetDataError, TargetSchemaError

pytestmark = pytest.mark.postgres

UTC = dt.timezone.utc


def moment(*parts: int, zone: dt.timezone | None = None) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=zone)


UUID = uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
SHORT, LONG = pa.MonthDayNano([1, -2, 3_000]), pa.MonthDayNano([-14, 0, -86_400_000_000_000])

CASES = [
    ("bool", "boolean", [True, False], ["true", "false"]),
    ("int16", "smallint", [-(2**15), 2**15 - 1], ["-32768", "32767"]),
    ("int32", "integer", [-(2**31), 2**31 - 1], ["-2147483648", "2147483647"]),
    ("int64", "bigint", [-(2**63), 2**63 - 1], [str(-(2**63)), str(2**63 - 1)]),
    ("float32", "real", [1.5, float("-inf")], ["1.5", "-Infinity"]),
    ("float64", "double precision", [1e308, float("nan")], ["1e+308", "NaN"]),
    (
        "decimal(12,2)",
        "numeric(12,2)",
        [Decimal("-0.01"), Decimal("9999999999.90")],
        ["-0.01", "9999999999.90"],
    ),
    ("decimal(38,0)", "numeric(38,0)", [Decimal(10**38 - 1), Decimal(0)], ["9" * 38, "0"]),
    (
        "decimal(38,38)",
        "numeric(38,38)",
        [Decimal("0." + "1" * 38), Decimal(0)],
        ["0." + "1" * 38, "0." + "0" * 38],
    ),
    ("decimal(38,18)", "numeric", [Decimal("12.5"), Decimal(-(10**19))], ["12.5", "-1" + "0" * 19]),
    ("string", "text", ["", "Zażółć 😀\n\t\\N\"'"], ["", "Zażółć 😀\n\t\\N\"'"]),
    ("string", "character varying", ["a", "b"], ["a", "b"]),
    ("string(3)", "character varying(3)", ["żół", ""], ["żół", ""]),
    ("string(3)", "character(3)", ["ab", "abc"], ["ab ", "abc"]),
    ("string", "name", ["a", "b"], ["a", "b"]),
    ("binary", "bytea", [b"", bytes(range(256))], ["\\x", "\\x" + bytes(range(256)).hex()]),
    ("date", "date", [dt.date(1, 1, 1), dt.date(9999, 12, 31)], ["0001-01-01", "9999-12-31"]),
    (
        "time",
        "time without time zone",
        [dt.time(0), dt.time(23, 59, 59, 999999)],
        ["00:00:00", "23:59:59.999999"],
    ),
    (
        "timestamp",
        "timestamp without time zone",
        [moment(1, 1, 1), moment(9999, 12, 31, 23, 59, 59, 999999)],
        ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"],
    ),
    (
        "timestamp",
        "timestamp(0) without time zone",
        [moment(2000, 1, 1), moment(1999, 12, 31, 23, 59, 59)],
        ["2000-01-01 00:00:00", "1999-12-31 23:59:59"],
    ),
    (
        "timestamptz",
        "timestamp with time zone",
        [moment(2026, 3, 29, 1, zone=UTC), moment(1969, 12, 31, zone=UTC)],
        ["2026-03-29 01:00:00+00", "1969-12-31 00:00:00+00"],
    ),
    (
        "duration",
        "interval",
        [SHORT, LONG],
        ["1 mon -2 days +00:00:00.000003", "-1 years -2 mons -24:00:00"],
    ),
    ("uuid", "uuid", [str(UUID), str(UUID).upper()], [str(UUID), str(UUID)]),
    ("json", "json", ['{"a": [1, null]}', "null"], ['{"a": [1, null]}', "null"]),
    ("json", "jsonb", ['{"b":1, "a": "ż"}', "[]"], ['{"a": "ż", "b": 1}', "[]"]),
    ("string", "mood", ["sad", "very happy"], ["sad", "very happy"]),
    ("string", "inet", ["10.0.0.1", "::1/64"], ["10.0.0.1/32", "::1/64"]),
    (
        "string",
        "time with time zone",
        ["10:00:00+02", "00:00:00+00"],
        ["10:00:00+02", "00:00:00+00"],
    ),
    ("string", "int4range", ["[1,5)", "empty"], ["[1,5)", "empty"]),
    (
        "string",
        "macaddr",
        ["08:00:2b:01:02:03", "0-0-0-0-0-1"],
        ["08:00:2b:01:02:03", "00:00:00:00:00:01"],
    ),
    ("string", '"Odd Type"', ["(1,x)", "(2,)"], ["(1,x)", "(2,)"]),
    ("int32", "positive", [1, 2], ["1", "2"]),
    ("string(4)", "code", ["AB12", "x"], ["AB12", "x"]),
    ("array<int32>", "integer[]", [[1, None], []], ["{1,NULL}", "{}"]),
    ("array<int64>", "bigint[]", [[2**62], [0]], ["{4611686018427387904}", "{0}"]),
    ("array<string>", "text[]", [["a,b", '"', None], [""]], ['{"a,b","\\"",NULL}', '{""}']),
    ("array<decimal(10,2)>", "numeric(10,2)[]", [[Decimal("1.20")], []], ["{1.20}", "{}"]),
    ("array<date>", "date[]", [[dt.date(2026, 1, 1)], []], ["{2026-01-01}", "{}"]),
    ("array<bool>", "boolean[]", [[True, False], []], ["{t,f}", "{}"]),
    ("array<uuid>", "uuid[]", [[str(UUID)], []], [f"{{{UUID}}}", "{}"]),
    ("array<json>", "jsonb[]", [['{"a":1}'], []], ['{"{\\"a\\": 1}"}', "{}"]),
    ("array<string>", "mood[]", [["sad"], []], ["{sad}", "{}"]),
]

PREPARE = """
CREATE TYPE mood AS ENUM ('sad', 'very happy');
CREATE TYPE "Odd Type" AS (a int, b text);
CREATE DOMAIN positive AS integer CHECK (value > 0);
CREATE DOMAIN word AS varchar(4);
CREATE DOMAIN code AS word;
"""


ARRAYS = [
    ("int16", "smallint[]", [-1, None], "{-1,NULL}"),
    ("int32", "integer[]", [None, 1], "{NULL,1}"),
    ("int64", "bigint[]", [2**62, None], "{4611686018427387904,NULL}"),
    ("float32", "real[]", [1.5, None], "{1.5,NULL}"),
    ("float64", "double precision[]", [float("inf"), None, 0.1], "{Infinity,NULL,0.1}"),
    ("decimal(10,2)", "numeric(10,2)[]", [Decimal("1.20"), None], "{1.20,NULL}"),
    (
        "string",
        "text[]",
        ["a,b", '"', "\\", "NULL", "", None],
        '{"a,b","\\"","\\\\","NULL","",NULL}',
    ),
    ("bool", "boolean[]", [True, None, False], "{t,NULL,f}"),
    ("date", "date[]", [dt.date(2026, 1, 1), None], "{2026-01-01,NULL}"),
    ("time", "time[]", [dt.time(1, 2, 3, 4), None], "{01:02:03.000004,NULL}"),
    ("timestamp", "timestamp[]", [moment(2026, 1, 1), None], '{"2026-01-01 00:00:00",NULL}'),
    (
        "timestamptz",
        "timestamptz[]",
        [moment(2026, 1, 1, zone=UTC), None],
        '{"2026-01-01 00:00:00+00",NULL}',
    ),
    ("duration", "interval[]", [SHORT, None], '{"1 mon -2 days +00:00:00.000003",NULL}'),
    ("binary", "bytea[]", [b"\0\xff", None, b""], '{"\\\\x00ff",NULL,"\\\\x"}'),
    ("uuid", "uuid[]", [str(UUID), None], f"{{{UUID},NULL}}"),
    ("json", "jsonb[]", ['{"a":1}', None], '{"{\\"a\\": 1}",NULL}'),
]


@pytest.mark.parametrize("driver_keeps_nulls", [True, False])
@pytest.mark.parametrize(("element", "declared", "given", "stored"), ARRAYS)
def test_missing_elements_of_arrays_stay_missing(
    warehouse,
    monkeypatch,
    element: str,
    declared: str,
    given: list,
    stored: str,
    driver_keeps_nulls: bool,
) -> None:
    if not driver_keeps_nulls:
        monkeypatch.setattr(types, "driver_keeps_nulls", lambda: False)
    warehouse.sql(f"CREATE TABLE t (n int, v {declared})")
    column = pa.array([given, None, [], given], to_arrow(parse_type(f"array<{element}>")))
    rows = pa.table({"n": pa.array([0, 1, 2, 3], pa.int32()), "v": column}).slice(1)
    warehouse.run("t", rows)
    found = warehouse.sql("SET timezone = 'UTC'; SELECT v::text FROM t ORDER BY n")
    assert [row[0] for row in found] == [None, "{}", stored]


@pytest.mark.parametrize("mode", ["append", "replace"])
@pytest.mark.parametrize(("logical", "declared", "given", "stored"), CASES)
def test_values_arrive_as_they_were(
    warehouse, mode: str, logical: str, declared: str, given: list, stored: list
) -> None:
    warehouse.sql(f"{PREPARE}; CREATE TABLE t (n int, v {declared})")
    schema = warehouse.target("t").schema()
    assert str(schema["v"].type) == logical
    rows = pa.table(
        {
            "n": pa.array([0, 1, 2], pa.int32()),
            "v": pa.array([*given, None], to_arrow(parse_type(logical))),
        }
    )
    assert warehouse.run("t", rows, mode=mode).rows_loaded == 3
    warehouse.sql("SET intervalstyle = postgres")
    found = warehouse.sql("SET timezone = 'UTC'; SELECT v::text FROM t ORDER BY n")
    if declared == "character(3)":  # a cast to text drops the padding
        stored = [text.rstrip() for text in stored]
    assert [row[0] for row in found] == [*stored, None]


CREATED = sorted({(case[0], tuple(map(str, case[3]))): case for case in CASES}.values(), key=str)
CREATABLE = {
    case[0]: case for case in CREATED if case[1] not in ("json", "inet", '"Odd Type"', "mood")
}


@pytest.mark.parametrize("logical", sorted(CREATABLE))
def test_created_columns_have_the_type_of_the_contract(warehouse, logical: str) -> None:
    given = CREATABLE[logical][2]
    rows = pa.table({"v": pa.array([*given, None], to_arrow(parse_type(logical)))})
    schema = warehouse.fields(v=logical)
    assert warehouse.run("t", rows, schema=schema).rows_loaded == 3
    assert warehouse.target("t").schema() == schema
    assert warehouse.sql("SELECT count(v) FROM t") == [(2,)]


@pytest.mark.parametrize(
    ("logical", "declared", "values"),
    [
        ("date", "date", np.array([2**31 - 1, -(2**31) + 1, -(2**31), 0], dtype=np.int32)),
        (
            "timestamp",
            "timestamp",
            np.array([2**63 - 1, -(2**63) + 1, -(2**63), 0], dtype=np.int64),
        ),
        (
            "timestamptz",
            "timestamptz",
            np.array([2**63 - 1, -(2**63) + 1, -(2**63), 0], dtype=np.int64),
        ),
    ],
)
def test_infinite_dates_stay_infinite(warehouse, logical: str, declared: str, values) -> None:
    warehouse.sql(f"CREATE TABLE t (n int, v {declared})")
    column = pa.array(values).view(to_arrow(parse_type(logical)))
    warehouse.run("t", pa.table({"n": pa.array([0, 1, 2, 3], pa.int32()), "v": column}))
    found = warehouse.sql("SELECT v::text, isfinite(v) FROM t ORDER BY n")
    assert [row[0] for row in found[:3]] == ["infinity", "-infinity", "-infinity"]
    assert found[3][1] is True


@pytest.mark.parametrize(
    ("logical", "values"),
    [
        ("date", np.array([-(2**31) + 2], dtype=np.int32)),
        ("date", np.array([2**31 - 2], dtype=np.int32)),
        ("timestamp", np.array([-(2**63) + 2], dtype=np.int64)),
    ],
)
def test_dates_out_of_range_are_refused(warehouse, logical: str, values) -> None:
    rows = pa.table({"v": pa.array(values).view(to_arrow(parse_type(logical)))})
    with pytest.raises(TargetDataError, match="22008"):
        warehouse.run("t", rows)


def test_duckdbs_own_infinities_are_postgresqls(warehouse) -> None:
    duckdb = pytest.importorskip("duckdb")
    rows = duckdb.sql(
        "SELECT 'infinity'::DATE AS d, '-infinity'::TIMESTAMP AS t, '-infinity'::DATE AS e"
    ).to_arrow_table()
    warehouse.run("t", rows)
    assert warehouse.sql("SELECT d::text, t::text, e::text FROM t") == [
        ("infinity", "-infinity", "-infinity")
    ]


@pytest.mark.parametrize(
    ("declared", "logical"),
    [
        ("numeric(50,10)", "decimal(38,10)"),
        ("money", "string"),
        ("tsvector", "string"),
        ("bit(3)", "string"),
    ],
)
def test_columns_without_a_type_of_ours_are_described(
    warehouse, declared: str, logical: str
) -> None:
    warehouse.sql(f"CREATE TABLE t (v {declared})")
    assert str(warehouse.target("t").schema()["v"].type) == logical


def test_slices_and_nulls_of_uuid_survive(warehouse) -> None:
    values = [None if n % 3 == 0 else str(uuid.UUID(int=n)) for n in range(20)]
    rows = pa.table({"n": pa.array(range(20), pa.int32()), "v": pa.array(values)}).slice(5, 11)
    warehouse.sql("CREATE TABLE t (n int, v uuid)")
    warehouse.run("t", rows)
    assert [row[0] for row in warehouse.sql("SELECT v::text FROM t ORDER BY n")] == values[5:16]


@pytest.mark.parametrize("value", ["no uuid", "0f8fad5b-d9cb-469f-a165-70867728950g", "ż" * 18])
def test_a_wrong_uuid_is_refused_without_its_value(warehouse, value: str) -> None:
    warehouse.sql("CREATE TABLE t (v uuid)")
    with pytest.raises(TargetDataError, match="Column 'v' is uuid") as caught:
        warehouse.run("t", pa.table({"v": [value]}))
    assert value not in str(caught.value)


@pytest.mark.parametrize("declared", ["jsonb", "mood", "inet"])
def test_text_that_a_type_does_not_take_is_refused_without_its_value(
    warehouse, declared: str
) -> None:
    warehouse.sql(f"{PREPARE}; CREATE TABLE t (v {declared})")
    with pytest.raises(TargetDataError, match="22P02") as caught:
        warehouse.run("t", pa.table({"v": ["hush-hush"]}))
    assert "hush" not in str(caught.value)


def test_generated_columns_are_not_offered_and_not_written(warehouse) -> None:
    warehouse.sql(
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, a int, "
        "b int GENERATED ALWAYS AS (a * 2) STORED)"
    )
    assert warehouse.target("t").schema().names == ("a",)
    rows = pa.table({"a": pa.array([1], pa.int32()), "b": pa.array([1], pa.int32())})
    with pytest.raises(TargetSchemaError, match=r"'b' .* is generated"):
        warehouse.run("t", rows, schema=warehouse.fields(a="int32", b="int32"))
    warehouse.run("t", rows.select(["a"]))
    assert warehouse.sql("SELECT id, b FROM t") == [(1, 2)]


@pytest.mark.parametrize(
    ("written", "declared"),
    [("bool", "integer"), ("string", "integer"), ("int64", "text"), ("timestamp", "date")],
)
def test_a_column_of_another_kind_is_refused_before_anything_is_read(
    warehouse, written: str, declared: str
) -> None:
    warehouse.sql(f"CREATE TABLE t (v {declared})")
    rows = pa.table({"v": pa.array([], to_arrow(parse_type(written)))})
    with pytest.raises(TargetSchemaError, match=f"contract writes {written}"):
        warehouse.run("t", rows, schema=warehouse.fields(v=written))


def test_batches_of_other_types_than_asked_for_are_refused(warehouse) -> None:
    from airflow_etl_provider.engines.targets.base import WriteSpec

    warehouse.sql("CREATE TABLE t (v bigint)")
    target = warehouse.target("t")
    wrong = pa.table({"v": pa.array([1.5], pa.float64())}).to_reader()
    with (
        target.begin(
            load=warehouse.load_id(), schema=target.schema(), write=WriteSpec("append")
        ) as session,
        pytest.raises(TargetSchemaError, match="arrow_schema"),
    ):
        session.write(wrong)
    assert warehouse.sql("SELECT count(*) FROM t") == [(0,)]
