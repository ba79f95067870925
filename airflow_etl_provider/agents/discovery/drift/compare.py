"""The typed differences between two looks at a dataset, the most severe first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.agents.discovery.drift.chance import shares_differ
from airflow_etl_provider.agents.discovery.drift.changes import SEVERITIES, DataChange
from airflow_etl_provider.agents.discovery.drift.columns import Look, column_changes
from airflow_etl_provider.agents.discovery.drift.renames import find_renames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.agents.discovery.drift.renames import Rename
    from airflow_etl_provider.contracts.profile import DatasetProfile

__all__ = ["compare_profiles"]

_TESTS_OF_A_COLUMN = 5
_MOST_NAMES = 100
_ENOUGH_ROWS = 20
_FACTOR = 2.0
"""A dataset with so many times the rows, or that part of them, has another volume."""


def compare_profiles(was: DatasetProfile, now: DatasetProfile) -> tuple[DataChange, ...]:
    """Tell what is another way than it was, the most severe first, then by column.

    Declared facts are compared as they stand. What is measured on values is told where chance
    makes it less than once in a thousand looks, and where it is large enough to matter.
    """
    before = {field.name: Look(field, was) for field in was.fields}
    after = {field.name: Look(field, now) for field in now.fields}
    renames = find_renames(
        [look for name, look in before.items() if name not in after],
        [look for name, look in after.items() if name not in before],
    )
    changes = [
        *_columns(before, after, renames),
        *_order(was, now, renames),
        *_whole(was, now),
    ]
    return tuple(
        sorted(
            changes,
            key=lambda one: (
                -SEVERITIES.index(one.severity),
                one.effect != "breaking",
                one.column or "",
            ),
        )
    )


def _columns(
    before: dict[str, Look], after: dict[str, Look], renames: list[Rename]
) -> Iterator[DataChange]:
    tests = _TESTS_OF_A_COLUMN * max(len(after), 1)
    renamed_from = {rename.was.field.name for rename in renames}
    renamed_to = {rename.now.field.name for rename in renames}
    for rename in renames:
        yield _renamed(rename)
        yield from column_changes(rename.was, rename.now, tests=tests)
    for name, look in before.items():
        if name in after:
            yield from column_changes(look, after[name], tests=tests)
        elif name not in renamed_from:
            yield DataChange(
                "column_removed",
                "breaking",
                "warning",
                f"{name!r} ({look.field.type}) is gone",
                column=name,
                was=str(look.field.type),
            )
    for name, look in after.items():
        if name not in before and name not in renamed_to:
            personal = ", with personal data" if look.field.personal else ""
            yield DataChange(
                "column_added",
                "additive",
                "warning" if look.field.personal else "info",
                f"{name!r} ({look.field.type}) is new{personal}",
                column=name,
                now=str(look.field.type),
            )


def _renamed(rename: Rename) -> DataChange:
    was, now = rename.was.field.name, rename.now.field.name
    return DataChange(
        "column_renamed",
        "breaking",
        "warning",
        f"{was!r} is called {now!r} now",
        column=now,
        was=was,
        now=now,
        evidence={"by": rename.by, "likeness": round(rename.likeness, 4)},
    )


def _order(was: DatasetProfile, now: DatasetProfile, renames: list[Rename]) -> Iterator[DataChange]:
    names = {rename.was.field.name: rename.now.field.name for rename in renames}
    before = [names.get(field.name, field.name) for field in was.fields]
    after = [field.name for field in now.fields]
    common_before = [name for name in before if name in set(after)]
    common_after = [name for name in after if name in set(before)]
    if common_before != common_after:
        yield DataChange(
            "order_changed",
            "compatible",
            "info",
            "the columns stand in another order",
            was=common_before[:_MOST_NAMES],
            now=common_after[:_MOST_NAMES],
        )


def _whole(was: DatasetProfile, now: DatasetProfile) -> Iterator[DataChange]:
    """Tell what concerns no single column."""
    if was.primary_key != now.primary_key:
        yield DataChange(
            "key_changed",
            "breaking",
            "warning",
            f"the primary key was {_listed(was.primary_key)} and is {_listed(now.primary_key)}",
            was=list(was.primary_key),
            now=list(now.primary_key),
        )
    if was.partitions != now.partitions:
        yield DataChange(
            "partitioning_changed",
            "compatible",
            "warning",
            f"it was partitioned by {_listed(was.partitions)} and is by {_listed(now.partitions)}",
            was=list(was.partitions),
            now=list(now.partitions),
        )
    yield from _written(was, now)
    yield from _volume(was, now)


def _written(was: DatasetProfile, now: DatasetProfile) -> Iterator[DataChange]:
    before, after = was.dialect or {}, now.dialect or {}
    words = ("delimiter", "header_rows") if was.rows and now.rows else ()
    differences = [
        f"{word} {before.get(word)!r} and is {after.get(word)!r}"
        for word in words
        if before.get(word) != after.get(word)
    ]
    if was.format != now.format:
        differences = [f"format {was.format} and is {now.format}"]
    if differences:
        yield DataChange(
            "dialect_changed",
            "compatible",
            "warning",
            f"it was written with {'; '.join(differences)}",
            was={word: before.get(word) for word in words} | {"format": was.format},
            now={word: after.get(word) for word in words} | {"format": now.format},
        )
    records = (was.rows + was.rejected, now.rows + now.rejected)
    if all(records):
        broken = (was.rejected / records[0], now.rejected / records[1])
        difference = shares_differ(broken[0], records[0], broken[1], records[1])
        if difference.is_news(_TESTS_OF_A_COLUMN):
            yield DataChange(
                "broken_share_changed",
                "compatible",
                "warning",
                f"{broken[0]:.1%} of the records were broken and {broken[1]:.1%} are",
                was=round(broken[0], 6),
                now=round(broken[1], 6),
                evidence=difference.to_dict(),
            )


def _volume(was: DatasetProfile, now: DatasetProfile) -> Iterator[DataChange]:
    if not now.rows and was.rows:
        yield DataChange(
            "emptied",
            "breaking",
            "critical",
            f"there were {was.rows:,} rows, and there is none",
            was=was.rows,
            now=0,
        )
        return
    few = max(was.rows, now.rows) < _ENOUGH_ROWS
    if few or not was.rows or 1 / _FACTOR < now.rows / was.rows < _FACTOR:
        return
    yield DataChange(
        "volume_changed",
        "compatible",
        "warning",
        f"there were {was.rows:,} rows, and there are {now.rows:,}",
        was=was.rows,
        now=now.rows,
        evidence={"ratio": round(now.rows / was.rows, 4)},
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"
