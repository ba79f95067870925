"""Records as JSON and back: for the API, and for rows of a table."""

from __future__ import annotations

import math
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_etl_provider.metadata.records.base import Record

__all__ = ["record_from_json", "record_from_row", "record_to_json", "record_to_row"]

R = TypeVar("R", bound="Record")


@cache
def _shapes(record: type[Record]) -> tuple[tuple[str, bool, bool], ...]:
    """Per field: its name, and whether it holds a moment or a tuple."""
    return tuple(
        (field.name, "datetime" in str(field.type), str(field.type).startswith("tuple"))
        for field in fields(record)  # type: ignore[arg-type]
    )


def record_to_row(record: Record) -> dict[str, Any]:
    """Give the values by column: moments as they are, no character that a database refuses."""
    return {
        name: getattr(record, name) if is_moment else storable(getattr(record, name))
        for name, is_moment, _ in _shapes(type(record))
    }


def record_from_row(record: type[R], row: Mapping[Any, Any]) -> R:
    """Make a record of a row's values."""
    return record(
        **{
            name: tuple(row[name]) if is_tuple and row[name] is not None else row[name]
            for name, _, is_tuple in _shapes(record)
        }
    )


def record_to_json(record: Record) -> dict[str, Any]:
    """JSON-ready: moments in ISO 8601, in UTC as they came."""
    row = record_to_row(record)
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def record_from_json(record: type[R], content: Mapping[str, Any]) -> R:
    """Read a record back; keys that a newer version added are left out.

    :raises SpecificationError: a key is missing, or a moment is none.
    """
    values: dict[str, Any] = {}
    for name, is_moment, is_tuple in _shapes(record):
        if name not in content:
            continue
        value = content[name]
        if is_moment and value is not None:
            try:
                value = datetime.fromisoformat(value.replace("Z", "+00:00"))
            except (ValueError, AttributeError) as error:
                raise SpecificationError(
                    f"{record.COLLECTION}.{name} is no moment such as 2026-11-20T09:14:00Z."
                ) from error
        values[name] = tuple(value) if is_tuple and value is not None else value
    try:
        return record(**values)
    except TypeError as error:
        missing = [name for name, _, _ in _shapes(record) if name not in values]
        raise SpecificationError(
            f"A record of {record.COLLECTION} lacks something: {', '.join(missing)} were not given."
        ) from error


def storable(value: Any) -> Any:
    """Replace what no database stores: NUL and half characters in text, NaN and infinity in JSON.

    Text that comes from foreign systems (error messages, names of files) may hold any of them, and
    a recording must not fail for it.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {_text(str(name)): _in_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_in_json(item) for item in value]
    return value


def _in_json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    return storable(value)


def _text(text: str) -> str:
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text
