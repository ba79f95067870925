"""Parquet files: typed records, counted by their footers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.types import from_arrow_schema
from airflow_etl_provider.engines.sources.base import Account
from airflow_etl_provider.engines.sources.files import is_unchanged
from airflow_etl_provider.engines.sources.stream import BatchStream, drop_stream, new_view_name
from airflow_etl_provider.engines.strict_json import to_json
from airflow_etl_provider.exceptions import (
    NotSupportedYetError,
    SourceError,
    SourceFormatError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    import pyarrow as pa
    import pyarrow.parquet as pq
    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.engines.sources.files import FileInput
    from airflow_etl_provider.exceptions import EtlError

__all__ = ["ParquetSource"]

BATCH_ROWS = 32_768
BATCH_BYTES = 8 * 2**20


class ParquetSource:
    """Parquet files with one schema; its types are the source's types.

    :param all_text: every value as DuckDB writes it; what is nested as JSON.
    """

    def __init__(self, files: tuple[FileInput, ...], *, name: str, all_text: bool = False) -> None:
        self.name = name
        self.format = "parquet"
        self.dialect = None
        self._all_text = all_text
        self._files = {file.identity: file for file in files}
        self._rows: dict[InputIdentity, int] = {}
        schemas = [self._inspect(file) for file in files]
        known = _known_types(schemas)
        for file, schema in zip(files, schemas, strict=True):
            _expect_same_columns(file, schema, first=files[0], expected=known)
        typed = _nulls_as_text(known)
        self._arrow = typed if all_text else _in_microseconds(typed)
        self.schema = from_arrow_schema(self._arrow)
        if all_text:
            self.schema = Schema(
                tuple(Field(field.name, LogicalType("string")) for field in self.schema)
            )

    @property
    def inputs(self) -> tuple[InputIdentity, ...]:
        return tuple(self._files)

    @property
    def suggested(self) -> Schema:
        return self.schema

    def scan(self, input: InputIdentity, *, careful: bool = False) -> ParquetScan:
        return ParquetScan(
            self._files[input],
            self._arrow,
            records=self._rows[input],
            all_text=self._all_text,
        )

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
            with file.stored.stored() as stream, pq.ParquetFile(stream) as parquet:
                self._rows[file.identity] = parquet.metadata.num_rows
                schema = parquet.schema_arrow
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceFormatError(
                f"{file.identity.name} is no readable Parquet file.",
                hint="It is damaged, cut off, or of another format.",
            ) from error
        _expect_plain_names(schema.names, file=file.identity.name)
        try:
            from_arrow_schema(_nulls_as_text(schema))
        except NotSupportedYetError as error:
            raise NotSupportedYetError(f"{file.identity.name}: {error}") from error
        return schema


class ParquetScan:
    """One reading of one file; the footer's count is the independent one."""

    careful = True

    def __init__(self, file: FileInput, schema: pa.Schema, *, records: int, all_text: bool) -> None:
        self._all_text = all_text
        self._file = file
        self._schema = schema
        self._records = records
        self._view = new_view_name()
        self._connection: DuckDBPyConnection | None = None
        self._stream: BatchStream | None = None

    @property
    def input(self) -> InputIdentity:
        return self._file.identity

    def relation(self, connection: DuckDBPyConnection) -> str:
        if self._connection is not connection:
            self._connection = connection
            stream = self._stream = BatchStream(self._schema, self._batches)
            if self._all_text:
                stream.register(connection, f"{self._view}_typed")
                connection.execute(_text_view(self._view, self._schema))
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
        return to_json(fields).encode()

    def close(self) -> None:
        if self._connection is not None:
            drop_stream(self._connection, self._view)
            drop_stream(self._connection, f"{self._view}_typed")
            self._connection = None

    def _batches(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self._file.stored.path) as parquet:
                for group in range(parquet.num_row_groups):
                    rows = _batch_rows(parquet.metadata.row_group(group))
                    for batch in parquet.iter_batches(batch_size=rows, row_groups=[group]):
                        columns = [
                            _exactly(batch.column(field.name), field, file=self.input.name)
                            for field in self._schema
                        ]
                        yield pa.RecordBatch.from_arrays(columns, schema=self._schema)
        except (pa.ArrowException, OSError) as error:
            raise SourceFormatError(
                f"{self.input.name} can't be read to its end as Parquet.",
                hint="The file is damaged; fetch it again.",
            ) from error


