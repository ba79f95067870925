"""Batches on their way into a target: checked, fitted to its types, marked with the load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.arrow_values import scalar_of
from airflow_etl_provider.exceptions import SpecificationError, TargetDataError, TargetSchemaError

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

    from airflow_etl_provider.engines.targets.base import WriteSpec

__all__ = ["LOADED_AT", "LOAD_ID", "fitted", "with_load_columns"]

LOAD_ID = "_etl_load_id"
LOADED_AT = "_etl_loaded_at"


def with_load_columns(schema: Schema, write: WriteSpec) -> Schema:
    """The columns of the table: those of the load, and the two that mark it where asked for.

    :raises SpecificationError: the load has a column of that name.
    """
    if not write.load_columns:
        return schema
    taken = {field.name.lower() for field in schema} & {LOAD_ID, LOADED_AT}
    if taken:
        raise SpecificationError(
            f"The load has a column {min(taken)!r}, which `load_columns: true` adds itself.",
            hint="Map that column to another name.",
        )
    return Schema(
        (
            *schema.fields,
            Field(LOAD_ID, LogicalType("string")),
            Field(LOADED_AT, LogicalType("timestamptz")),
        )
    )


def fitted(
    batch: pa.RecordBatch,
    schema: pa.Schema,
    *,
    load_id: str | None = None,
    loaded_at: datetime | None = None,
) -> pa.RecordBatch:
    """The same rows with exactly the types of `schema`, and the load columns when there is an id.

    :raises TargetSchemaError: the columns are not those that were agreed.
    :raises TargetDataError: a value does not fit; the value is not told.
    """
    import pyarrow as pa

    columns: list[pa.Array] = list(batch.columns)
    names = list(batch.schema.names)
    if load_id is not None:
        columns.append(pa.repeat(scalar_of(load_id, pa.string()), batch.num_rows))
        moment = scalar_of(loaded_at, pa.timestamp("us", "UTC"))
        columns.append(pa.repeat(moment, batch.num_rows))
        names += [LOAD_ID, LOADED_AT]
    if names != schema.names:
        raise TargetSchemaError(
            f"The rows have the columns {', '.join(names)}, but {', '.join(schema.names)} were "
            "agreed at the beginning of the load."
        )
    return pa.RecordBatch.from_arrays(
        [_cast(column, field) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def _cast(column: Any, field: pa.Field) -> pa.Array:
    import pyarrow as pa

    if column.null_count and not field.nullable:
        raise TargetDataError(
            f"Column {field.name!r} may not be NULL, but {column.null_count} rows of a batch are."
        )
    if column.type == field.type:
        return column
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid:
        # Arrow's own message quotes the value.
        raise TargetDataError(
            f"A value of column {field.name!r} ({column.type}) does not fit {field.type}."
        ) from None
    except pa.ArrowNotImplementedError as error:
        raise TargetSchemaError(
            f"Column {field.name!r} arrives as {column.type}, which can't become {field.type}."
        ) from error
