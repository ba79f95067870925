"""What `cast` may do: which types become which, strictly, and what to write where it may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.conversions.base import NUMBERS

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.types import Kind, LogicalType

__all__ = ["cast_refusal", "holds"]

_FROM_TEXT: frozenset[Kind] = NUMBERS | frozenset(
    ("bool", "string", "binary", "date", "time", "timestamp", "timestamptz", "uuid", "json")
)
_TO_TEXT: frozenset[Kind] = _FROM_TEXT | frozenset(("duration",))

_INSTEAD: dict[tuple[Kind, Kind], str] = {
    ("timestamp", "timestamptz"): "whose local time it is is not known: use to_timezone",
    ("date", "timestamptz"): "whose midnight is not known: use cast to timestamp, then to_timezone",
    ("timestamptz", "timestamp"): "the time zone it is wanted in is not known: use to_timezone",
    ("timestamptz", "date"): "the time zone it is wanted in is not known: use to_timezone first",
    ("timestamp", "time"): "it would lose the date: use format_date and parse_time",
    ("string", "duration"): "its unit is not known: use parse_duration",
    ("string", "array"): "use array_split, or json_parse",
    ("string", "struct"): "use json_parse",
    ("array", "string"): "use array_join",
}


def holds(target: LogicalType, given: LogicalType) -> bool:
    """Whether every value of `given` is one of `target` as it stands."""
    if target.kind == given.kind == "string":
        return target.length is None or (given.length is not None and given.length <= target.length)
    return target == given


def cast_refusal(given: LogicalType, target: LogicalType) -> str | None:
    """Tell in words why no value of `given` can be cast to `target`; None where some can."""
    if holds(target, given):
        return None
    words = f"cast makes no {target} of {given}"
    if (given.kind, target.kind) in _INSTEAD:
        return f"{words}: {_INSTEAD[given.kind, target.kind]}"
    if given.kind == "string" and target.kind in _FROM_TEXT:
        return None
    if target.kind == "string" and given.kind in _TO_TEXT:
        return None
    if given.kind in NUMBERS and target.kind in NUMBERS:
        return None
    if "bool" in (given.kind, target.kind) and {given.kind, target.kind} <= NUMBERS | {"bool"}:
        return None
    if (given.kind, target.kind) in (("date", "timestamp"), ("timestamp", "date")):
        return None
    if target.kind == "json" and given.kind in NUMBERS | {"bool", "array", "struct"}:
        return None
    if given.kind == "json":
        return f"{words}: use json_path (`$` for the whole) first, which makes text"
    if given.element is not None and target.element is not None:
        return cast_refusal(given.element, target.element)
    return words
