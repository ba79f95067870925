"""The conformance table of conversions, run on every backend."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from airflow_etl_provider.contracts.conversions import CONVERSIONS, Conversion, read_conversion
from airflow_etl_provider.contracts.types import LogicalType, parse_type

TABLE = YAML(typ="safe").load((Path(__file__).parent / "conversions.yaml").read_text("utf-8"))


class Backend(Protocol):
    """What a backend shows to be tested: conversions of rows, one call a group."""

    def convert(
        self,
        conversion: Conversion,
        *,
        types: tuple[LogicalType, ...],
        target: LogicalType,
        rows: pa.Table,
    ) -> list[Any]: ...


class DuckDB:
    def __init__(self) -> None:
        import duckdb

        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("SET TimeZone = 'UTC'")

    def convert(
        self,
        conversion: Conversion,
        *,
        types: tuple[LogicalType, ...],
        target: LogicalType,
        rows: pa.Table,
    ) -> list[Any]:
        from sqlglot import exp

        from airflow_etl_provider.engines.backends.duckdb.conversions import render_conversion
        from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb

        columns = [exp.column(exp.to_identifier(f"s{i}", quoted=True)) for i in range(len(types))]
        tree = render_conversion(
            conversion, inputs=tuple(columns), input_types=types, target=target
        )
        typed = [
            exp.Cast(this=column.copy(), to=to_duckdb(of)).as_(f"s{i}", quoted=True)
            for i, (column, of) in enumerate(zip(columns, types, strict=True))
        ]
        self.connection.register("given", rows)
        inner = exp.select(*typed, exp.column("at")).from_("given").subquery("typed")
        query = exp.select(tree.as_("result")).from_(inner).order_by("at")
        result = self.connection.sql(query.sql(dialect="duckdb"))
        output = conversion.output_type(types, target)
        expected = exp.select(exp.Cast(this=exp.Null(), to=to_duckdb(output)))
        bare = self.connection.sql(expected.sql(dialect="duckdb"))
        assert str(result.types[0]) == str(bare.types[0])
        return [row[0] for row in result.fetchall()]


@pytest.fixture(scope="module", params=["duckdb"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return {"duckdb": DuckDB}[request.param]()


def given(value: Any, of: LogicalType) -> Any:
    """A value of the table as Python has it."""
    if value is None:
        return None
    readers: dict[str, Any] = {
        "decimal": Decimal,
        "date": dt.date.fromisoformat,
        "time": dt.time.fromisoformat,
        "timestamp": dt.datetime.fromisoformat,
        "timestamptz": dt.datetime.fromisoformat,
        "binary": bytes.fromhex,
        "uuid": str,
    }
    return readers.get(of.kind, lambda v: v)(value)


def written(value: Any) -> Any:
    """A result as the table writes it."""
    if isinstance(value, dt.datetime):
        utc = value.astimezone(dt.timezone.utc) if value.tzinfo else value
        return utc.isoformat()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool | int | str | list) or value is None:
        return value
    assert isinstance(value, float | Decimal | dt.timedelta | uuid.UUID), type(value)
    return str(value)


def table_of(rows: list[list[Any]], types: tuple[LogicalType, ...]) -> pa.Table:
    from airflow_etl_provider.engines.backends.duckdb.types import to_arrow

    columns = {
        f"s{i}": pa.array([given(row[i], of) for row in rows], to_arrow(of))
        for i, of in enumerate(types)
    }
    return pa.table({**columns, "at": pa.array(range(len(rows)), pa.int64())})


def name_of(group: dict[str, Any]) -> str:
    spec = group["convert"]
    word = spec if isinstance(spec, str) else json.dumps(spec, ensure_ascii=True, default=str)
    return f"{word} from {','.join(group['from'])} to {group['to']}"


@pytest.mark.parametrize("group", TABLE, ids=name_of)
def test_a_conversion_gives_and_rejects_what_the_table_says(
    backend: Backend, group: dict[str, Any]
) -> None:
    conversion = read_conversion(group["convert"])
    types = tuple(parse_type(of) for of in group["from"])
    gives = group.get("gives", [])
    rejects = [v if len(types) > 1 else [v] for v in group.get("rejects", [])]
    rows = [[*row[: len(types)]] for row in gives] + rejects
    expected = [row[-1] for row in gives] + [None] * len(rejects)
    if types and not conversion.handles_null:
        rows.append([None] * len(types))
        expected.append(None)

    results = backend.convert(
        conversion, types=types, target=parse_type(group["to"]), rows=table_of(rows, types)
    )

    wrong = [
        f"{row!r} gave {written(result)!r}, not {want!r}"
        for row, result, want in zip(rows, results, expected, strict=True)
        if (written(result), type(written(result))) != (want, type(want))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("group", TABLE, ids=name_of)
def test_the_table_never_calls_a_null_on_purpose_what_an_engine_would_reject(
    group: dict[str, Any],
) -> None:
    conversion = read_conversion(group["convert"])
    for row in group.get("gives", []):
        if row[-1] is None and None not in row[:-1]:
            assert conversion.makes_null
            assert not conversion.fallible
    assert conversion.fallible or not group.get("rejects")


def test_the_table_has_every_conversion_but_sql_which_needs_a_schema() -> None:
    words = {
        spec if isinstance(spec, str) else next(iter(spec))
        for spec in (group["convert"] for group in TABLE)
    }
    assert words == set(CONVERSIONS) - {"sql"}


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert sum(len(g.get("gives", [])) + len(g.get("rejects", [])) for g in TABLE) >= 300


def test_no_result_of_the_table_is_infinite_or_no_number() -> None:
    for group in TABLE:
        for row in group.get("gives", []):
            assert not (isinstance(row[-1], float) and not math.isfinite(row[-1]))
