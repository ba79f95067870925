"""Intervals of months, days and nanoseconds, as files can hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.engines.arrow_values import array_of
from airflow_etl_provider.exceptions import TargetDataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["iso_duration", "storable", "storable_schema", "to_durations"]

DAY = 86_400 * 10**6
"""Microseconds."""


def to_durations(column: pa.Array, *, name: str) -> pa.Array:
    """Exact durations in microseconds.

    :raises TargetDataError: an interval has months, which have no fixed length.
    """
    import pyarrow as pa

    values: list[int | None] = []
    for value in column.to_pylist():
        if value is None:
            values.append(None)
            continue
        if value.months:
            raise TargetDataError(
                f"Column {name!r} holds an interval with months, which is no fixed duration.",
                hint="Convert it to days or to text first.",
            )
        values.append(value.days * DAY + value.nanoseconds // 1000)
    return array_of(values, pa.int64()).cast(pa.duration("us"))


def iso_duration(months: int, days: int, nanoseconds: int) -> str:
    """ISO 8601, such as `P1M2DT3.5S`; `PT0S` when empty."""
    sign = "-" if nanoseconds < 0 else ""
    seconds, rest = divmod(abs(nanoseconds) // 1000, 10**6)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    date = (f"{months}M" if months else "") + (f"{days}D" if days else "")
    time = f"T{sign}{seconds}{fraction}S" if seconds or rest or not date else ""
    return f"P{date}{time}"


def storable_schema(schema: pa.Schema) -> pa.Schema:
    """Parquet has no intervals: they become exact durations."""
    import pyarrow as pa

    return pa.schema(
        [
            field.with_type(pa.duration("us")) if _is_interval(field.type) else field
            for field in schema
        ]
    )


def storable(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The same rows in the types of `storable_schema`."""
    import pyarrow as pa

    columns = [
        to_durations(column, name=field.name) if _is_interval(column.type) else column
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _is_interval(of: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(of == pa.month_day_nano_interval())
