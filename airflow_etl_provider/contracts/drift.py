"""Drift: the typed difference of two schemas, of which each change knows how much it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_etl_provider.contracts.types import MAX_PRECISION, LogicalType

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.schema import Schema

__all__ = [
    "Change",
    "Effect",
    "FieldAdded",
    "FieldRemoved",
    "FingerprintChanged",
    "TypeChanged",
    "compare_schemas",
    "contains",
    "widened",
]

Effect = Literal["additive", "compatible", "breaking"]
"""What a change means to those who read: more than before, the same values, or other ones."""


@dataclass(frozen=True, slots=True)
class FieldAdded:
    """A field that was not there."""

    name: str
    type: LogicalType

    @property
    def effect(self) -> Effect:
        return "additive"

    @property
    def breaking(self) -> bool:
        return False

    def describe(self) -> str:
        return f"{self.name!r} ({self.type}) is new"


@dataclass(frozen=True, slots=True)
class FieldRemoved:
    """A field that is gone."""

    name: str
    type: LogicalType

    @property
    def effect(self) -> Effect:
        return "breaking"

    @property
    def breaking(self) -> bool:
        return True

    def describe(self) -> str:
        return f"{self.name!r} ({self.type}) is gone"


@dataclass(frozen=True, slots=True)
class TypeChanged:
    """A field of another type: a narrower one, a wider one, or one of another kind."""

    name: str
    was: LogicalType
    now: LogicalType

    @property
    def effect(self) -> Effect:
        fits = contains(self.was, self.now) or contains(self.now, self.was)
        return "compatible" if fits else "breaking"

    @property
    def breaking(self) -> bool:
        return self.effect == "breaking"

    @property
    def widens(self) -> bool:
        """Whether what held the old values is too narrow for the new ones, and could be wider."""
        wider = widened(self.was, self.now)
        return wider is not None and wider != self.was

    def describe(self) -> str:
        return f"{self.name!r} was {self.was} and is {self.now}"


@dataclass(frozen=True, slots=True)
class FingerprintChanged:
    """Something is another than it was, and nothing but a hash says how it was."""

    was: str
    now: str

    @property
    def effect(self) -> Effect:
        return "breaking"

    @property
    def breaking(self) -> bool:
        return True

    def describe(self) -> str:
        return f"the fingerprint was {self.was[:12]} and is {self.now[:12]}"


Change = FieldAdded | FieldRemoved | TypeChanged | FingerprintChanged


def compare_schemas(was: Schema, now: Schema) -> tuple[Change, ...]:
    """Tell what changed, by name; the order of fields does not count."""
    changes: list[Change] = []
    for field in was:
        if field.name not in now:
            changes.append(FieldRemoved(field.name, field.type))
        elif now[field.name].type != field.type:
            changes.append(TypeChanged(field.name, field.type, now[field.name].type))
    changes += [FieldAdded(field.name, field.type) for field in now if field.name not in was]
    return tuple(changes)


_INTEGER_DIGITS = {"int16": 5, "int32": 10, "int64": 19}


def contains(wide: LogicalType, narrow: LogicalType) -> bool:
    """Whether every value of `narrow` is one of `wide`."""
    if wide == narrow:
        return True
    if wide.element is not None and narrow.element is not None:
        return contains(wide.element, narrow.element)
    if wide.kind == narrow.kind == "string":
        return wide.length is None or (narrow.length is not None and narrow.length <= wide.length)
    if wide.is_integer and narrow.is_integer:
        return _INTEGER_DIGITS[wide.kind] >= _INTEGER_DIGITS[narrow.kind]
    if wide.kind == "float64":
        return narrow.kind in ("float32", "int16", "int32")
    if wide.kind == "decimal" and (digits := _digits(narrow)):
        before, after = _digits(wide) or (0, 0)
        return digits[0] <= before and digits[1] <= after
    return False


def widened(held: LogicalType, coming: LogicalType) -> LogicalType | None:
    """Give the narrowest type that holds the values of both; None where no number or text does."""
    if contains(held, coming):
        return held
    if contains(coming, held):
        return coming
    mine, other = _digits(held), _digits(coming)
    if mine is None or other is None:
        return None
    before, after = max(mine[0], other[0]), max(mine[1], other[1])
    if before + after > MAX_PRECISION:
        return None
    return LogicalType("decimal", precision=before + after, scale=after)


def _digits(of: LogicalType) -> tuple[int, int] | None:
    """Digits before and after the point, of exact numbers."""
    if of.is_integer:
        return _INTEGER_DIGITS[of.kind], 0
    if of.kind == "decimal" and of.precision is not None and of.scale is not None:
        return of.precision - of.scale, of.scale
    return None
