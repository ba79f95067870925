"""Logical types as DuckDB and Arrow know them, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import Kind, LogicalType
from airflow_etl_provider.exceptions import NotSupportedYetError

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

__all__ = [
    "describe_schema",
    "from_arrow",
    "from_arrow_schema",
    "from_duckdb",
    "to_arrow",
    "to_arrow_schema",
    "to_duckdb",
]

# The enum of types is an alias in newer versions of sqlglot, so that it can't be named as a type.
_TO_DUCKDB: dict[Kind, Any] = {
    "bool": exp.DataType.Type.BOOLEAN,
    "int16": exp.DataType.Type.SMALLINT,
    "int32": exp.DataType.Type.INT,
    "int64": exp.DataType.Type.BIGINT,
    "float32": exp.DataType.Type.FLOAT,
    "float64": exp.DataType.Type.DOUBLE,
    "string": exp.DataType.Type.TEXT,
    "binary": exp.DataType.Type.VARBINARY,
    "date": exp.DataType.Type.DATE,
    "time": exp.DataType.Type.TIME,
    "timestamp": exp.DataType.Type.TIMESTAMP,
    "timestamptz": exp.DataType.Type.TIMESTAMPTZ,
    "duration": exp.DataType.Type.INTERVAL,
    "uuid": exp.DataType.Type.UUID,
    "json": exp.DataType.Type.JSON,
}

_FROM_DUCKDB: dict[str, LogicalType] = {
    "boolean": LogicalType("bool"),
    "tinyint": LogicalType("int16"),
    "utinyint": LogicalType("int16"),
    "smallint": LogicalType("int16"),
    "usmallint": LogicalType("int32"),
    "integer": LogicalType("int32"),
    "uinteger": LogicalType("int64"),
    "bigint": LogicalType("int64"),
    "ubigint": LogicalType("decimal", precision=20, scale=0),
    "hugeint": LogicalType("decimal", precision=38, scale=0),
    "float": LogicalType("float32"),
    "double": LogicalType("float64"),
    "varchar": LogicalType("string"),
    "enum": LogicalType("string"),
    "blob": LogicalType("binary"),
    "date": LogicalType("date"),
    "time": LogicalType("time"),
    "timestamp": LogicalType("timestamp"),
    "timestamp_s": LogicalType("timestamp"),
    "timestamp_ms": LogicalType("timestamp"),
    "timestamp_ns": LogicalType("timestamp"),
    "timestamp with time zone": LogicalType("timestamptz"),
    "interval": LogicalType("duration"),
    "uuid": LogicalType("uuid"),
    "json": LogicalType("json"),
}


def to_duckdb(of: LogicalType) -> exp.DataType:
    """Give DuckDB's type as a tree; the length of a string is a check, no type of DuckDB's."""
    if of.kind == "decimal":
        numbers = [exp.Literal.number(of.precision), exp.Literal.number(of.scale)]
        return exp.DataType(
            this=exp.DataType.Type.DECIMAL,
            expressions=[exp.DataTypeParam(this=number) for number in numbers],
        )
    if of.element is not None:
        return exp.DataType(
            this=exp.DataType.Type.ARRAY, expressions=[to_duckdb(of.element)], nested=True
        )
    if of.fields:
        return exp.DataType(
            this=exp.DataType.Type.STRUCT,
            expressions=[
                exp.ColumnDef(this=exp.to_identifier(name, quoted=True), kind=to_duckdb(type_))
                for name, type_ in of.fields
            ],
            nested=True,
        )
    return exp.DataType(this=_TO_DUCKDB[of.kind])


def from_duckdb(of: Any) -> LogicalType:
    """Read a type of DuckDB's (`DuckDBPyType`), as relations and cursors give it.

    Integers without a kind of their own become the next larger one; enums become text.

    :raises NotSupportedYetError: we have no type for it (maps, unions, bits, unsigned 128 bits).
    """
    kind = str(of.id)
    if str(of).upper() == "JSON":
        return LogicalType("json")
    if kind == "decimal":
        numbers = dict(of.children)
        return LogicalType("decimal", precision=numbers["precision"], scale=numbers["scale"])
    if kind in ("list", "array"):
        return LogicalType("array", element=from_duckdb(of.children[0][1]))
    if kind == "struct":
        return LogicalType(
            "struct", fields=tuple((name, from_duckdb(child)) for name, child in of.children)
        )
    if kind in _FROM_DUCKDB:
        return _FROM_DUCKDB[kind]
    raise NotSupportedYetError(f"DuckDB's type {of} is not supported yet.")


def describe_schema(connection: DuckDBPyConnection, query: str) -> Schema:
    """Give the columns of a query of ours, without running it."""
    relation = connection.sql(query)
    return Schema(
        tuple(
            Field(name, from_duckdb(of))
            for name, of in zip(relation.columns, relation.types, strict=True)
        )
    )


def to_arrow(of: LogicalType) -> pa.DataType:
    """Give the Arrow type that DuckDB exports for it, with plain text for uuid and json."""
    import pyarrow as pa

    simple = {
        "bool": pa.bool_(),
        "int16": pa.int16(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "string": pa.string(),
        "binary": pa.binary(),
        "date": pa.date32(),
        "time": pa.time64("us"),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", tz="UTC"),
        "duration": pa.month_day_nano_interval(),
        "uuid": pa.string(),
        "json": pa.string(),
    }
    if of.kind == "decimal":
        return pa.decimal128(of.precision, of.scale)
    if of.element is not None:
        return pa.list_(to_arrow(of.element))
    if of.fields:
        return pa.struct([pa.field(name, to_arrow(type_)) for name, type_ in of.fields])
    return simple[of.kind]


def to_arrow_schema(schema: Schema) -> pa.Schema:
    """Give the Arrow schema of a schema, columns in order."""
    import pyarrow as pa

    return pa.schema([pa.field(f.name, to_arrow(f.type), nullable=f.nullable) for f in schema])


def from_arrow(of: pa.DataType) -> LogicalType:
    """Read an Arrow type; dictionaries are what they hold, unsigned integers the next larger kind.

    :raises NotSupportedYetError: we have no type for it (maps, unions, wide decimals).
    """
    import pyarrow as pa
    from pyarrow import types

    named = _arrow_by_name(of)
    if named is not None:
        return named
    if isinstance(of, pa.BaseExtensionType):
        return from_arrow(of.storage_type)
    if types.is_dictionary(of):
        return from_arrow(of.value_type)
    if types.is_decimal(of) and of.precision <= 38 and 0 <= of.scale <= of.precision:
        return LogicalType("decimal", precision=of.precision, scale=of.scale)
    if types.is_timestamp(of):
        return LogicalType("timestamptz" if of.tz else "timestamp")
    if types.is_list(of) or types.is_large_list(of) or types.is_fixed_size_list(of):
        return LogicalType("array", element=from_arrow(of.value_type))
    if types.is_struct(of) and of.num_fields:
        return LogicalType("struct", fields=tuple((f.name, from_arrow(f.type)) for f in of))
    raise NotSupportedYetError(f"Arrow's type {of} is not supported yet.")


def _arrow_by_name(of: pa.DataType) -> LogicalType | None:
    """Read the types that a test by pyarrow tells apart, and the extensions that have a name."""
    from pyarrow import types

    extension = getattr(of, "extension_name", None)
    if extension in ("arrow.uuid", "arrow.json"):
        return LogicalType("uuid" if extension == "arrow.uuid" else "json")
    tests: tuple[tuple[Any, LogicalType], ...] = (
        (types.is_boolean, LogicalType("bool")),
        (types.is_int8, LogicalType("int16")),
        (types.is_uint8, LogicalType("int16")),
        (types.is_int16, LogicalType("int16")),
        (types.is_uint16, LogicalType("int32")),
        (types.is_int32, LogicalType("int32")),
        (types.is_uint32, LogicalType("int64")),
        (types.is_int64, LogicalType("int64")),
        (types.is_uint64, LogicalType("decimal", precision=20, scale=0)),
        (types.is_float16, LogicalType("float32")),
        (types.is_float32, LogicalType("float32")),
        (types.is_float64, LogicalType("float64")),
        (types.is_string, LogicalType("string")),
        (types.is_large_string, LogicalType("string")),
        (types.is_string_view, LogicalType("string")),
        (types.is_binary, LogicalType("binary")),
        (types.is_large_binary, LogicalType("binary")),
        (types.is_binary_view, LogicalType("binary")),
        (types.is_fixed_size_binary, LogicalType("binary")),
        (types.is_date, LogicalType("date")),
        (types.is_time, LogicalType("time")),
        (types.is_duration, LogicalType("duration")),
        (types.is_interval, LogicalType("duration")),
    )
    return next((logical for test, logical in tests if test(of)), None)


def from_arrow_schema(schema: pa.Schema) -> Schema:
    """Read an Arrow schema, columns in order.

    :raises NotSupportedYetError: a column has a type that we don't know, with its name.
    """
    fields = []
    for field in schema:
        try:
            fields.append(Field(field.name, from_arrow(field.type), nullable=field.nullable))
        except NotSupportedYetError as error:
            raise NotSupportedYetError(f"Column {field.name!r}: {error}") from error
    return Schema(tuple(fields))
