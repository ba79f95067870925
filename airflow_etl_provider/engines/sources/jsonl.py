"""JSON lines: one object a line, read by ourselves so that no digit and no line is lost.

A number keeps the digits it was written with, objects and arrays stay JSON. A line that is no
object is a rejected record; blank lines are none.
"""

from __future__ import annotations

import codecs
import json
from array import array
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.arrow_values import array_of
from airflow_etl_provider.engines.sources.base import Account
from airflow_etl_provider.engines.sources.files import is_unchanged
from airflow_etl_provider.engines.sources.infer import suggest_types
from airflow_etl_provider.engines.sources.rejected import RejectLog, number_rows
from airflow_etl_provider.engines.sources.stream import BatchStream, drop_stream, new_view_name
from airflow_etl_provider.exceptions import (
    NotSupportedYetError,
    SourceError,
    SourceFormatError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.pipeline import SourceSpec
    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.engines.sources.files import FileInput
    from airflow_etl_provider.exceptions import EtlError

__all__ = ["JsonLinesSource", "NotAnObjectError", "read_object"]

SAMPLE = 4 * 2**20
"""Bytes of each file that are looked at for its keys."""

MAX_LINE = 16 * 2**20
"""A longer line is rejected, so that no file can fill the memory."""

MOST_LATE_KEYS = 100
"""Keys outside the sample that are named and counted one by one."""

MOST_KEYS = 2_000
"""More keys than this in the sample are data written as keys, and no table."""

BATCH_ROWS = 10_000
BATCH_BYTES = 8 * 2**20

BATCH_CELLS = 1_000_000
"""Rows times keys: records with few of many keys are short lines and wide rows."""


class NotAnObjectError(ValueError):
    """A line that is no JSON object; the message says why, without a value."""


class _Number(str):
    """A number or truth value with the characters it was written with."""

    __slots__ = ()


class _Json(str):
    """An object or array, written as JSON."""

    __slots__ = ()


def read_object(line: bytes) -> dict[str, str | None]:
    """Read one line: text for scalars as written, JSON for what is nested, None for null.

    :raises NotAnObjectError: it is no object, has a key twice, or can't be read.
    """
    try:
        value = json.loads(
            line.decode("utf-8"),
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError:
        raise NotAnObjectError("The line is not valid UTF-8.") from None
    except json.JSONDecodeError as error:
        raise NotAnObjectError(f"{error.msg} at character {error.pos + 1}.") from None
    except RecursionError:
        raise NotAnObjectError("The line is nested too deeply.") from None
    if not isinstance(value, dict):
        raise NotAnObjectError("The line is no JSON object.")
    try:
        read = {key: _text(item) for key, item in value.items()}
    except RecursionError:
        raise NotAnObjectError("The line is nested too deeply.") from None
    if b"\\u" in line:
        _refuse_unstorable(read)
    return read


def _refuse_constant(name: str) -> Any:
    raise NotAnObjectError(f"{name} is no JSON.")


def _refuse_unstorable(read: dict[str, str | None]) -> None:
    """Escapes can write what no text column holds: NUL, and halves of a surrogate pair."""
    for text in (*read, *(value for value in read.values() if value is not None)):
        if "\0" in text:
            raise NotAnObjectError("A text holds a NUL character, which databases can't store.")
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise NotAnObjectError("A text holds half of a surrogate pair, which is no character.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotAnObjectError("The object has a key twice.")
    return made


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return _Number("true" if value else "false")
    return _Json(_nested(value))


def _nested(value: Any) -> str:
    """JSON again, with numbers as they were written."""
    if isinstance(value, dict):
        pairs = (
            f"{json.dumps(key, ensure_ascii=False)}: {_nested(item)}" for key, item in value.items()
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_nested, value)) + "]"
    return str(value) if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)


class JsonLinesSource:
    """JSON lines files; the fields are the keys that a sample of them has."""

    def __init__(
        self,
        files: tuple[FileInput, ...],
        spec: SourceSpec,
        *,
        name: str,
        all_text: bool = False,
    ) -> None:
        if spec.encoding and codecs.lookup(spec.encoding).name not in ("utf-8", "ascii"):
            raise NotSupportedYetError(
                f"JSON lines in {spec.encoding} are not supported yet.", hint="Write UTF-8."
            )
        self.name = name
        self._files = {file.identity: file for file in files}
        self._nulls = frozenset(spec.null_values or ())
        self._all_text = all_text
        keys: dict[str, None] = {}
        self._sampled: list[dict[str, str | None]] = []
        for file in files:
            for record in _sample(file):
                keys.update(dict.fromkeys(record))
                if len(self._sampled) < 20_000:
                    self._sampled.append(record)
            if len(keys) > MOST_KEYS:
                raise SourceFormatError(
                    f"{name}: the sample has {len(keys)} different keys; at most "
                    f"{MOST_KEYS} can be columns.",
                    hint="Keys that are values (ids, dates) belong in rows: write one line for "
                    'each, such as {"key": ..., "value": ...}, or nest them in one object.',
                )
        folded: dict[str, str] = {}
        for key in keys:
            if folded.setdefault(key.lower(), key) != key:
                raise SourceFormatError(
                    f"{name} has the keys {folded[key.lower()]!r} and {key!r}, which differ in "
                    "case only.",
                    hint="Rename one of them where the file is written.",
                )
        if not keys:
            raise SourceFormatError(
                f"{name} has no JSON object with a key at its beginning.",
                hint="JSON lines have one object a line; check the file and its `format`.",
            )
        self._keys = tuple(keys)
        self._nested = frozenset() if all_text else self._nested_keys()

    @property
    def inputs(self) -> tuple[InputIdentity, ...]:
        return tuple(self._files)

    @property
    def schema(self) -> Schema:
        text, nested = LogicalType("string"), LogicalType("json")
        return Schema(
            tuple(Field(key, nested if key in self._nested else text) for key in self._keys)
        )

    @property
    def suggested(self) -> Schema:
        """What the values of the sample say."""
        if self._all_text:
            return self.schema
        size = _batch_rows(self._keys)
        blocks = (
            [[record.get(key) for key in self._keys] for record in self._sampled[at : at + size]]
            for at in range(0, len(self._sampled), size)
        )
        suggested = zip(suggest_types(self._keys, blocks), self.schema, strict=True)
        return Schema(
            tuple(given if given.name in self._nested else field for field, given in suggested)
        )

    def scan(self, input: InputIdentity, *, careful: bool = False) -> JsonLinesScan:
        return JsonLinesScan(self._files[input], self._keys, nested=self._nested, nulls=self._nulls)

    def close(self) -> None:
        """Nothing is held open."""

    def _nested_keys(self) -> frozenset[str]:
        """Keys that hold objects or arrays wherever the sample has a value; those are JSON."""
        kinds: dict[str, set[bool]] = {}
        for record in self._sampled:
            for key, value in record.items():
                if value is not None:
                    kinds.setdefault(key, set()).add(isinstance(value, _Json))
        return frozenset(key for key, found in kinds.items() if found == {True})


class JsonLinesScan:
    """One reading of one file; every line that is not blank is a record."""

    careful = True

    def __init__(
        self,
        file: FileInput,
        keys: tuple[str, ...],
        *,
        nested: frozenset[str],
        nulls: frozenset[str],
    ) -> None:
        self._file = file
        self._keys = keys
        self._nested = nested
        self._known = frozenset(keys)
        self._nulls = nulls
        self._view = new_view_name()
        self._connection: DuckDBPyConnection | None = None
        self._stream: BatchStream | None = None
        self._log: RejectLog | None = None
        self._records = self._good = 0
        self._late: dict[str, int] = {}
        self._late_others = 0
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
        notes = tuple(
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
        held, most = 0, _batch_rows(self._keys)
        for number, line, too_long in _lines(self._file):
            if not line.strip():
                continue
            self._records += 1
            try:
                if too_long:
                    raise NotAnObjectError(f"The line is longer than {MAX_LINE} bytes.")
                record = read_object(line)
            except NotAnObjectError as error:
                log.add(
                    record=self._records,
                    line=number,
                    raw=line.rstrip(b"\r\n"),
                    code="too_long" if too_long else "not_json",
                    message=str(error),
                )
                continue
            self._good += 1
            self._note_late(record)
            for column, key in zip(columns, self._keys, strict=True):
                value = record.get(key)
                if value is not None and key in self._nested and type(value) is str:
                    value = json.dumps(value, ensure_ascii=False)
                column.append(None if value in self._nulls else value)
            held += len(line)
            if len(columns[0]) >= most or held >= BATCH_BYTES:
                yield _batch(columns, schema)
                columns, held = [[] for _ in self._keys], 0
        if columns[0]:
            yield _batch(columns, schema)
        self._finished = True

    def _note_late(self, record: dict[str, str | None]) -> None:
        if not record.keys() <= self._known:
            for key in sorted(record.keys() - self._known):
                if key not in self._late and len(self._late) >= MOST_LATE_KEYS:
                    self._late_others += 1
                else:
                    self._late[key] = self._late.get(key, 0) + 1


def _batch_rows(keys: tuple[str, ...]) -> int:
    return max(1, min(BATCH_ROWS, BATCH_CELLS // len(keys)))


def _batch(columns: list[list[str | None]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [array_of(column, pa.string()) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _lines(file: FileInput) -> Iterator[tuple[int, bytes, bool]]:
    """Physical lines with their numbers; of one that is too long, only the beginning."""
    with file.stored.open() as stream:
        number, first = 0, True
        while line := stream.readline(MAX_LINE + 1):
            number += 1
            too_long = len(line) > MAX_LINE
            rest = line
            while too_long and not rest.endswith(b"\n"):
                rest = stream.readline(MAX_LINE)
                if not rest:
                    break
            if first:
                line, first = line.removeprefix(b"\xef\xbb\xbf"), False
            yield number, line, too_long


def _sample(file: FileInput) -> Iterator[dict[str, str | None]]:
    size = 0
    for _, line, too_long in _lines(file):
        size += len(line)
        if size > SAMPLE:
            return
        if line.strip() and not too_long:
            try:
                yield read_object(line)
            except NotAnObjectError:
                continue
