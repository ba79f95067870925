"""Columns that are there under another name, proved by their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rapidfuzz import fuzz

from airflow_etl_provider.agents.discovery.drift.chance import categories_differ, spreads_differ
from airflow_etl_provider.agents.discovery.drift.columns import categories_of
from airflow_etl_provider.agents.discovery.drift.types import family_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.agents.discovery.drift.columns import Look

__all__ = ["Rename", "find_renames"]

_PROVED = 0.6
"""Of the values, that must be in both; below that a column is another one."""

_CLEAR = 0.05
"""How much better than any other pair a pair must be."""

_FEW = 8
"""Distinct values: with no more than so many, columns have the same ones by chance."""

_COMPARABLE, _LESS_SURE = 0.3, 0.9
_ENOUGH_ROWS = 50
_ALIKE = 0.1


@dataclass(frozen=True, slots=True)
class Rename:
    """One column under two names.

    :param likeness: of the values, 0 to 1.
    :param by: what shows it: `values`, `frequencies`, `quantiles` or `lengths`.
    """

    was: Look
    now: Look
    likeness: float
    by: str


def find_renames(removed: Sequence[Look], added: Sequence[Look]) -> list[Rename]:
    """Pair columns that are gone with columns that are new; each is in one pair at most.

    A pair that is not clearly better than another one with the same column is none.
    """
    scored = [
        (_score(found), found)
        for was in removed
        for now in added
        if (found := _compare(was, now)) is not None and found.likeness >= _PROVED
    ]
    scored.sort(key=lambda one: -one[0])
    chosen: list[Rename] = []
    taken: set[int] = set()
    for score, pair in scored:
        if {id(pair.was), id(pair.now)} & taken:
            continue
        rivals = [
            other
            for other, rival in scored
            if rival is not pair
            and (rival.was is pair.was or rival.now is pair.now)
            and not {id(rival.was), id(rival.now)} & taken
        ]
        if max(rivals, default=0.0) <= score - _CLEAR:
            chosen.append(pair)
        taken |= {id(pair.was), id(pair.now)}
    return chosen


def _score(found: Rename) -> float:
    """Values decide; among columns with the same values, names and places."""
    was, now = found.was.field.name, found.now.field.name
    named = fuzz.WRatio(was.lower(), now.lower()) / 100
    places = [
        [field.name for field in look.dataset.fields].index(look.field.name)
        / max(len(look.dataset.fields), 1)
        for look in (found.was, found.now)
    ]
    return 0.7 * found.likeness + 0.2 * named + 0.1 * (1 - abs(places[0] - places[1]))


def _compare(was: Look, now: Look) -> Rename | None:
    if family_of(was.field) != family_of(now.field) or was.field.personal != now.field.personal:
        return None
    if abs(was.field.null_share - now.field.null_share) > _ALIKE:
        return None
    if was.field.personal and was.field.semantic_type != now.field.semantic_type:
        return None
    before, after = categories_of(was.field), categories_of(now.field)
    if before and after and min(len(before), len(after)) <= _FEW:
        return _by_frequencies(was, now, before, after)
    if was.dataset.hashing == now.dataset.hashing:
        mine, other = was.field.sketch, now.field.sketch
        if mine is not None and other is not None:
            alike = mine.likeness(other)
            if alike.looked_at > _FEW:
                return Rename(was, now, max(alike.share, _grown(was, now)), "values")
    return _by_quantiles(was, now)


def _grown(was: Look, now: Look) -> float:
    """How surely one column is the other with more rows, or with fewer.

    Of columns with far more values nothing is told: numbers up to a million hold all small ones.
    """
    mine, other = was.field.sketch, now.field.sketch
    sizes = sorted((was.field.distinct, now.field.distinct))
    if mine is None or other is None or sizes[0] < _COMPARABLE * sizes[1]:
        return 0.0
    inside = max((mine.inside(other), other.inside(mine)), key=lambda one: one.share)
    return _LESS_SURE * inside.share if inside.looked_at > _FEW else 0.0


def _by_frequencies(
    was: Look, now: Look, before: dict[str, int], after: dict[str, int]
) -> Rename | None:
    """The same few values, as often among each other as before."""
    common = before.keys() & after.keys()
    if not common:
        return None
    differ = categories_differ(
        {value: before[value] for value in common}, {value: after[value] for value in common}
    )
    overlap = len(common) / len(before.keys() | after.keys())
    return Rename(was, now, overlap * max(1 - 2 * differ.effect, 0.0), "frequencies")


def _by_quantiles(was: Look, now: Look) -> Rename | None:
    """Values that are measured, or not to be told: they are spread in the same way."""
    if was.field.quantiles_of != now.field.quantiles_of or not was.field.quantiles:
        return None
    if min(was.present, now.present) < _ENOUGH_ROWS or now.field.type.kind == "time":
        return None
    differ = spreads_differ(was.field.quantiles, was.present, now.field.quantiles, now.present)
    by = "quantiles" if was.field.quantiles_of == "value" else "lengths"
    if by == "lengths" and not was.field.personal:
        # Texts as long as others may be anything.
        return None
    return Rename(was, now, max(1 - 2 * differ.effect, 0.0), by)
