"""A source with fields that it no longer has: they are NULL in every record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.contracts.schema import Schema
from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb
from airflow_etl_provider.engines.sources.stream import drop_stream, new_view_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.contracts.schema import Field
    from airflow_etl_provider.engines.sources.base import Account, Scan, Source
    from airflow_etl_provider.exceptions import EtlError

__all__ = ["PaddedSource"]


class PaddedSource:
    """Gives `missing` fields behind those of a source."""

    def __init__(self, source: Source, missing: tuple[Field, ...]) -> None:
        self._source = source
        self._missing = missing

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def inputs(self) -> tuple[InputIdentity, ...]:
        return self._source.inputs

    @property
    def schema(self) -> Schema:
        return Schema((*self._source.schema, *self._missing))

    @property
    def suggested(self) -> Schema:
        return Schema((*self._source.suggested, *self._missing))

    def scan(self, input: InputIdentity, *, careful: bool = False) -> Scan:
        return _PaddedScan(self._source.scan(input, careful=careful), self._missing)

    def close(self) -> None:
        self._source.close()


class _PaddedScan:
    """A scan whose view has columns of NULLs."""

    def __init__(self, scan: Scan, missing: tuple[Field, ...]) -> None:
        self._scan = scan
        self._missing = missing
        self._view = new_view_name()
        self._connection: DuckDBPyConnection | None = None

    @property
    def input(self) -> InputIdentity:
        return self._scan.input

    @property
    def careful(self) -> bool:
        return self._scan.careful

    @property
    def failure(self) -> EtlError | None:
        return self._scan.failure

    def relation(self, connection: DuckDBPyConnection) -> str:
        inner = self._scan.relation(connection)
        if self._connection is not connection:
            self._connection = connection
            nulls = [
                exp.alias_(
                    exp.Cast(this=exp.Null(), to=to_duckdb(field.type)), field.name, quoted=True
                )
                for field in self._missing
            ]
            query = exp.select(exp.Star(), *nulls).from_(exp.to_table(inner))
            view = exp.to_table(self._view)
            create = exp.Create(this=view, kind="VIEW", replace=True, expression=query)
            connection.execute(create.sql(dialect="duckdb"))
        return self._view

    def account(self, *, rows_seen: int) -> Account:
        return self._scan.account(rows_seen=rows_seen)

    def rejects(self) -> Iterator[Reject]:
        return self._scan.rejects()

    def record_numbers(self, rows: list[int]) -> list[int]:
        return self._scan.record_numbers(rows)

    def raw(self, fields: dict[str, Any]) -> bytes:
        missing = {field.name for field in self._missing}
        return self._scan.raw({name: of for name, of in fields.items() if name not in missing})

    def close(self) -> None:
        if self._connection is not None:
            drop_stream(self._connection, self._view)
            self._connection = None
        self._scan.close()
