"""Record batches as the text of a CSV file, column by column in Arrow's own code.

NULL is an empty field and an empty string is `""`; records end with CRLF. In a file of one column
NULL is `""` too, because an empty line is no record.
"""

from __future__ import annotations

import base64
import json
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.engines.arrow_values import array_of, scalar_of
from airflow_etl_provider.engines.targets.intervals import iso_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = ["csv_lines", "header_line"]

NEWLINE = "\r\n"

_QUOTED = r"[\",\r\n]|^[ \t\x{feff}#]|[ \t]$|^$"
"""Fields that need quotes: by the standard, and those that lenient readers would trim or skip."""


def header_line(names: Sequence[str]) -> bytes:
    """The header record."""
    import pyarrow as pa

    return bytes(_joined([_quoted(array_of([name], pa.large_string())) for name in names]))


def csv_lines(batch: pa.RecordBatch) -> memoryview:
    """All rows of a batch as records."""
    import pyarrow.compute as pc

    columns = [_quoted(as_text(column)) for column in batch.columns]
    empty = _text_scalar('""' if len(columns) == 1 else "")
    return _joined([pc.fill_null(column, empty) for column in columns])


def _quoted(column: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    needs = pc.match_substring_regex(column, _QUOTED)
    if not pc.any(needs).as_py():
        return column
    inner = pc.replace_substring(column, '"', '""')
    quote = _text_scalar('"')
    return pc.if_else(
        needs, pc.binary_join_element_wise(quote, inner, quote, _text_scalar("")), column
    )


def _joined(columns: Sequence[pa.Array]) -> memoryview:
    import pyarrow.compute as pc

    rows = pc.binary_join_element_wise(*columns, _text_scalar(","))
    lines = pc.binary_join_element_wise(rows, _text_scalar(NEWLINE), _text_scalar(""))
    _, offsets, values = lines.buffers()
    if values is None:
        return memoryview(b"")
    ends = memoryview(offsets).cast("q")
    return memoryview(values)[ends[lines.offset] : ends[lines.offset + len(lines)]]


def _text_scalar(text: str) -> pa.Scalar:
    import pyarrow as pa

    return scalar_of(text, pa.large_string())


def as_text(column: pa.Array) -> pa.Array:
    """Values as text that reads back: ISO 8601 dates and times, plain decimals, JSON."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text, of = pa.large_string(), column.type
    if pa.types.is_boolean(of) or pa.types.is_integer(of) or pa.types.is_floating(of):
        return column.cast(text)
    if pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_string_view(of):
        return column.cast(text)
    if pa.types.is_date(of):
        return column.cast(text)
    if pa.types.is_timestamp(of) or pa.types.is_time(of):
        iso = pc.replace_substring(column.cast(text), " ", "T")
        return pc.replace_substring_regex(iso, r"\.0+(Z?)$", r"\1")
    if pa.types.is_decimal(of) and of.scale <= 6:
        # Beyond that Arrow writes small numbers as 1E-10.
        return column.cast(text)
    values = [None if value is None else _plain(value) for value in column.to_pylist()]
    return array_of(values, text)


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, tuple) and hasattr(value, "nanoseconds"):
        return iso_duration(*value)
    return json.dumps(value, ensure_ascii=False, default=_json_value)


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        # An instant is written in UTC, whatever zone Arrow hands it over in.
        return (value.astimezone(timezone.utc) if value.tzinfo else value).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return _plain(value)
