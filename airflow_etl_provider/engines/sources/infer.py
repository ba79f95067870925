"""Suggest types for text columns from a sample of their values; in doubt they stay text.

What does not fit a suggested type later is rejected, so a wrong guess costs records and text costs
nothing: codes with leading zeros, padded values, mixed formats and empty strings are all text.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import MAX_PRECISION, LogicalType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["suggest_type", "suggest_types"]

STRING = LogicalType("string")

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_DECIMAL = re.compile(r"(-?)(0|[1-9]\d*)(?:\.(\d+))?")
_FLOAT = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,2})?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIMESTAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2})(:\d{2}(?:\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?"
)

_MOST_DECIMALS = 18
"""More digits after the point come from binary floating point."""

_SPARE_DIGITS = 6
"""Room before the point for larger numbers than the sample holds."""


def suggest_types(names: Sequence[str], rows: Iterable[Sequence[Sequence[str | None]]]) -> Schema:
    """Suggest a schema from blocks of rows; None is no evidence."""
    distinct: list[dict[str, None]] = [{} for _ in names]
    for block in rows:
        for values, column in zip(distinct, zip(*block, strict=True), strict=False):
            values.update(dict.fromkeys(value for value in column if value is not None))
    return Schema(
        tuple(
            Field(name, suggest_type(values)) for name, values in zip(names, distinct, strict=True)
        )
    )


def suggest_type(values: Iterable[str]) -> LogicalType:
    """Name the narrowest type that all values have beyond doubt, text when there are none."""
    texts = list(values)
    if not texts:
        return STRING
    if all(value.lower() in ("true", "false") for value in texts):
        return LogicalType("bool")
    if all(_INTEGER.fullmatch(value) for value in texts):
        return STRING if "-0" in texts else LogicalType("int64")
    number = _number(texts)
    if number is not None:
        return number
    if all(_DATE.fullmatch(value) and _is_date(value) for value in texts):
        return LogicalType("date")
    return _timestamp(texts) or STRING


def _number(texts: list[str]) -> LogicalType | None:
    before = after = 0
    lengths = set()
    for value in texts:
        match = _DECIMAL.fullmatch(value)
        if match is None:
            break
        before = max(before, len(match[2]))
        lengths.add(len(match[3] or ""))
    else:
        after = max(lengths)
        if after == 0 or before + after > MAX_PRECISION:
            return None if before + after > MAX_PRECISION else STRING
        if after > _MOST_DECIMALS:
            return LogicalType("float64")
        spare = 0 if len(lengths) == 1 else 2
        scale = min(after + spare, MAX_PRECISION - before)
        precision = min(max(before + _SPARE_DIGITS, 12) + scale, MAX_PRECISION)
        return LogicalType("decimal", precision=precision, scale=scale)
    if all(_FLOAT.fullmatch(value) for value in texts) and any("." in value for value in texts):
        return LogicalType("float64")
    return None


def _timestamp(texts: list[str]) -> LogicalType | None:
    zoned = set()
    for value in texts:
        match = _TIMESTAMP.fullmatch(value)
        if match is None or not _is_timestamp(match[1] + (match[2] or "")[:3]):
            return None
        zoned.add(match[3] is not None)
    if len(zoned) > 1:
        return None
    return LogicalType("timestamptz" if zoned.pop() else "timestamp")


def _is_date(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_timestamp(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
