"""Parquet files: typed records, counted by their footers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.schema import Schema
from airflow_etl_provider.engines.backends.duckdb.types import from_arrow_schema
from airflow_etl_provider.engines.sources.base import Account
from airflow_etl_provider.engines.sources.files import is_unchanged
from airflow_etl_provider.engines.sources.stream import BatchStream, new_view_name
from airflow_etl_provider.exceptions import NotSupportedYetError, SourceError, SourceFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.engines.sources.files import FileInput

__all__ = ["ParquetSource"]

BATCH_ROWS = 32_768


class ParquetSource:
    """Parquet files with one schema; its types are the source's types.

    :param all_text: not for typed files: their values have no text of their own.
    """

    def __init__(self, files: tuple[FileInput, ...], *, name: str, all_text: bool = False) -> None:
        if all_text:
            raise NotSupportedYetError(
                "Reading Parquet as text is not supported yet.", hint="Leave --all-text away."
            )
        self.name = name
        self._files = {file.identity: file for file in files}
        self._rows: dict[InputIdentity, int] = {}
        schemas = [self._inspect(file) for file in files]
        self._arrow = schemas[0]
        for file, schema in zip(files, schemas, strict=True):
            if not schema.equals(self._arrow, check_metadata=False):
                raise SourceFormatError(
                    f"{file.identity.name} has other columns or types than "
                    f"{files[0].identity.name}.",
                    hint="Load files of one schema together.",
                )
        self.schema: Schema = from_arrow_schema(self._arrow)

    @property
    def inputs(self) -> tuple[InputIdentity, ...]:
        return tuple(self._files)

    @property
    def suggested(self) -> Schema:
        return self.schema

    def scan(self, input: InputIdentity, *, careful: bool = False) -> ParquetScan:
        return ParquetScan(self._files[input], self._arrow, records=self._rows[input])

    def close(self) -> None:
        """Nothing is held open."""

    def _inspect(self, file: FileInput) -> pa.Schema:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if file.stored.compression != "none":
            raise NotSupportedYetError(
                f"{file.identity.name}: packed Parquet files are not supported yet.",
                hint="Unpack it; Parquet is compressed inside.",
            )
        try:
            with pq.ParquetFile(file.stored.path) as parquet:
                self._rows[file.identity] = parquet.metadata.num_rows
                return parquet.schema_arrow
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceFormatError(
                f"{file.identity.name} is no readable Parquet file.",
                hint="It is damaged, cut off, or of another format.",
            ) from error


class ParquetScan:
    """One reading of one file; the footer's count is the independent one."""

    careful = True

    def __init__(self, file: FileInput, schema: pa.Schema, *, records: int) -> None:
        self._file = file
        self._schema = schema
        self._records = records
        self._view = new_view_name()
        self._connection: DuckDBPyConnection | None = None

    @property
    def input(self) -> InputIdentity:
        return self._file.identity

    def relation(self, connection: DuckDBPyConnection) -> str:
        if self._connection is not connection:
            self._connection = connection
            BatchStream(self._schema, self._batches).register(connection, self._view)
        return self._view

    def account(self, *, rows_seen: int) -> Account:
        if not is_unchanged(self._file):
            raise SourceError(
                f"{self.input.name} changed while it was read.",
                hint="Load it again once it is written to its end.",
            )
        return Account(
            records=self._records,
            scanned=self._records,
            balanced=rows_seen == self._records,
            bytes_read=self.input.size or 0,
        )

    def rejects(self) -> Iterator[Reject]:
        return iter(())

    def record_numbers(self, rows: list[int]) -> list[int]:
        return [row + 1 for row in rows]

    def raw(self, fields: dict[str, Any]) -> bytes:
        """The record as JSON: a row of a Parquet file has no bytes of its own."""
        return json.dumps(fields, ensure_ascii=False).encode()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.unregister(self._view)
            self._connection = None

    def _batches(self) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._file.stored.path) as parquet:
            for batch in parquet.iter_batches(batch_size=BATCH_ROWS):
                yield batch.cast(self._schema)
