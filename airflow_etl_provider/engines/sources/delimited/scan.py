"""The two roads through a delimited file: DuckDB's parser, and our own splitter."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.reject import Reason, Reject
from airflow_etl_provider.engines.sources.base import Account
from airflow_etl_provider.engines.sources.delimited.count import delimiters_outside
from airflow_etl_provider.engines.sources.delimited.splitter import split_batches
from airflow_etl_provider.engines.sources.delimited.view import csv_view, drop_view, reject_query
from airflow_etl_provider.engines.sources.files import is_unchanged
from airflow_etl_provider.engines.sources.rejected import RejectLog, number_rows
from airflow_etl_provider.engines.sources.stream import BatchStream, new_view_name
from airflow_etl_provider.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.engines.sources.delimited.count import ByteCount
    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect
    from airflow_etl_provider.engines.sources.files import FileInput
    from airflow_etl_provider.exceptions import EtlError

__all__ = ["CarefulScan", "FastScan"]

_CODES = ("wrong_field_count", "bad_encoding")


class _FileScan:
    """What both roads share: the file, its dialect, and writing a record again."""

    def __init__(
        self, file: FileInput, dialect: ResolvedDialect, *, fields: tuple[str, ...]
    ) -> None:
        self._file = file
        self.dialect = dialect
        self.fields = fields
        self._view = new_view_name()
        self._connection: DuckDBPyConnection | None = None
        self._stream: BatchStream | None = None

    @property
    def input(self) -> InputIdentity:
        return self._file.identity

    @property
    def path(self) -> str:
        return str(self._file.stored.path)

    @property
    def compression(self) -> str:
        return self._file.stored.compression

    @property
    def failure(self) -> EtlError | None:
        return self._stream.failure if self._stream is not None else None

    def raw(self, fields: dict[str, str | None]) -> bytes:
        return write_record([fields.get(name) for name in self.dialect.columns], self.dialect)

    def _verify_unchanged(self) -> None:
        if not is_unchanged(self._file):
            raise SourceError(
                f"{self.input.name} changed while it was read.",
                hint="Load it again once it is written to its end.",
            )


class FastScan(_FileScan):
    """DuckDB reads, in parallel; the bytes were counted before.

    :param skip: physical lines before the first record.
    """

    careful = False

    def __init__(
        self,
        file: FileInput,
        dialect: ResolvedDialect,
        *,
        fields: tuple[str, ...],
        count: ByteCount,
        body: int,
    ) -> None:
        super().__init__(file, dialect, fields=fields)
        self.count = count
        self._body = body
        self._skip = dialect.skip_rows + dialect.header_rows
        self._numbers = array("Q")
        self._offsets = array("Q")
        self._kinds = bytearray()

    def relation(self, connection: DuckDBPyConnection) -> str:
        if self._connection is not connection:
            self._connection = connection
            connection.execute(
                csv_view(
                    self._view,
                    [self.path],
                    self.dialect,
                    fields=self.fields,
                    compression=self.compression,
                    read_all=not self.count.valid,
                )
            )
        return self._view

    def account(self, *, rows_seen: int) -> Account:
        self._verify_unchanged()
        delimiters = self._collect_rejects()
        records = self.count.records
        expected = rows_seen * (len(self.dialect.columns) - 1) + (delimiters or 0)
        return Account(
            records=records,
            scanned=records - len(self._numbers),
            balanced=delimiters is not None
            and rows_seen + len(self._numbers) == records
            and expected == self.count.delimiters,
            bytes_read=self.input.size or 0,
        )

    def rejects(self) -> Iterator[Reject]:
        messages = (
            f"The number of fields is not the {len(self.dialect.columns)} that are expected.",
            f"Bytes that are no {self.dialect.encoding}.",
        )
        reasons = [(Reason(code=c, message=m),) for c, m in zip(_CODES, messages, strict=True)]
        with self._file.stored.open() as stream:
            for number, offset, kind in zip(self._numbers, self._offsets, self._kinds, strict=True):
                stream.seek(offset)
                yield Reject(
                    input=self.input.name,
                    record=number,
                    raw=without_end(stream.readline(), self.dialect),
                    reasons=reasons[kind],
                    line=None if self.count.multiline else number + self._skip,
                )

    def record_numbers(self, rows: list[int]) -> list[int]:
        return number_rows(rows, self._numbers)

    def close(self) -> None:
        if self._connection is not None:
            drop_view(self._connection, self._view)
            self._connection = None

    def _collect_rejects(self) -> int | None:
        """Note every reject; returns their delimiters, None when one needs the splitter's eye."""
        self._numbers, self._offsets, self._kinds = array("Q"), array("Q"), bytearray()
        found = reject_query(self._connection, self._view) if self._connection else None
        if found is None:
            return 0
        delimiters = 0
        with self._file.stored.open() as stream:
            while rows := found.fetchmany(10_000):
                for line, position, problems in rows:
                    kind = _kind_of(problems)
                    # The position is counted from 1, and under CRLF it is that of the LF before.
                    stream.seek(max(position - 2, self._body - 1, 0))
                    before = stream.read(1) if position - 1 > self._body else b"\n"
                    offset = max(position - 1, self._body)
                    if before != b"\n" and stream.read(1) == b"\n":
                        offset, before = offset + 1, b"\n"
                    stream.seek(offset)
                    here = delimiters_outside(stream.readline(), self.dialect)
                    if kind is None or before != b"\n" or here is None:
                        return None
                    delimiters += here
                    self._numbers.append(line - self._skip)
                    self._offsets.append(offset)
                    self._kinds.append(kind)
        blank = self.count.first_blank
        if self._offsets and blank is not None and blank <= self._offsets[-1]:
            return None  # blank lines are no records, but DuckDB numbers them
        return delimiters


