"""What changed in one column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_etl_provider.agents.discovery.drift.chance import (
    ALPHA,
    all_on_one_side,
    categories_differ,
    shares_differ,
    spreads_differ,
)
from airflow_etl_provider.agents.discovery.drift.changes import DataChange
from airflow_etl_provider.agents.discovery.drift.types import type_change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.agents.discovery.drift.chance import Difference
    from airflow_etl_provider.contracts.profile import DatasetProfile, FieldProfile

__all__ = ["Look", "categories_of", "column_changes", "spread_of"]

_MOST_CATEGORIES = 50
_MOSTLY_DIFFERENT = 0.9
_OTHER_WORDS = 0.3
"""Cohen's h from which on other words for NULL are news: whether 9999 is one
among 1 % of the values depends on a few of them."""

_MOVING = ("date", "timestamp", "timestamptz")


@dataclass(frozen=True, slots=True)
class Look:
    """One column at one look.

    :param present: values that were looked at, null words apart.
    """

    field: FieldProfile
    dataset: DatasetProfile

    @property
    def present(self) -> float:
        return self.dataset.looked_at * (1 - self.field.null_share)

    @property
    def identifies(self) -> bool:
        """Whether its values are new ones with every row, so that they always move on."""
        there = self.dataset.rows * (1 - self.field.null_share)
        counted = self.field.type.kind in ("int16", "int32", "int64", "string", "uuid")
        single = (self.field.name,) in self.dataset.keys
        return single or (counted and self.field.distinct >= _MOSTLY_DIFFERENT * there)


def column_changes(was: Look, now: Look, *, tests: int) -> Iterator[DataChange]:
    """Tell what changed in a column, its name apart.

    :param tests: how many comparisons are made in all.
    """
    declared_anew = was.field.required != now.field.required and _declares(now.dataset)
    if declared_anew:
        yield _declared_nullability(was.field, now.field)
    if not was.dataset.rows or not now.dataset.rows:
        return
    if not declared_anew:
        yield from _null_changes(was, now, tests)
    declared = _declares(was.dataset) and _declares(now.dataset)
    changed = type_change(was.field, now.field, was, now, declared=declared, tests=tests)
    if changed is not None:
        yield changed
        return
    yield from _value_changes(was, now, tests)
    yield from _key_changes(was, now, tests)
    yield from _spread_changes(was, now, tests)


def _declares(dataset: DatasetProfile) -> bool:
    """Whether the types of columns are declared, and not made of the values that were seen."""
    return dataset.format in ("table", "parquet")


def _declared_nullability(was: FieldProfile, now: FieldProfile) -> DataChange:
    """Tell that a column is declared NOT NULL, or no more."""
    return DataChange(
        "nullability_changed",
        "compatible" if now.required else "breaking",
        "info" if now.required else "warning",
        f"{now.name!r} is declared NOT NULL"
        if now.required
        else f"{now.name!r} was declared NOT NULL, and may be NULL now",
        column=now.name,
        was="NOT NULL" if was.required else "NULL",
        now="NOT NULL" if now.required else "NULL",
    )


def _null_changes(was: Look, now: Look, tests: int) -> Iterator[DataChange]:
    before, after = was.field.null_share, now.field.null_share
    rows_before, rows_after = was.dataset.measured, now.dataset.measured
    name = now.field.name
    difference = shares_differ(before, rows_before, after, rows_after)
    same_words = was.field.null_words.keys() == now.field.null_words.keys()
    if not same_words and difference.effect < _OTHER_WORDS:
        return
    appeared, gone = not before and after > 0, not after and before > 0
    if appeared or gone:
        p = (
            all_on_one_side(after * rows_after, here=rows_after, there=rows_before)
            if appeared
            else all_on_one_side(before * rows_before, here=rows_before, there=rows_after)
        )
        if p < ALPHA / tests:
            share = f"{after if appeared else before:.2%}"
            yield DataChange(
                "nullability_changed",
                "breaking" if appeared else "compatible",
                "warning" if appeared else "info",
                f"{name!r} had no NULL, and {share} of its values are NULL now"
                if appeared
                else f"{name!r} has no NULL any more; {share} of its values were NULL",
                column=name,
                was=round(before, 6),
                now=round(after, 6),
                evidence={"test": "all on one side", "p": float(f"{p:.3g}")},
            )
            return
    if difference.is_news(tests):
        yield DataChange(
            "null_share_changed",
            "compatible",
            "warning",
            f"of {name!r}, {before:.1%} were NULL and {after:.1%} are",
            column=name,
            was=round(before, 6),
            now=round(after, 6),
            evidence=difference.to_dict(),
        )


def categories_of(field: FieldProfile) -> dict[str, int]:
    """Give all values with how often they were seen; none where there are too many."""
    if field.distinct == len(field.top) <= _MOST_CATEGORIES:
        return dict(field.top)
    return {}


def _value_changes(was: Look, now: Look, tests: int) -> Iterator[DataChange]:
    """Tell values that came or went, of columns with few of them."""
    before, after = categories_of(was.field), categories_of(now.field)
    if not before or not after:
        return
    for value in sorted(after.keys() - before.keys()):
        p = all_on_one_side(after[value], here=now.present, there=was.present)
        if p < ALPHA / tests:
            yield _value_change(now.field.name, value, after[value], p, came=True)
    for value in sorted(before.keys() - after.keys()):
        p = all_on_one_side(before[value], here=was.present, there=now.present)
        if p < ALPHA / tests:
            yield _value_change(now.field.name, value, before[value], p, came=False)


def _value_change(name: str, value: str, count: int, p: float, *, came: bool) -> DataChange:
    return DataChange(
        "value_added" if came else "value_removed",
        "additive" if came else "compatible",
        "warning" if came else "info",
        f"{name!r} has the new value {value!r}" if came else f"{name!r} has no {value!r} any more",
        column=name,
        was=None if came else value,
        now=value if came else None,
        evidence={"test": "all on one side", "p": float(f"{p:.3g}"), "count": count},
    )


def _key_changes(was: Look, now: Look, tests: int) -> Iterator[DataChange]:
    """Tell that a column no longer tells rows apart."""
    name = now.field.name
    if (was.field.name,) not in was.dataset.keys or not now.field.repeats:
        return
    # Equal values are found in pairs of rows, of which there are as the square of the rows.
    p = all_on_one_side(
        now.field.repeats, here=now.dataset.looked_at**2, there=was.dataset.looked_at**2
    )
    if p < ALPHA / tests:
        yield DataChange(
            "key_lost",
            "breaking",
            "warning",
            f"{name!r} told all rows apart; now {now.field.repeats:,} of "
            f"{now.dataset.looked_at:,} rows repeat a value of it",
            column=name,
            was="unique",
            now=now.field.repeats,
            evidence={"test": "all on one side", "p": float(f"{p:.3g}")},
        )


def _spread_changes(was: Look, now: Look, tests: int) -> Iterator[DataChange]:
    difference = spread_of(was, now)
    if difference is None or not difference.is_news(tests):
        return
    name = now.field.name
    before, after = _middle(was.field), _middle(now.field)
    middle = "" if before is None or after is None else f"; the median was {before} and is {after}"
    yield DataChange(
        "distribution_changed",
        "compatible",
        "warning",
        f"the values of {name!r} are spread another way{middle}",
        column=name,
        was=before,
        now=after,
        evidence=difference.to_dict(),
    )


def _middle(field: FieldProfile) -> float | None:
    """The median, of numbers."""
    if field.quantiles_of != "value" or not field.quantiles:
        return None
    return field.quantiles[len(field.quantiles) // 2]


def spread_of(was: Look, now: Look) -> Difference | None:
    """Compare how values are spread; None where that says nothing.

    Values that are new with every row and moments move on by themselves.
    """
    if was.identifies or now.identifies or now.field.type.kind in _MOVING:
        return None
    if was.present < 1 or now.present < 1:
        return None
    before, after = categories_of(was.field), categories_of(now.field)
    if before and after:
        common = before.keys() & after.keys()
        return categories_differ(
            {value: before[value] for value in common}, {value: after[value] for value in common}
        )
    same = was.field.quantiles_of == now.field.quantiles_of
    if same and was.field.quantiles and now.field.quantiles:
        spread = spreads_differ(was.field.quantiles, was.present, now.field.quantiles, now.present)
        if spread.large or not (was.field.patterns and now.field.patterns):
            return spread
    if was.field.type.kind == "string" and was.field.patterns and now.field.patterns:
        return categories_differ(
            {shape: share * was.present for shape, share in _shapes(was.field, now.field)},
            {shape: share * now.present for shape, share in _shapes(now.field, was.field)},
        )
    return None


def _shapes(field: FieldProfile, other: FieldProfile) -> list[tuple[str, float]]:
    """Shapes that both know, and all others as one: each knows its most frequent ones only."""
    known = {shape for shape, _ in other.patterns}
    common = [(shape, share) for shape, share in field.patterns if shape in known]
    return [*common, ("", max(1 - sum(share for _, share in common), 0.0))]