def _batch_rows(group: pq.RowGroupMetaData) -> int:
    """Rows that make about BATCH_BYTES, going by the whole row group before compression."""
    each = max(int(group.total_byte_size) // max(int(group.num_rows), 1), 1)
    return max(1, min(BATCH_ROWS, BATCH_BYTES // each))


def _exactly(column: pa.Array, field: pa.Field, *, file: str) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_null(column.type):
        return pa.nulls(len(column), field.type)
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid:
        raise SourceFormatError(
            f"Column {field.name!r} of {file} holds times that are finer than a microsecond.",
            hint="Write the file in microseconds, or load the column as text (`--all-text`).",
        ) from None


def _in_microseconds(schema: pa.Schema) -> pa.Schema:
    """The finest that our types and most targets hold; pandas writes nanoseconds by habit."""
    import pyarrow as pa

    return pa.schema([field.with_type(_inside(field.type, _coarser)) for field in schema])


def _nulls_as_text(schema: pa.Schema) -> pa.Schema:
    """Columns without a type, which pandas writes where no row has a value."""
    import pyarrow as pa

    def text(of: pa.DataType) -> pa.DataType:
        return pa.string() if pa.types.is_null(of) else of

    return pa.schema([field.with_type(_inside(field.type, text)) for field in schema])


def _known_types(schemas: list[pa.Schema]) -> pa.Schema:
    """The first file's columns; one without a type has that of the first file that knows it."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {}
    for field in (field for schema in schemas for field in schema):
        if not pa.types.is_null(field.type):
            types.setdefault(field.name, field.type)
    return pa.schema([field.with_type(types.get(field.name, field.type)) for field in schemas[0]])


def _inside(of: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """Change a type, or those that a list or struct holds."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_list(of):
        return pa.list_(_inside(of.value_type, change))
    if types.is_struct(of):
        return pa.struct([field.with_type(_inside(field.type, change)) for field in of])
    return change(of)


def _coarser(of: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    if getattr(of, "unit", None) != "ns":
        return of
    if types.is_timestamp(of):
        return pa.timestamp("us", of.tz)
    return pa.duration("us") if types.is_duration(of) else pa.time64("us")


def _expect_plain_names(names: list[str], *, file: str) -> None:
    """Refuse what DuckDB and most targets can't tell apart.

    :raises SourceFormatError: there is no column, one has no name, or two have the same.
    """
    if not names:
        raise SourceFormatError(f"{file} has no columns.", hint="Check what writes the file.")
    hint = "Name the columns differently where the file is written."
    folded: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        if not name:
            raise SourceFormatError(f"{file}: column {number} has no name.", hint=hint)
        first = folded.get(name.lower())
        if first == name:
            raise SourceFormatError(f"{file} has two columns named {name!r}.", hint=hint)
        if first is not None:
            raise SourceFormatError(
                f"{file} has the columns {first!r} and {name!r}, which differ in case only.",
                hint=hint,
            )
        folded[name.lower()] = name


def _expect_same_columns(
    file: FileInput, schema: pa.Schema, *, first: FileInput, expected: pa.Schema
) -> None:
    """Other order is fine: columns are matched by name.

    :raises SourceFormatError: columns are missing, extra, or of another type.
    """
    from pyarrow.types import is_null

    types = {field.name: field.type for field in schema}
    wanted = {field.name: field.type for field in expected}
    said = [f"without {name!r}" for name in wanted if name not in types]
    said += [f"with {name!r}" for name in types if name not in wanted]
    said += [
        f"with {name!r} as {types[name]} and not {of}"
        for name, of in wanted.items()
        if name in types and types[name] != of and not is_null(types[name])
    ]
    if said:
        raise SourceFormatError(
            f"{file.identity.name} has other columns than {first.identity.name}: it is "
            f"{', '.join(said[:10])}.",
            hint="Load files of one schema together.",
        )


def _text_view(name: str, schema: pa.Schema) -> str:
    """Write the statement that creates a view with every column as text."""
    from pyarrow import types

    columns = []
    for field in schema:
        column: exp.Expression = exp.column(field.name, quoted=True)
        if types.is_nested(field.type):
            column = exp.Anonymous(this="to_json", expressions=[column])
        columns.append(exp.alias_(exp.cast(column, "TEXT"), field.name, quoted=True))
    query = exp.select(*columns).from_(exp.to_table(f"{name}_typed"))
    create = exp.Create(this=exp.to_table(name), kind="VIEW", replace=True, expression=query)
    return create.sql(dialect="duckdb")
