"""A select over named inputs as one source: its rows are what the query gives."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.contracts.load import InputIdentity
from airflow_etl_provider.contracts.reject import Reason, Reject
from airflow_etl_provider.contracts.select import parse_select
from airflow_etl_provider.engines.backends.duckdb.checks import any_of
from airflow_etl_provider.engines.backends.duckdb.trees import call, choose, not_null
from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb
from airflow_etl_provider.engines.relational.binding import BoundSelect, bind_select, sql_of
from airflow_etl_provider.engines.relational.failures import select_error
from airflow_etl_provider.engines.relational.staging import Staging, shown_name, typed_schema
from airflow_etl_provider.engines.sources import open_source
from airflow_etl_provider.engines.sources.base import Account
from airflow_etl_provider.engines.sources.rejected import number_rows
from airflow_etl_provider.engines.strict_json import to_json
from airflow_etl_provider.exceptions import EtlError, SelectError

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.engines.relational.staging import TakenInput
    from airflow_etl_provider.engines.sources.base import Source

__all__ = ["OUTCOME", "SelectScan", "SelectSource", "open_select"]

OUTCOME = "select"
"""How reports and rejects name what the select gives."""

_TABLE, _VIEW = "etl_outcome", "etl_outcome_rows"

_UNSAFE = "statistics_propagation,compressed_materialization"
"""DuckDB 2.0.0 takes too small a range for a sum after a join with an empty side, and then fails to
sort by it; what else it concludes of such a range is not for us to find out."""

_MOST_WIDE = 10**38
"""Whole numbers of more digits fit no type of ours."""


def open_select(
    pipeline: Pipeline,
    *,
    connections: Connections,
    base: Path | None,
    all_text: bool = False,
    scratch: Path | None = None,
) -> SelectSource:
    """Find and understand all inputs of a pipeline's select, and bind it; no row is read yet.

    :raises SourceError: an input is not there, or not what its format says.
    :raises SpecificationError: the select is refused, or does not fit its inputs.
    """
    parsed = parse_select(pipeline.select or "", inputs=pipeline.inputs)
    sources: dict[str, Source] = {}
    schemas: dict[str, Schema] = {}
    with ExitStack() as stack:
        for name, spec in pipeline.inputs.items():
            try:
                source = open_source(
                    spec,
                    connections=connections,
                    base=base,
                    all_text=all_text,
                    scratch=scratch,
                )
            except EtlError as error:
                error.message = f"Input {name!r}: {error.message}"
                raise
            stack.callback(source.close)
            sources[name] = source
            schemas[name] = typed_schema(name, source.schema, spec.fields)
        bound = bind_select(parsed, schemas=schemas)
        # From here on the source itself closes them.
        stack.pop_all()
    return SelectSource(bound, sources=sources, schemas=schemas)


class SelectSource:
    """What a query gives, as the one input of a load.

    `take` comes first: it reads the inputs and runs the query on the connection of a compute
    session. Scans on that connection then give the rows, however often.
    """

    def __init__(
        self, bound: BoundSelect, *, sources: dict[str, Source], schemas: dict[str, Schema]
    ) -> None:
        self.name = f"select of {', '.join(sources)}"
        self._bound = bound
        self._sources = sources
        self._schemas = schemas
        self._records = 0
        self._taken_on: DuckDBPyConnection | None = None

    @property
    def inputs(self) -> tuple[InputIdentity, ...]:
        """The outcome, as large as all that is read for it."""
        return (InputIdentity(OUTCOME, sum(origin.size or 0 for origin in self.origins)),)

    @property
    def origins(self) -> tuple[InputIdentity, ...]:
        """Every file of every input as it is now: together the identity of the load."""
        return tuple(
            InputIdentity(shown_name(name, input), input.size, input.version)
            for name, source in self._sources.items()
            for input in source.inputs
        )

    @property
    def sides(self) -> tuple[tuple[str, Schema, tuple[InputIdentity, ...]], ...]:
        """Each input that the query reads: its name there, its columns, its files."""
        return tuple(
            (name, self._schemas[name], source.inputs) for name, source in self._sources.items()
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that the query reads."""
        return tuple(self._sources)

    @property
    def schema(self) -> Schema:
        return self._bound.schema

    @property
    def suggested(self) -> Schema:
        return self._bound.schema

    @property
    def width(self) -> int:
        """The columns of the widest table that is handled."""
        return max(len(schema) for schema in (*self._schemas.values(), self.schema))

    def take(
        self, connection: DuckDBPyConnection, *, cancelled: Callable[[], bool]
    ) -> Iterator[TakenInput]:
        """Read all inputs, tell the account of each, and run the query.

        :raises SelectError: the query can't be computed on these rows, or has no room.
        :raises CancelledError: `cancelled` became true.
        """
        self._taken_on = None
        staged: list[Staging] = []
        for table in self._bound.inputs:
            staging = Staging(
                connection,
                key=table.key,
                name=table.name,
                source=self._sources[table.name],
                schema=self._schemas[table.name],
                cancelled=cancelled,
            )
            staged.append(staging)
            yield from staging.take()
        self._run(connection, cancelled=cancelled)
        for staging in staged:
            staging.drop()
        self._taken_on = connection

    def scan(self, input: InputIdentity, *, careful: bool = False) -> SelectScan:
        return SelectScan(self.inputs[0], self.schema, records=self._records, on=self._taken_on)

    def close(self) -> None:
        for source in self._sources.values():
            source.close()

    def _run(self, connection: DuckDBPyConnection, *, cancelled: Callable[[], bool]) -> None:
        import duckdb

        columns = [exp.to_identifier(f"c{at}") for at in range(len(self.schema))]
        table = exp.Schema(this=exp.to_table(_TABLE), expressions=columns)
        create = exp.Create(
            this=table, kind="TABLE", replace=True, expression=self._bound.tree.copy()
        )
        threads = connection.execute("SELECT current_setting('threads')").fetchall()[0][0]
        try:
            connection.execute(f"SET disabled_optimizers = '{_UNSAFE}'")
            if self._bound.one_thread:
                connection.execute("SET threads = 1")
            ((self._records,),) = connection.execute(sql_of(create)).fetchall()
            self._check_wide(connection)
        except duckdb.Error as error:
            names = {column.name for column in self._bound.tree.find_all(exp.Column)}
            raise select_error(
                error, doing="The select", cancelled=cancelled(), always=True, columns=names
            ) from error
        finally:
            connection.execute("RESET disabled_optimizers")
            connection.execute(f"SET threads = {int(threads)}")

    def _check_wide(self, connection: DuckDBPyConnection) -> None:
        """Refuse whole numbers that fit no type of ours before a row of them is judged."""
        for at, field in enumerate(self.schema):
            if str(field.type) != "decimal(38,0)":
                continue
            ((wide,),) = connection.execute(
                f"SELECT count(*) FROM {_TABLE} WHERE c{at} >= ? OR c{at} <= ?",  # noqa: S608
                [_MOST_WIDE, -_MOST_WIDE],
            ).fetchall()
            if wide:
                raise SelectError(
                    f"Column {field.name!r} of the select has {wide} numbers of more than 38 "
                    "digits, which no type holds. Nothing was published.",
                    hint="Cast what is added up to a smaller unit, or to double.",
                )


