"""What a publish makes of the folder's lists of loads: decided here, written elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.targets.parquet_folder.manifest import ListRef, LoadRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_etl_provider.engines.targets.base import LedgerEntry
    from airflow_etl_provider.engines.targets.parquet_folder.history import Snapshot
    from airflow_etl_provider.engines.targets.parquet_folder.manifest import DataFile

__all__ = ["Rewrite", "add_load", "remove_load"]

SUPERSEDED_LOADS = 500
"""Loads whose rows are gone that the ledger remembers, so that a late retry of one is known."""

MANY_LISTS, SMALL = 32, 5_000
"""From so many lists on those of fewer loads and files become one."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The lists of the next version.

    :param kept: lists that stay as they are.
    :param fresh: what the one new list holds.
    :param dropped_files: data files that are live no more.
    :param dropped_lists: keys of lists that are named no more.
    """

    kept: tuple[ListRef, ...]
    fresh: tuple[LoadRecord, ...]
    dropped_files: tuple[str, ...]
    dropped_lists: tuple[str, ...]

    def ref(self, key: str) -> ListRef:
        """The new list under its key."""
        files = [file for record in self.fresh for file in record.files]
        return ListRef(key, len(self.fresh), len(files), sum(file.rows for file in files))


def add_load(
    snapshot: Snapshot, entry: LedgerEntry, files: tuple[DataFile, ...], *, version: int
) -> Rewrite:
    """Publish a load by its mode.

    What an earlier publish of the same load brought is gone, but for the partitions that a
    replace_partition does not touch.
    """
    partitions = {file.partition for file in files}
    earlier = snapshot.find(entry.load_id)
    if entry.mode == "replace_partition" and earlier is not None:
        files += tuple(file for file in earlier.files if file.partition not in partitions)
    record = LoadRecord.of(entry, version=version, files=files)
    if entry.mode == "replace":
        return _replaced(snapshot, record)

    def change(old: LoadRecord) -> LoadRecord | None:
        if old.load_id == entry.load_id:
            return None
        if entry.mode != "replace_partition":
            return old
        left = tuple(file for file in old.files if file.partition not in partitions)
        if len(left) == len(old.files):
            return old
        # What a load had replaced may be put back by loading it again; an append would be doubled.
        return replace(old, files=left, superseded=not left or old.entry.mode != "append")

    return _rewritten(snapshot, change, added=record)


def remove_load(snapshot: Snapshot, load_id: str) -> Rewrite:
    """Take a load back: its rows and its place in the ledger."""
    return _rewritten(snapshot, lambda old: None if old.load_id == load_id else old, added=None)


def _replaced(snapshot: Snapshot, record: LoadRecord) -> Rewrite:
    earlier = sorted(
        (old for old in snapshot.records() if old.load_id != record.load_id),
        key=lambda old: old.version,
    )
    remembered = [replace(old, files=(), superseded=True) for old in earlier[-SUPERSEDED_LOADS:]]
    return Rewrite(
        kept=(),
        fresh=(*remembered, record),
        dropped_files=tuple(sorted(snapshot.live_keys())),
        dropped_lists=tuple(ref.key for ref, _ in snapshot.lists),
    )


def _rewritten(
    snapshot: Snapshot,
    change: Callable[[LoadRecord], LoadRecord | None],
    *,
    added: LoadRecord | None,
) -> Rewrite:
    kept: list[tuple[ListRef, tuple[LoadRecord, ...]]] = []
    fresh: list[LoadRecord] = []
    dropped_files: list[str] = []
    dropped_lists: list[str] = []
    taken_over = {file.key for file in added.files} if added is not None else set()
    for ref, records in snapshot.lists:
        changed = [change(record) for record in records]
        if all(new is old for new, old in zip(changed, records, strict=True)):
            kept.append((ref, records))
            continue
        dropped_lists.append(ref.key)
        fresh += [record for record in changed if record is not None]
        for old, new in zip(records, changed, strict=True):
            if new is old:
                continue
            still = {file.key for file in new.files} if new is not None else taken_over
            dropped_files += [file.key for file in old.files if file.key not in still]
    if len(kept) >= MANY_LISTS:
        small = [(ref, records) for ref, records in kept if ref.weight < SMALL]
        for ref, records in small:
            dropped_lists.append(ref.key)
            fresh += records
        kept = [(ref, records) for ref, records in kept if ref.weight >= SMALL]
    if added is not None:
        fresh.append(added)
    return Rewrite(
        kept=tuple(ref for ref, _ in kept),
        fresh=tuple(fresh),
        dropped_files=tuple(dropped_files),
        dropped_lists=tuple(dropped_lists),
    )
