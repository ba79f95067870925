"""What a backend shows to be tested on conversions, and the groups of rows it is tested with."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from airflow_etl_provider.contracts.conversions import Conversion, Sql, read_conversion
from airflow_etl_provider.contracts.expressions import parse_expression
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType, parse_type

if TYPE_CHECKING:
    from sqlglot import exp

Outcome = tuple[Any, bool]
"""A value as the tables write it, and whether its record is rejected."""


@dataclass(frozen=True)
class Group:
    """Inputs of one conversion, with what must come of each.

    :param names: of the inputs, for an expression; `value` for a single one without a name.
    """

    conversion: Conversion
    names: tuple[str, ...]
    types: tuple[LogicalType, ...]
    target: LogicalType
    rows: list[list[Any]]
    expected: list[Outcome]

    def table(self) -> pa.Table:
        """The rows as s0, s1, ..., each with its position `place`."""
        from airflow_etl_provider.engines.backends.duckdb.types import to_arrow

        columns = {
            f"s{i}": pa.array([_given(row[i], of) for row in self.rows], to_arrow(of))
            for i, of in enumerate(self.types)
        }
        return pa.table({**columns, "place": pa.array(range(len(self.rows)), pa.int64())})

    def wrong(self, backend: Backend) -> list[str]:
        """What the backend makes of the rows and should not."""
        outcomes = [(written(value), bad) for value, bad in backend.outcomes(self)]
        return [
            f"{row!r} gave {_told(outcome)}, not {_told(wanted)}"
            for row, outcome, wanted in zip(self.rows, outcomes, self.expected, strict=True)
            if (outcome, type(outcome[0])) != (wanted, type(wanted[0]))
        ]


class Backend(Protocol):
    """An engine's conversions, one call a group."""

    def outcomes(self, group: Group) -> list[Outcome]: ...


def read_group(written: dict[str, Any]) -> Group:
    """Read a group as conversions.yaml has them; what is strict of NULL gets a row of NULLs."""
    conversion = read_conversion(written["convert"])
    named = written["from"]
    names = tuple(named) if isinstance(named, dict) else ("value",) * (len(named) == 1)
    types = tuple(map(parse_type, named.values() if isinstance(named, dict) else named))
    gives = written.get("gives", [])
    rejects = [row if len(types) > 1 else [row] for row in written.get("rejects", [])]
    rows = [row[:-1] for row in gives] + rejects
    expected = [(row[-1], False) for row in gives] + [(None, True)] * len(rejects)
    if types and not conversion.handles_null:
        rows.append([None] * len(types))
        expected.append((None, False))
    return Group(conversion, names, types, parse_type(written["to"]), rows, expected)


def name_of(group: dict[str, Any]) -> str:
    """A group in a line, for the names of tests."""
    spec = group["convert"]
    word = spec if isinstance(spec, str) else json.dumps(spec, ensure_ascii=True, default=str)
    named = group["from"]
    types = named.values() if isinstance(named, dict) else named
    return f"{word} from {','.join(types)} to {group['to']}"


class DuckDB:
    """The backend of DuckDB, asked tree by tree."""

    def __init__(self) -> None:
        import duckdb

        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("SET TimeZone = 'UTC'")

    def outcomes(self, group: Group) -> list[Outcome]:
        from sqlglot import exp

        from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb

        sql = isinstance(group.conversion, Sql)
        names = group.names if sql else [f"s{i}" for i in range(len(group.types))]
        columns = [exp.column(exp.to_identifier(name, quoted=True)) for name in names]
        value, failed = (self._expression if sql else self._conversion)(group, columns)
        typed = [
            exp.Cast(this=exp.column(f"s{i}"), to=to_duckdb(of)).as_(name, quoted=True)
            for i, (name, of) in enumerate(zip(names, group.types, strict=True))
        ]
        self.connection.register("given", group.table())
        inner = exp.select(*typed, exp.column("place")).from_("given").subquery("typed")
        query = exp.select(value.as_("result"), failed.as_("failed")).from_(inner).order_by("place")
        result = self.connection.sql(query.sql(dialect="duckdb"))
        output = group.conversion.output_type(group.types, group.target)
        expected = exp.select(exp.Cast(this=exp.Null(), to=to_duckdb(output)))
        bare = self.connection.sql(expected.sql(dialect="duckdb"))
        assert str(result.types[0]) == str(bare.types[0])
        return result.fetchall()

    def _conversion(self, group: Group, columns: list[exp.Column]) -> tuple[exp.Expr, exp.Expr]:
        from sqlglot import exp

        from airflow_etl_provider.engines.backends.duckdb.conversions import render_conversion

        value = render_conversion(
            group.conversion, inputs=tuple(columns), input_types=group.types, target=group.target
        )
        if not group.conversion.fallible:
            return value, exp.Boolean(this=False)
        given = [column.copy().is_(exp.Null()).not_() for column in columns]
        return value, exp.and_(*given, exp.Is(this=exp.paren(value.copy()), expression=exp.Null()))

    def _expression(self, group: Group, columns: list[exp.Column]) -> tuple[exp.Expr, exp.Expr]:
        from airflow_etl_provider.engines.backends.duckdb.expressions import (
            bind_expression,
            bind_failure,
        )

        assert isinstance(group.conversion, Sql)
        parsed = parse_expression(group.conversion.sql, kind="conversion")
        fields = zip(group.names, group.types, strict=True)
        schema = Schema(tuple(Field(name, of) for name, of in fields))
        value, _ = bind_expression(parsed, schema=schema, expect=group.target)
        return value, bind_failure(parsed, schema=schema, expect=group.target)


def _given(value: Any, of: LogicalType) -> Any:
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


def _told(outcome: Outcome) -> str:
    value, rejected = outcome
    return f"{value!r} and a reject" if rejected else repr(value)
