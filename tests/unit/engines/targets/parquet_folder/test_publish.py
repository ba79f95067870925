"""What a publish makes of the lists of loads, and how much of it is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_etl_provider.engines.targets.base import LedgerEntry
from airflow_etl_provider.engines.targets.parquet_folder.history import Snapshot
from airflow_etl_provider.engines.targets.parquet_folder.manifest import (
    DamagedError,
    DataFile,
    ListRef,
    LoadRecord,
    Manifest,
    list_from_bytes,
    list_to_bytes,
    manifest_from_bytes,
    manifest_to_bytes,
)
from airflow_etl_provider.engines.targets.parquet_folder.publish import (
    MANY_LISTS,
    SMALL,
    SUPERSEDED_LOADS,
    Rewrite,
    add_load,
    remove_load,
)


def entry(load_id: str, mode: str = "append") -> LedgerEntry:
    numbers: dict[str, Any] = dict.fromkeys(
        ("rows_read", "rows_loaded", "rows_quarantined", "rows_filtered", "rows_deduplicated"), 1
    )
    words = ("pipeline", "window", "target", "input_hash", "contract_hash", "run_id")
    texts: dict[str, Any] = dict.fromkeys(words, "x")
    return LedgerEntry(
        load_id=load_id, mode=mode, epoch=1, published_at="2026-11-01", **numbers, **texts
    )


def files(load_id: str, *partitions: str) -> tuple[DataFile, ...]:
    return tuple(DataFile(f"{p}/{load_id}.parquet", 10, 1000) for p in partitions)


class Table:
    """A folder in memory: publishes one load after the other."""

    def __init__(self) -> None:
        self.snapshot = Snapshot(Manifest(table="t", version=0, id="", written_at=""))
        self.written = 0

    def apply(self, rewrite: Rewrite) -> Rewrite:
        version = self.snapshot.version + 1
        there = {ref.key: records for ref, records in self.snapshot.lists}
        fresh = (rewrite.ref(f"list {version}"), rewrite.fresh)
        self.written = len(rewrite.fresh)
        lists = (*((ref, there[ref.key]) for ref in rewrite.kept), fresh)
        manifest = replace(self.snapshot.manifest, version=version)
        self.snapshot = Snapshot(manifest, lists)
        return rewrite

    def add(self, load_id: str, *partitions: str, mode: str = "append", name: str = "") -> Rewrite:
        return self.apply(
            add_load(
                self.snapshot,
                entry(load_id, mode),
                files(name or load_id, *partitions),
                version=self.snapshot.version + 1,
            )
        )


def test_an_append_writes_its_own_load_alone() -> None:
    table = Table()
    table.add("a", "p=1")
    rewrite = table.add("b", "p=1")
    assert [record.load_id for record in rewrite.fresh] == ["b"]
    assert rewrite.dropped_files == rewrite.dropped_lists == ()
    assert table.snapshot.live_keys() == {"p=1/a.parquet", "p=1/b.parquet"}


def test_the_same_load_again_takes_the_place_of_the_earlier() -> None:
    table = Table()
    table.add("a", "p=1", "p=2")
    rewrite = table.add("a", "p=2", name="again")
    assert rewrite.dropped_files == ("p=1/a.parquet", "p=2/a.parquet")
    assert len(list(table.snapshot.records())) == 1


def test_a_replaced_partition_leaves_the_others() -> None:
    table = Table()
    table.add("a", "p=1", "p=2")
    table.add("b", "p=3")
    rewrite = table.add("c", "p=1", mode="replace_partition")
    assert rewrite.dropped_files == ("p=1/a.parquet",)
    assert table.snapshot.live_keys() == {"p=2/a.parquet", "p=3/b.parquet", "p=1/c.parquet"}
    first = table.snapshot.find("a")
    assert first is not None
    assert not first.superseded, "an append beside a replaced partition is not to be doubled"
    table.add("d", "p=2", mode="replace_partition")
    first = table.snapshot.find("a")
    assert first is not None
    assert first.superseded


def test_a_partition_that_a_reload_does_not_touch_stays_its_own() -> None:
    table = Table()
    table.add("a", "p=1", "p=2", mode="replace_partition")
    rewrite = table.add("a", "p=2", mode="replace_partition", name="again")
    assert table.snapshot.live_keys() == {"p=1/a.parquet", "p=2/again.parquet"}
    assert rewrite.dropped_files == ("p=2/a.parquet",)


def test_a_replace_drops_all_and_remembers_the_latest_loads() -> None:
    table = Table()
    for n in range(SUPERSEDED_LOADS + 20):
        table.add(str(n), "p=1", mode="replace")
    assert len(table.snapshot.live_keys()) == 1
    assert len(list(table.snapshot.records())) == SUPERSEDED_LOADS + 1
    assert table.snapshot.find("0") is None


def test_a_load_that_is_removed_takes_its_files_along() -> None:
    table = Table()
    table.add("a", "p=1")
    table.add("b", "p=1")
    rewrite = table.apply(remove_load(table.snapshot, "a"))
    assert rewrite.dropped_files == ("p=1/a.parquet",)
    assert table.snapshot.find("a") is None


def test_a_folder_of_many_loads_has_few_lists_and_writes_little() -> None:
    table = Table()
    written = 0
    for n in range(2000):
        table.add(str(n), "p=1")
        written += table.written
        assert len(table.snapshot.lists) <= MANY_LISTS + 1
    assert len(table.snapshot.live_keys()) == 2000
    assert written / 2000 < 60


def test_a_list_of_a_hundred_thousand_files_is_not_written_again_by_an_append() -> None:
    table = Table()
    many = tuple(DataFile(f"p={n}/{n}.parquet", 10, 1000) for n in range(100_000))
    table.apply(add_load(table.snapshot, entry("big"), many, version=1))
    for n in range(MANY_LISTS * 3):
        rewrite = table.add(str(n), "p=1")
        assert sum(len(record.files) for record in rewrite.fresh) < SMALL
    rewrite = table.add("part", "p=7", mode="replace_partition")
    assert "p=7/7.parquet" in rewrite.dropped_files
    assert len(list_to_bytes(rewrite.fresh)) < 2_000_000


def test_lists_and_manifests_come_back_as_they_were() -> None:
    record = LoadRecord.of(entry("a"), version=3, files=files("a", "p=größe", ""))
    assert list_from_bytes(list_to_bytes([record])) == (record,)
    assert record.entry == entry("a")
    manifest = Manifest(
        table="t", version=3, id="i", written_at="w", lists=(ListRef("k", 1, 2, 3),)
    )
    assert manifest_from_bytes(manifest_to_bytes(manifest)) == manifest


@pytest.mark.parametrize("data", [b"", b"PAR1", list_to_bytes([])[:-3], b"\x1f\x8b"])
def test_what_is_no_list_is_told(data: bytes) -> None:
    with pytest.raises(DamagedError):
        list_from_bytes(data)