class CarefulScan(_FileScan):
    """Our splitter reads; its own count is exact."""

    careful = True

    def __init__(
        self, file: FileInput, dialect: ResolvedDialect, *, fields: tuple[str, ...]
    ) -> None:
        super().__init__(file, dialect, fields=fields)
        self._log: RejectLog | None = None
        self._good = 0
        self._finished = False

    def relation(self, connection: DuckDBPyConnection) -> str:
        import pyarrow as pa

        if self._connection is not connection:
            self._connection = connection
            schema = pa.schema([pa.field(name, pa.string()) for name in self.fields])
            self._stream = BatchStream(schema, self._batches)
            self._stream.register(connection, self._view)
        return self._view

    def account(self, *, rows_seen: int) -> Account:
        self._verify_unchanged()
        rejected = len(self._log) if self._log else 0
        return Account(
            records=self._good + rejected,
            scanned=self._good,
            balanced=self._finished and rows_seen == self._good,
            bytes_read=self.input.size or 0,
        )

    def rejects(self) -> Iterator[Reject]:
        return iter(self._log or ())

    def record_numbers(self, rows: list[int]) -> list[int]:
        return number_rows(rows, self._log.numbers if self._log else array("Q"))

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._connection is not None:
            drop_view(self._connection, self._view)
            self._connection = None

    def _batches(self) -> Iterator[pa.RecordBatch]:
        if self._log is not None:
            self._log.close()
        log = self._log = RejectLog(self.input.name, scratch=self._file.scratch)
        self._good, self._finished = 0, False
        for batch, _, broken in split_batches(self._file.stored.chunks(), self.dialect):
            self._good += batch.num_rows
            for bad in broken:
                log.add(
                    record=bad.number,
                    line=bad.line,
                    raw=without_end(bad.raw, self.dialect),
                    code=bad.code,
                    message=bad.message,
                )
            if batch.num_rows:
                yield batch.select(self.fields)
        self._finished = True


def write_record(values: list[str | None], dialect: ResolvedDialect) -> bytes:
    """One record in a file's own dialect, without its line end."""
    null = dialect.null_values[0] if dialect.null_values else ""
    if (plain := _plain_record(values, dialect, null)) is not None:
        return plain.encode(dialect.encoding, errors="replace")
    written = [null if value is None else _write_field(str(value), dialect) for value in values]
    return dialect.delimiter.join(written).encode(dialect.encoding, errors="replace")


def _plain_record(values: list[str | None], dialect: ResolvedDialect, null: str) -> str | None:
    """The record where no value needs a closer look, as nearly none does; else None."""
    nulls = dialect.null_values
    if any(value in nulls for value in values if value is not None):
        return None
    delimiter = dialect.delimiter
    record = delimiter.join([null if value is None else str(value) for value in values])
    marks = {dialect.quote, "\n", "\r", "\t", f"{delimiter} ", f" {delimiter}"} - {"", delimiter}
    if record.count(delimiter) != len(values) - 1 or any(mark in record for mark in marks):
        return None
    return record if record == record.strip(" ") else None


def without_end(raw: bytes, dialect: ResolvedDialect) -> bytes:
    """The bytes of a record without its line end."""
    for end in ("\r\n", "\n", "\r"):
        ending = end.encode(dialect.encoding)
        if raw.endswith(ending) and len(raw) % len("\n".encode(dialect.encoding)) == 0:
            return raw[: -len(ending)]
    return raw


def _write_field(value: str, dialect: ResolvedDialect) -> str:
    quote, escape = dialect.quote, dialect.escape or dialect.quote
    plain = (
        value not in dialect.null_values
        and value == value.strip(" \t")
        and not any(mark in value for mark in (dialect.delimiter, "\n", "\r"))
        and not (quote and quote in value)
    )
    if plain or not quote:
        return value
    inner = value.replace(escape, escape * 2) if dialect.escape else value
    return f"{quote}{inner.replace(quote, escape + quote)}{quote}"


def _kind_of(problems: list[str]) -> int | None:
    """The place in `_CODES`; None for trouble with quotes or long lines."""
    kinds = set(problems)
    if kinds <= {"MISSING COLUMNS", "TOO MANY COLUMNS", "INVALID ENCODING"}:
        return 1 if kinds == {"INVALID ENCODING"} else 0
    return None