class SelectScan:
    """One reading of the outcome; rows with a number that is not finite are rejects of the reader.

    :param on: the connection on which the query ran.
    """

    careful = True
    failure: EtlError | None = None

    def __init__(
        self,
        input: InputIdentity,
        schema: Schema,
        *,
        records: int,
        on: DuckDBPyConnection | None,
    ) -> None:
        self.input = input
        self._schema = schema
        self._records = records
        self._on = on
        self._floats = [
            at for at, field in enumerate(schema) if field.type.kind in ("float32", "float64")
        ]
        self._numbers: array[int] | None = None

    def relation(self, connection: DuckDBPyConnection) -> str:
        if connection is not self._on:
            raise RuntimeError("the inputs of the select were not taken on this connection")
        columns = [
            exp.Cast(this=exp.column(f"c{at}"), to=to_duckdb(field.type)).as_(
                field.name, quoted=True
            )
            for at, field in enumerate(self._schema)
        ]
        query = exp.select(*columns).from_(exp.to_table(_TABLE))
        if self._floats:
            query = query.where(exp.Not(this=exp.Paren(this=self._infinite())))
        view = exp.Create(this=exp.to_table(_VIEW), kind="VIEW", replace=True, expression=query)
        connection.execute(sql_of(view))
        return _VIEW

    def account(self, *, rows_seen: int) -> Account:
        rejected = len(self._rejected())
        return Account(
            records=self._records,
            scanned=self._records - rejected,
            balanced=rows_seen + rejected == self._records,
            bytes_read=0,
        )

    def rejects(self) -> Iterator[Reject]:
        if not len(self._rejected()) or self._on is None:
            return
        names = [field.name for field in self._schema]
        pairs: list[exp.Expr] = []
        for at, name in enumerate(names):
            plain = (exp.Literal.string(name), exp.column(f"c{at}"))
            pairs += _pair(name, at) if at in self._floats else plain
        record = exp.Cast(
            this=call("json_object", *pairs), to=exp.DataType.build("VARCHAR", dialect="duckdb")
        )
        tests = [call("isfinite", exp.column(f"c{at}")) for at in self._floats]
        query = (
            exp.select(exp.column("rowid"), record.as_("record"), *tests)
            .from_(exp.to_table(_TABLE))
            .where(self._infinite())
            .order_by("rowid")
        )
        cursor = self._on.cursor()
        try:
            cursor.execute(sql_of(query))
            while rows := cursor.fetchmany(5_000):
                for row, text, *finite in rows:
                    reasons = tuple(
                        Reason("not_computed", names[at], "select", "is infinite or no number")
                        for at, fine in zip(self._floats, finite, strict=True)
                        if fine is False
                    )
                    yield Reject(OUTCOME, row + 1, text.encode(), reasons, json.loads(text))
        finally:
            cursor.close()

    def record_numbers(self, rows: list[int]) -> list[int]:
        return number_rows(rows, self._rejected())

    def raw(self, fields: dict[str, Any]) -> bytes:
        """The row as a JSON object: it stood in no file."""
        return to_json(fields).encode()

    def close(self) -> None:
        """The outcome stays as long as its session."""

    def _infinite(self) -> exp.Expr:
        columns = [exp.column(f"c{at}") for at in self._floats]
        return any_of(
            [
                exp.And(this=not_null(column), expression=exp.Not(this=call("isfinite", column)))
                for column in columns
            ]
        )

    def _rejected(self) -> array[int]:
        """Record numbers, from 1, of the rows that are no rows of the view."""
        from array import array

        if self._numbers is None:
            self._numbers = array("Q")
            if self._floats and self._on is not None:
                query = exp.select("rowid").from_(exp.to_table(_TABLE)).where(self._infinite())
                cursor = self._on.cursor()
                cursor.execute(sql_of(query.order_by("rowid")))
                while rows := cursor.fetchmany(100_000):
                    self._numbers.extend(row + 1 for (row,) in rows)
                cursor.close()
        return self._numbers


def _pair(name: str, at: int) -> tuple[exp.Expr, exp.Expr]:
    """Key and value of a record's JSON; numbers that are not finite become text."""
    value = exp.column(f"c{at}")
    written = exp.Cast(this=value.copy(), to=exp.DataType.build("VARCHAR", dialect="duckdb"))
    return exp.Literal.string(name), choose(
        (call("isfinite", value), call("to_json", value)), otherwise=call("to_json", written)
    )
