"""One reading of one JSON file as a table of DuckDB, with an account of its own."""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.engines.arrow_values import array_of
from airflow_etl_provider.engines.sources.base import Account
from airflow_etl_provider.engines.sources.files import is_unchanged
from airflow_etl_provider.engines.sources.rejected import RejectLog, number_rows
from airflow_etl_provider.engines.sources.stream import BatchStream, drop_stream, new_view_name
from airflow_etl_provider.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.engines.sources.files import FileInput
    from airflow_etl_provider.engines.sources.json_files.opening import JsonReading
    from airflow_etl_provider.engines.sources.json_files.values import Record
    from airflow_etl_provider.exceptions import EtlError

__all__ = ["JsonScan", "rows_of_batch"]

MOST_LATE_KEYS = 100
"""Keys outside the sample that are named and counted one by one."""

BATCH_ROWS = 10_000
BATCH_BYTES = 8 * 2**20

BATCH_CELLS = 1_000_000
"""Rows times keys: records with few of many keys are short texts and wide rows."""


class JsonScan:
    """Reads a file, as often as the engine wants to.

    :param read: begins a reading.
    :param alone: the source has no other file.
    """

    careful = True

    def __init__(
        self,
        file: FileInput,
        keys: tuple[str, ...],
        *,
        read: Callable[[], JsonReading],
        nested: frozenset[str],
        nulls: frozenset[str],
        alone: bool,
    ) -> None:
        self._file = file
        self._keys = keys
        self._known = frozenset(keys)
        self._read = read
        self._alone = alone
        self._nested = nested
        self._nulls = nulls
        self._view = new_view_name()
        self._connection: DuckDBPyConnection | None = None
        self._stream: BatchStream | None = None
        self._log: RejectLog | None = None
        self._records = self._good = 0
        self._late: dict[str, int] = {}
        self._late_others = 0
        self._notes: tuple[str, ...] = ()
        self._finished = False

    @property
    def input(self) -> InputIdentity:
        return self._file.identity

    def relation(self, connection: DuckDBPyConnection) -> str:
        import pyarrow as pa

        if self._connection is not connection:
            self._connection = connection
            schema = pa.schema([pa.field(key, pa.string()) for key in self._keys])
            stream = self._stream = BatchStream(schema, self._batches)
            if self._nested:
                stream.register(connection, f"{self._view}_lines")
                connection.execute(self._json_view())
            else:
                stream.register(connection, self._view)
        return self._view

    @property
    def failure(self) -> EtlError | None:
        return self._stream.failure if self._stream is not None else None

    def account(self, *, rows_seen: int) -> Account:
        if not is_unchanged(self._file):
            raise SourceError(
                f"{self.input.name} changed while it was read.",
                hint="Load it again once it is written to its end.",
            )
        notes = self._notes + tuple(
            f"{self.input.name}: {count} records have the key {key!r}, which the sample of the "
            "source has not; it was not loaded."
            for key, count in self._late.items()
        )
        if self._late_others:
            others = f"{self._late_others} values of further keys, which the sample has not"
            notes += (f"{self.input.name}: {others}, were not loaded.",)
        return Account(
            records=self._records,
            scanned=self._good,
            balanced=self._finished and rows_seen == self._good,
            bytes_read=self.input.size or 0,
            notes=notes,
        )

    def rejects(self) -> Iterator[Reject]:
        return iter(self._log or ())

    def record_numbers(self, rows: list[int]) -> list[int]:
        return number_rows(rows, self._log.numbers if self._log else array("Q"))

    def raw(self, fields: dict[str, Any]) -> bytes:
        """The record as an object of texts."""
        return json.dumps(fields, ensure_ascii=False).encode()

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._connection is not None:
            drop_stream(self._connection, self._view)
            drop_stream(self._connection, f"{self._view}_lines")
            self._connection = None

    def _json_view(self) -> str:
        """Write the statement that creates a view in which what is nested has the type JSON."""
        columns: list[Any] = []
        for key in self._keys:
            column = exp.column(key, quoted=True)
            nested = exp.alias_(exp.cast(column, "JSON"), key, quoted=True)
            columns.append(nested if key in self._nested else column)
        query = exp.select(*columns).from_(exp.to_table(f"{self._view}_lines"))
        view = exp.to_table(self._view)
        create = exp.Create(this=view, kind="VIEW", replace=True, expression=query)
        return create.sql(dialect="duckdb")

    def _batches(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        if self._log is not None:
            self._log.close()
        log = self._log = RejectLog(self.input.name, scratch=self._file.scratch)
        self._records = self._good = 0
        self._late, self._late_others, self._finished = {}, 0, False
        schema = pa.schema([pa.field(key, pa.string()) for key in self._keys])
        columns: list[list[str | None]] = [[] for _ in self._keys]
        held, most = 0, rows_of_batch(self._keys)
        reading = self._read()
        for record, size, fault in reading:
            self._records += 1
            if record is None:
                if fault is not None:
                    log.add(
                        record=self._records,
                        line=fault.line,
                        raw=fault.raw,
                        code=fault.code,
                        message=fault.message,
                    )
                continue
            self._good += 1
            self._note_late(record)
            for column, key in zip(columns, self._keys, strict=True):
                value = record.get(key)
                if value is not None and key in self._nested and type(value) is str:
                    value = json.dumps(value, ensure_ascii=False)
                column.append(None if value in self._nulls else value)
            held += size
            if len(columns[0]) >= most or held >= BATCH_BYTES:
                yield _batch(columns, schema)
                columns, held = [[] for _ in self._keys], 0
        if columns[0]:
            yield _batch(columns, schema)
        self._notes = reading.notes(alone=self._alone)
        self._finished = True

    def _note_late(self, record: Record) -> None:
        if not record.keys() <= self._known:
            for key in sorted(record.keys() - self._known):
                if record[key] is None:
                    continue
                if key not in self._late and len(self._late) >= MOST_LATE_KEYS:
                    self._late_others += 1
                else:
                    self._late[key] = self._late.get(key, 0) + 1


def rows_of_batch(keys: tuple[str, ...]) -> int:
    """How many records may wait together for a batch to be made of them."""
    return max(1, min(BATCH_ROWS, BATCH_CELLS // len(keys)))


def _batch(columns: list[list[str | None]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [array_of(column, pa.string()) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
