"""A table or view of PostgreSQL as a source: binary COPY out of one read-only snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.engines.backends.duckdb.types import to_arrow
from airflow_etl_provider.engines.sources.tables.kept import KeptRows
from airflow_etl_provider.engines.sources.tables.postgres_query import describe_query
from airflow_etl_provider.engines.sources.tables.postgres_size import (
    Sample,
    choose_sample,
    read_size,
)
from airflow_etl_provider.engines.sources.tables.query import as_table, name_of
from airflow_etl_provider.engines.sources.tables.table import TableSource
from airflow_etl_provider.engines.targets.postgres.catalog import find_place
from airflow_etl_provider.engines.targets.postgres.client import PostgresClient
from airflow_etl_provider.engines.targets.postgres.columns import (
    as_text,
    find_readable,
    read_columns,
    read_comment,
    read_primary_key,
)
from airflow_etl_provider.engines.targets.postgres.types import declared_type
from airflow_etl_provider.engines.targets.postgres.uri import server_of
from airflow_etl_provider.engines.targets.table_name import TableName, parse_table_name
from airflow_etl_provider.exceptions import SourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.engines.sources.tables.conditions import Condition
    from airflow_etl_provider.engines.targets.postgres.columns import ReadableColumn

__all__ = ["PostgresTableSource", "open_client"]

_NATIVE = frozenset(
    {"bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "date", "time",
     "timestamp", "timestamptz", "interval", "bytea"}
)  # fmt: skip
"""Types whose values the driver gives as Arrow has them; all others travel as text."""


def open_client(connection: Connection) -> PostgresClient:
    """Connect, to read one table or many, one after the other.

    :raises TargetUnavailableError: the server can't be reached.
    """
    where = server_of(connection)
    return PostgresClient(connection, where=where, timeouts={"lock_timeout": 600_000})


class PostgresTableSource(TableSource):
    """Rows wait in a file from the first reading on: another query may give another order.

    :param scratch: where that file is made; the system's temporary folder when absent.
    :param client: a connection that others will use too; it is left open, in no transaction.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        table: str = "",
        query: exp.Query | None = None,
        scratch: Path | None = None,
        client: PostgresClient | None = None,
    ) -> None:
        super().__init__()
        written = parse_table_name(table) if query is None else TableName(name_of(query))
        self._query = query
        server = server_of(connection)
        self._kept = KeptRows(scratch)
        self._count: int | None = None
        self._sample: Sample | None = None
        self._is_ours = client is None
        self._client = client or open_client(connection)
        self._client.where = f"{server}/{written}"
        self.key = ()
        try:
            self._client.start(snapshot=True)
            self._table, self._schema_name = written.name, ""
            if query is not None:
                self._columns = describe_query(connection, query)
            else:
                self._look_up(written, server=server)
        except BaseException:
            self._let_go()
            raise
        shown = TableName(self._table, self._schema_name or None)
        self.name = f"{server}/{shown}"
        columns = self._columns.values()
        self.schema = Schema(tuple(Field(c.name, c.type) for c in columns))
        self.required = frozenset(c.name for c in columns if c.required)
        self.comments = {c.name: c.comment for c in columns if c.comment is not None}

    def _look_up(self, written: TableName, *, server: str) -> None:
        home = find_place(self._client, written, where=server).schema
        self._schema_name = find_readable(self._client, written, home=home)
        self._columns = read_columns(self._client, self._schema_name, self._table)
        if not self._columns:
            raise SourceNotFoundError(
                f"There is no table or view {written} in {server}.",
                hint="Write the name in the letter case it has, with its schema.",
            )
        self.key = read_primary_key(self._client, self._schema_name, self._table)
        self.comment = read_comment(self._client, self._schema_name, self._table)

    def count(self) -> int:
        if self._count is None:
            rows = exp.select(exp.Count(this=exp.Star()))
            sql = self._from(rows).sql("postgres")
            self._count = int(self._client.query(sql, doing="to count")[0][0])
        return self._count

    def digest(self) -> str:
        columns: list[exp.Expr] = [exp.column(_name(field.name)) for field in self.schema]
        whole = exp.Anonymous(this="ROW", expressions=columns)
        row = exp.Cast(this=whole, to=exp.DataType.build("text"))
        hashed = exp.Anonymous(this="hashtextextended", expressions=[row, exp.Literal.number(0)])
        # A sum and no xor: two equal rows would be none.
        total = exp.Cast(this=exp.Sum(this=hashed), to=exp.DataType.build("text"))
        sql = self._from(exp.select(total)).sql("postgres")
        ((found,),) = self._client.query(sql, doing="to compare")
        return str(found or 0)

    def arrow_schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema(
            [
                pa.field(
                    field.name, to_arrow(field.type) if self._is_native(field) else pa.string()
                )
                for field in self.schema
            ]
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        # Counted before anything is read, in the same snapshot.
        self.count()
        if not self.rereads:
            yield from self._read()
            return
        if not self._kept.there:
            self._kept.keep(self._read(), self.arrow_schema(), name=self.name)
            # The snapshot has served; an old one keeps the server from cleaning up.
            self._client.rollback()
        yield from self._kept.read()

    def interrupt(self) -> None:
        self._client.cancel()

    def sample(self, rows: int) -> Sample | None:
        """Read a part of the table from now on, if it is a large one: rows or pages from all over.

        :param rows: that are enough.
        :returns: what part; None where all of it will be read.
        """
        if self._query is not None:
            return None
        size = read_size(self._client, self._schema_name, self._table)
        self._sample = choose_sample(size, rows)
        return self._sample

    def _let_go(self) -> None:
        if self._is_ours:
            self._client.close()
        else:
            self._client.rollback()

    def close(self) -> None:
        self._let_go()
        self._kept.close()

    def _read(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        schema = self.arrow_schema()
        rows = self._from(exp.select(*[self._value(field) for field in self.schema]))
        for batch in self._client.stream(rows.sql("postgres"), doing="to read"):
            self.bytes_read += batch.nbytes
            columns = [
                column if column.type == field.type else _plain(column).cast(field.type)
                for column, field in zip(batch.columns, schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def _from(self, query: exp.Select) -> exp.Select:
        table: exp.Expr
        if self._query is not None:
            table = as_table(self._query)
        else:
            table = exp.Table(this=_name(self._table), db=_name(self._schema_name))
        if self._sample is not None:
            table.set("sample", self._sample.clause())
        conditions = [self._condition(one) for one in self.conditions]
        query = query.from_(table)
        return query.where(exp.and_(*conditions)) if conditions else query

    def _condition(self, condition: Condition) -> exp.Expr:
        declared = declared_type(condition.type, column=condition.column)
        constant: exp.Expr = exp.Cast(
            this=exp.Literal.string(condition.value),
            to=exp.DataType(this=exp.DataType.Type.USERDEFINED, kind=declared),
        )
        if condition.is_number:
            constant = exp.Literal.number(condition.value)
        return condition.over(exp.column(_name(condition.column)), constant)

    def _is_native(self, field: Field) -> bool:
        column = self._columns[field.name]
        return column.element is None and column.base in _NATIVE

    def _value(self, field: Field) -> exp.Expr:
        column: ReadableColumn = self._columns[field.name]
        value: exp.Expr = exp.column(_name(field.name))
        if column.element is not None:
            value = exp.Anonymous(this="to_json", expressions=[value])
        if not self._is_native(field):
            value = as_text(column, value)
        return exp.alias_(value, field.name, quoted=True)


def _plain(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    return column.storage if isinstance(column, pa.ExtensionArray) else column


def _name(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)
