"""Whether a column is of another type, or written another way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from airflow_etl_provider.agents.discovery.drift.chance import shares_differ
from airflow_etl_provider.agents.discovery.drift.changes import DataChange
from airflow_etl_provider.contracts.drift import TypeChanged, contains

if TYPE_CHECKING:
    from airflow_etl_provider.agents.discovery.drift.chance import Difference
    from airflow_etl_provider.agents.discovery.drift.changes import ChangeKind
    from airflow_etl_provider.contracts.drift import Effect
    from airflow_etl_provider.contracts.profile import FieldProfile

__all__ = ["family_of", "type_change"]

_WHOLE = ("int16", "int32", "int64")
_NUMBERS = (*_WHOLE, "decimal", "float32", "float64")
_FRACTIONS = 0.1
"""Of the values, that must have decimals before whole numbers are taken for other ones."""


class Seen(Protocol):
    """How much of a column was looked at."""

    @property
    def present(self) -> float:
        """Values, null words apart."""


def family_of(field: FieldProfile) -> str:
    """What its values are, whatever their size."""
    return "number" if field.type.kind in _NUMBERS else field.type.kind


def type_change(
    was: FieldProfile,
    now: FieldProfile,
    seen_was: Seen,
    seen_now: Seen,
    *,
    declared: bool,
    tests: int,
) -> DataChange | None:
    """Tell whether a column is of another type: by its declaration, or else by its values."""
    if declared and (was.stored != now.stored or not now.stored.is_text):
        return _declared(was, now) if was.stored != now.stored else None
    if was.null_share >= 1 or now.null_share >= 1:
        return None
    if family_of(was) != family_of(now):
        return _other_family(was, now, seen_was, seen_now, tests)
    if family_of(now) == "number" and (was.type.kind in _WHOLE) != (now.type.kind in _WHOLE):
        return _other_numbers(was, now)
    return _other_format(was, now)


def _declared(was: FieldProfile, now: FieldProfile) -> DataChange:
    change = TypeChanged(now.name, was.stored, now.stored)
    kind: ChangeKind = "type_changed"
    if contains(now.stored, was.stored):
        kind = "type_widened"
    elif contains(was.stored, now.stored):
        kind = "type_narrowed"
    return _change(kind, now.name, str(was.stored), str(now.stored), change.effect)


def _other_family(
    was: FieldProfile, now: FieldProfile, seen_was: Seen, seen_now: Seen, tests: int
) -> DataChange | None:
    """Text that was nearly numbers, and is numbers but for a few, is as it was."""
    if _same_words(was, now):
        return None
    difference = None
    if "string" in (was.type.kind, now.type.kind):
        typed = now if was.type.kind == "string" else was
        share_was, share_now = _share_of(typed, was), _share_of(typed, now)
        difference = shares_differ(share_was, seen_was.present, share_now, seen_now.present)
        if not difference.is_news(tests):
            return None
    kind, effect = _named(family_of(was), family_of(now))
    return _change(kind, now.name, str(was.type), str(now.type), effect, difference)


def _named(was: str, now: str) -> tuple[ChangeKind, Effect]:
    """Old readers take what narrows a text for the text it is; all else they can't read."""
    if was == "string":
        return "type_narrowed", "compatible"
    if now == "string" or (was, now) == ("date", "timestamp"):
        return "type_widened", "breaking"
    return "type_changed", "breaking"


def _share_of(typed: FieldProfile, field: FieldProfile) -> float:
    """The share of a column's values that are of the family of another one."""
    if family_of(field) == family_of(typed):
        return field.fits
    if field.almost is None:
        return 0.0
    kind, share = field.almost
    same = kind == typed.type.kind or (kind in _NUMBERS and typed.type.kind in _NUMBERS)
    return share if same else 0.0


def _same_words(was: FieldProfile, now: FieldProfile) -> bool:
    """Whether one has some of the other's few values only: `yes`, where that has `yes` and `no`."""
    before, after = {value for value, _ in was.top}, {value for value, _ in now.top}
    complete = was.distinct == len(before) and now.distinct == len(after)
    return complete and bool(before) and bool(after) and (before <= after or after <= before)


def _other_numbers(was: FieldProfile, now: FieldProfile) -> DataChange | None:
    """Whole numbers and others: one value with decimals among thousands makes no other column."""
    before, after = _whole_share(was), _whole_share(now)
    if before is None or after is None or abs(before - after) < _FRACTIONS:
        return None
    wider = after < before
    kind: ChangeKind = "type_widened" if wider else "type_narrowed"
    effect: Effect = "breaking" if wider and was.stored.is_text else "compatible"
    return _change(kind, now.name, str(was.type), str(now.type), effect)


def _whole_share(field: FieldProfile) -> float | None:
    if field.type.kind in _WHOLE:
        return 1.0
    if field.quantiles_of != "value" or not field.quantiles:
        return None
    return sum(point == int(point) for point in field.quantiles) / len(field.quantiles)


def _other_format(was: FieldProfile, now: FieldProfile) -> DataChange | None:
    if was.type.kind == "string" or was.format == now.format:
        return None
    if family_of(now) == "number":
        points = {_point(was.format), _point(now.format)} - {None}
        if len(points) < 2:
            return None
    elif _forms(was) & _forms(now):
        return None
    before, after = (was.format or "ISO 8601"), (now.format or "ISO 8601")
    if family_of(now) == "number":
        before, after = (was.format or "1234.5"), (now.format or "1234.5")
    return DataChange(
        "format_changed",
        "breaking",
        "warning",
        f"{now.name!r} was written {before} and is written {after}",
        column=now.name,
        was=before,
        now=after,
    )


def _forms(field: FieldProfile) -> set[str]:
    return set((field.format or "").split(" | "))


def _point(form: str | None) -> str | None:
    """The decimal sign of `1.234,5`; None where the values have no decimals."""
    if form is None:
        return "."
    return form[-2] if form.endswith("5") and len(form) > 1 else None


def _change(
    kind: ChangeKind,
    name: str,
    was: str,
    now: str,
    effect: Effect,
    difference: Difference | None = None,
) -> DataChange:
    return DataChange(
        kind,
        effect,
        "warning" if effect == "breaking" else "info",
        f"{name!r} was {was} and is {now}",
        column=name,
        was=was,
        now=now,
        evidence={} if difference is None else difference.to_dict(),
    )
