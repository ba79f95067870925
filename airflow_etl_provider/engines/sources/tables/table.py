"""What tables of all databases have in common as sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.contracts.load import InputIdentity
from airflow_etl_provider.contracts.schema import Schema
from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb
from airflow_etl_provider.engines.sources.base import Account
from airflow_etl_provider.engines.sources.stream import BatchStream, drop_stream, new_view_name
from airflow_etl_provider.engines.strict_json import to_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.engines.sources.tables.conditions import Condition
    from airflow_etl_provider.exceptions import EtlError

__all__ = ["TableScan", "TableSource"]


class TableSource(ABC):
    """One table or view, read in one snapshot.

    :ivar schema: the columns that will be read; `narrow` takes others away.
    :ivar key: the primary key, () where there is none.
    :ivar required: columns that are declared NOT NULL.
    :ivar comment: what the database says of the table.
    :ivar comments: what it says of its columns, by name.
    :ivar rereads: whether rows are read more than once, keys first; set it before any scan.
    :ivar versioned: whether the input is told apart by the rows that will be read, so that a load
        of the same rows is the same load.
    """

    name: str
    schema: Schema
    key: tuple[str, ...]

    def __init__(self) -> None:
        self.conditions: tuple[Condition, ...] = ()
        self.rereads = True
        self.versioned = False
        self.format = "table"
        self.dialect = None
        self.bytes_read = 0
        self.required: frozenset[str] = frozenset()
        self.comment: str | None = None
        self.comments: dict[str, str] = {}

    @property
    def inputs(self) -> tuple[InputIdentity, ...]:
        if not self.versioned:
            return (InputIdentity(self.name),)
        return (InputIdentity(self.name, version=f"{self.count()}-{self.digest()}"),)

    @property
    def suggested(self) -> Schema:
        return self.schema

    def narrow(self, columns: Collection[str], conditions: Sequence[Condition] = ()) -> None:
        """Read only these columns, and of the rows only those that meet all conditions."""
        self.schema = Schema(tuple(field for field in self.schema if field.name in columns))
        self.conditions = tuple(conditions)

    def scan(self, input: InputIdentity, *, careful: bool = False) -> TableScan:
        return TableScan(self, input)

    @abstractmethod
    def count(self) -> int:
        """The rows that `batches` gives, counted by the database in the same snapshot."""

    @abstractmethod
    def digest(self) -> str:
        """What the database makes of these rows, whatever their order; equal rows, equal digest."""

    @abstractmethod
    def arrow_schema(self) -> pa.Schema:
        """The types in which rows arrive; the view over them casts to those of `schema`."""

    @abstractmethod
    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows; called again, the same rows in the same order."""

    @abstractmethod
    def interrupt(self) -> None:
        """Stop what the database does for us, from any thread."""

    @abstractmethod
    def close(self) -> None:
        """End the snapshot."""


class TableScan:
    """One reading of a table; the database's own count is the independent one."""

    careful = True

    def __init__(self, source: TableSource, input: InputIdentity) -> None:
        self._source, self._input = source, input
        self._view = new_view_name()
        self._connection: DuckDBPyConnection | None = None
        self._stream: BatchStream | None = None

    @property
    def input(self) -> InputIdentity:
        return self._input

    @property
    def failure(self) -> EtlError | None:
        return self._stream.failure if self._stream is not None else None

    def relation(self, connection: DuckDBPyConnection) -> str:
        if self._connection is not connection:
            self._connection = connection
            self._stream = BatchStream(self._source.arrow_schema(), self._source.batches)
            self._stream.register(connection, f"{self._view}_raw")
            connection.execute(self._typed_view())
        return self._view

    def account(self, *, rows_seen: int) -> Account:
        records = self._source.count()
        return Account(
            records=records,
            scanned=records,
            balanced=rows_seen == records,
            bytes_read=self._source.bytes_read,
        )

    def rejects(self) -> Iterator[Reject]:
        return iter(())

    def record_numbers(self, rows: list[int]) -> list[int]:
        return [row + 1 for row in rows]

    def raw(self, fields: dict[str, Any]) -> bytes:
        """The row as JSON: a row of a table has no bytes of its own."""
        return to_json(fields).encode()

    def close(self) -> None:
        if self._connection is not None:
            drop_stream(self._connection, self._view)
            drop_stream(self._connection, f"{self._view}_raw")
            self._connection = None

    def _typed_view(self) -> str:
        columns = []
        for field in self._source.schema:
            value: exp.Expr = exp.column(exp.to_identifier(field.name, quoted=True))
            if field.type.element is not None:
                value = exp.Cast(this=value, to=exp.DataType.build("JSON", dialect="duckdb"))
            typed = exp.Cast(this=value, to=to_duckdb(field.type))
            columns.append(exp.alias_(typed, field.name, quoted=True, copy=False))
        query = exp.select(*columns, copy=False).from_(exp.to_table(f"{self._view}_raw"))
        create = exp.Create(
            this=exp.to_table(self._view), kind="VIEW", replace=True, expression=query
        )
        return create.sql(dialect="duckdb")
