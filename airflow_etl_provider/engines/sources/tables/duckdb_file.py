"""A table or view in a DuckDB file as a source: read-only, in one transaction."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.types import to_arrow_schema, to_duckdb
from airflow_etl_provider.engines.sources.tables.duckdb_query import describe_query
from airflow_etl_provider.engines.sources.tables.kept import KeptRows
from airflow_etl_provider.engines.sources.tables.query import as_table, name_of
from airflow_etl_provider.engines.sources.tables.table import TableSource
from airflow_etl_provider.engines.targets.duckdb_file.layout import read_columns
from airflow_etl_provider.engines.targets.duckdb_file.store import opened, run_sql
from airflow_etl_provider.engines.targets.table_name import TableName, parse_table_name
from airflow_etl_provider.exceptions import SourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.engines.sources.tables.conditions import Condition

__all__ = ["DuckDbTableSource"]

BATCH_ROWS = 65_536


class DuckDbTableSource(TableSource):
    """The file is open from the beginning to `close`; others may read it meanwhile."""

    def __init__(
        self,
        path: Path,
        *,
        table: str = "",
        query: exp.Query | None = None,
        scratch: Path | None = None,
        wait_seconds: float = 60.0,
    ) -> None:
        super().__init__()
        self._path = path.expanduser().resolve()
        written = parse_table_name(table) if query is None else TableName(name_of(query))
        self._query, self._kept = query, KeptRows(scratch)
        if not self._path.exists():
            raise SourceNotFoundError(f"There is no file {self._path}.")
        with ExitStack() as stack:
            self._connection = stack.enter_context(
                opened(self._path, wait_seconds=wait_seconds, read_only=True)
            )
            self._connection.begin()
            layout = (
                read_columns(self._connection, written)
                if query is None
                else describe_query(self._connection, query)
            )
            if layout is None:
                raise SourceNotFoundError(f"There is no table or view {written} in {self._path}.")
            self._layout = layout
            self.key = (
                _primary_key(self._connection, layout.schema, layout.name) if query is None else ()
            )
            self._closing = stack.pop_all()
        self.name = f"duckdb:///{self._path}#{written}"
        self._count: int | None = None
        self.schema = Schema(
            tuple(Field(c.name, c.type or LogicalType("string")) for c in layout.columns)
        )

    def count(self) -> int:
        if self._count is None:
            sql = self._from(exp.select(exp.Count(this=exp.Star()))).sql("duckdb")
            self._count = int(str(run_sql(self._connection, sql)[0][0]))
        return self._count

    def digest(self) -> str:
        columns = [exp.column(_name(field.name)) for field in self.schema]
        hashed = exp.Anonymous(this="hash", expressions=columns)
        # A sum and no xor: two equal rows would be none.
        sql = self._from(exp.select(exp.Sum(this=hashed))).sql("duckdb")
        return str(run_sql(self._connection, sql)[0][0] or 0)

    def arrow_schema(self) -> pa.Schema:
        import pyarrow as pa

        nested = {field.name for field in self.schema if field.type.element is not None}
        return pa.schema(
            [
                field.with_type(pa.string()) if field.name in nested else field
                for field in to_arrow_schema(self.schema)
            ]
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        self.count()
        if self._query is None or not self.rereads:
            # The rows of a table come in the same order each time.
            yield from self._read()
            return
        yield from self._kept.again(self._read, self.arrow_schema(), name=self.name)

    def _read(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        schema = self.arrow_schema()
        rows = self._from(exp.select(*[_value(field) for field in self.schema]))
        for batch in self._connection.sql(rows.sql("duckdb")).to_arrow_reader(BATCH_ROWS):
            self.bytes_read += batch.nbytes
            columns = [
                column if column.type == field.type else column.cast(field.type)
                for column, field in zip(batch.columns, schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def interrupt(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        self._closing.close()
        self._kept.close()

    def _from(self, query: exp.Select) -> exp.Select:
        table: exp.Expr
        if self._query is not None:
            table = as_table(self._query)
        else:
            table = exp.Table(this=_name(self._layout.name), db=_name(self._layout.schema))
        query = query.from_(table)
        conditions = [_condition(one) for one in self.conditions]
        return query.where(exp.and_(*conditions)) if conditions else query


def _condition(condition: Condition) -> exp.Expr:
    constant: exp.Expr = exp.Literal.number(condition.value)
    if not condition.is_number:
        text = exp.Literal.string(condition.value)
        constant = exp.Cast(this=text, to=to_duckdb(condition.type))
    return condition.over(exp.column(_name(condition.column)), constant)


def _value(field: Field) -> exp.Expr:
    """The value in the type that it is taken for; uuid, JSON and lists travel as text."""
    value: exp.Expr = exp.column(_name(field.name))
    text = exp.DataType.build("VARCHAR", dialect="duckdb")
    if field.type.element is not None:
        value = exp.Cast(this=exp.Anonymous(this="to_json", expressions=[value]), to=text)
    elif field.type.kind in ("uuid", "json"):
        value = exp.Cast(this=value, to=text)
    else:
        value = exp.Cast(this=value, to=to_duckdb(field.type))
    return exp.alias_(value, field.name, quoted=True)


def _primary_key(connection: DuckDBPyConnection, schema: str, table: str) -> tuple[str, ...]:
    rows = run_sql(
        connection,
        "SELECT unnest(constraint_column_names) FROM duckdb_constraints() "
        "WHERE database_name = current_database() AND schema_name = ? AND table_name = ? "
        "AND constraint_type = 'PRIMARY KEY'",
        [schema, table],
    )
    return tuple(str(row[0]) for row in rows)


def _name(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)
