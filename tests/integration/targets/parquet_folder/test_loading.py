"""What is in a folder after a load, for readers that know the manifest and for those that don't."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from airflow_etl_provider.engines.targets.parquet_folder import read_folder, writer
from airflow_etl_provider.exceptions import (
    SpecificationError,
    TargetDataError,
    TargetError,
    TargetSchemaError,
    UndoError,
)

if TYPE_CHECKING:
    from tests.integration.targets.parquet_folder.folders import Folder

SALES = {"id": "int64", "day": "date", "shop": "string"}
DAY = date(2026, 11, 1)


def names(folder: Folder) -> list[str]:
    return sorted({str(path.parent.relative_to(folder.root)) for path in folder.data()})


def test_partitions_are_folders_and_their_columns_are_not_in_the_files(folder: Folder) -> None:
    rows = [(1, DAY, "x"), (2, DAY, None), (3, None, "x"), (4, DAY, "x")]
    folder.load(rows=rows, columns=SALES, partition_by=("day", "shop"))
    assert names(folder) == [
        "day=2026-11-01/shop=__HIVE_DEFAULT_PARTITION__",
        "day=2026-11-01/shop=x",
        "day=__HIVE_DEFAULT_PARTITION__/shop=x",
    ]
    assert all(pq.ParquetFile(path).schema_arrow.names == ["id"] for path in folder.data())
    query = "select id, day, shop from read_parquet(?, hive_partitioning = true) order by id"
    assert duckdb.execute(query, [f"{folder.root}/**/*.parquet"]).fetchall() == rows


HOSTILE = [
    "../x", "..", "a/b", "/etc/passwd", "größe €", "日本語🙂", "", " lead", "100%", "%2F", "a=b",
    "a\nb", "a\\b", "'; drop table x; --", 'say "x"', "a+b&c", "*?[x]", "\x7f", "007", "e\u0301",
    "ü" * 100,
]  # fmt: skip


def test_any_text_may_name_a_partition_and_stays_within_the_folder(folder: Folder) -> None:
    rows = [(n, text) for n, text in enumerate(HOSTILE)]
    folder.load(rows=rows, partition_by=("name",))
    assert len(folder.data()) == len(HOSTILE)
    assert all(path.parent.parent == folder.root for path in folder.data())
    assert folder.rows() == sorted(rows, key=lambda row: [str(value) for value in row])
    query = """
        select id, name
        from read_parquet(?, hive_partitioning = true, hive_types = {'name': varchar})
        order by id
    """
    assert duckdb.execute(query, [f"{folder.root}/**/*.parquet"]).fetchall() == rows
    told = {file.partition["name"] for file in read_folder(f"{folder.root}/").files}
    assert told == set(HOSTILE)


@pytest.mark.parametrize("text", ["x" * 1000, "ü" * 130, "__HIVE_DEFAULT_PARTITION__"])
def test_what_no_folder_can_be_named_is_refused_without_its_value(
    folder: Folder, text: str
) -> None:
    folder.load("a", [(1, "one")], partition_by=("name",))
    with (
        folder.begin("b", partition_by=("name",)) as session,
        pytest.raises(TargetDataError, match="'name'") as caught,
    ):
        folder.write(session, [(1, "fine"), (2, text)])
    assert text not in str(caught.value)
    assert folder.rows() == [(1, "one")]
    assert folder.pending() == []


@pytest.mark.parametrize(
    ("written", "value", "name"),
    [
        ("bool", True, "true"),
        ("int16", -5, "-5"),
        ("decimal(9,2)", Decimal("1.50"), "1.50"),
        ("date", DAY, "2026-11-01"),
        ("uuid", "0" * 8 + "-0000-0000-0000-" + "0" * 12, "0" * 8 + "-0000-0000-0000-" + "0" * 12),
    ],
)
def test_values_of_many_types_name_partitions(
    folder: Folder, written: str, value: Any, name: str
) -> None:
    folder.load(rows=[(1, value)], columns={"id": "int64", "p": written}, partition_by=("p",))
    assert names(folder) == [f"p={name}"]


def test_columns_that_name_no_folder_are_refused(folder: Folder) -> None:
    with pytest.raises(SpecificationError, match="float64"):
        folder.begin(columns={"id": "int64", "f": "float64"}, partition_by=("f",))
    with pytest.raises(SpecificationError, match="nope"):
        folder.begin(partition_by=("nope",))
    with pytest.raises(SpecificationError, match="none is left"):
        folder.begin(partition_by=("id", "name"))
    for name in ("_day", ".day"):
        with pytest.raises(SpecificationError, match="begins with"):
            folder.begin(columns={"id": "int64", name: "string"}, partition_by=(name,))
    with pytest.raises(SpecificationError, match="merge"):
        folder.begin(mode="merge", key=("id",))
    with pytest.raises(TargetSchemaError, match="only in case"):
        folder.begin(columns={"id": "int64", "ID": "int64"})


def test_rows_of_many_partitions_in_any_order_arrive_in_one_file_each(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer.Spill.__init__, "__kwdefaults__", {"held_bytes": 10_000})
    rows = [(n, f"p{n * 7 % 50}") for n in range(5000)]
    with folder.begin(partition_by=("name",)) as session:
        folder.publish(session, folder.write(session, rows, batch_rows=100))
    assert len(folder.data()) == 50
    assert folder.rows() == sorted(rows, key=lambda row: [str(value) for value in row])
    [file] = (folder.root / "name=p7").glob("*.parquet")
    ids = pq.ParquetFile(file).read()["id"].to_pylist()
    assert ids == sorted(ids), "the rows of a partition keep their order"


def test_too_many_partitions_are_refused(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_PARTITIONS", 5)
    with (
        folder.begin(partition_by=("name",)) as session,
        pytest.raises(TargetDataError, match="more than 5"),
    ):
        folder.write(session, [(n, str(n)) for n in range(6)])


def test_a_file_that_has_become_large_is_followed_by_another(folder: Folder) -> None:
    folder.options = {"file_bytes": 100_000}
    rows = [(n, f"{n * 7919 % 10**9:09d}" * 20) for n in range(300_000)]
    folder.load(rows=rows)
    assert len(folder.data()) > 1
    assert sum(pq.read_metadata(path).num_rows for path in folder.data()) == len(rows)


def test_a_folder_without_rows_has_its_columns(folder: Folder) -> None:
    folder.load(rows=[])
    [file] = folder.data()
    assert pq.read_schema(file).names == ["id", "name"]


def test_columns_that_a_load_does_not_have_are_null(folder: Folder) -> None:
    folder.load("a", [(1, "one", DAY)], columns={"id": "int64", "name": "string", "day": "date"})
    folder.load("b", [("two", 2)], columns={"name": "string", "id": "int32"})
    assert folder.rows("id", "name", "day") == [(1, "one", DAY), (2, "two", None)]
    schemas = {str(pq.read_schema(path).remove_metadata()) for path in folder.data()}
    assert len(schemas) == 1, "files of one folder have one schema"


def test_a_load_that_does_not_fit_the_folder_is_refused(folder: Folder) -> None:
    folder.load("a", [(1, "one")], partition_by=("name",))
    with pytest.raises(TargetSchemaError, match="no column 'extra'"):
        folder.begin("b", columns={"id": "int64", "name": "string", "extra": "int64"})
    with pytest.raises(TargetSchemaError, match="partitioned by other columns"):
        folder.begin("b", partition_by=("id",))
    with pytest.raises(TargetSchemaError, match="does not fill"):
        folder.begin("b", columns={"id": "int64"})


def test_a_folder_keeps_its_partitions_when_a_load_names_none(folder: Folder) -> None:
    folder.load("a", [(1, "one")], partition_by=("name",))
    folder.load("b", [(2, "two")])
    assert names(folder) == ["name=one", "name=two"]


def test_a_replaced_folder_takes_the_columns_and_partitions_of_the_load(folder: Folder) -> None:
    folder.load("a", [(1, "one")])
    folder.load("b", [(2, DAY, "x")], columns=SALES, mode="replace", partition_by=("shop",))
    assert folder.rows("id", "day", "shop") == [(2, DAY, "x")]
    assert folder.target(reshape=True).schema() is None
    told = folder.target().schema()
    assert told is not None
    assert {f.name: str(f.type) for f in told} == SALES


def test_files_of_strangers_are_not_mixed_with_ours(folder: Folder) -> None:
    folder.root.mkdir()
    (folder.root / "_SUCCESS").touch()
    (folder.root / "theirs.parquet").write_bytes(b"PAR1")
    with pytest.raises(TargetError, match=r"theirs\.parquet"):
        folder.begin()
    (folder.root / "theirs.parquet").unlink()
    folder.load()
    assert folder.rows() == [(1, "one")]


def test_nobody_sees_rows_before_the_publish(folder: Folder) -> None:
    folder.load("a", [(1, "one")])
    with folder.begin("b", mode="replace") as session:
        folder.write(session, [(2, "two")])
        assert folder.rows() == [(1, "one")]
        assert read_folder(f"{folder.root}/").rows == 1
        query = "select id from read_parquet(?)"
        assert duckdb.execute(query, [f"{folder.root}/**/*.parquet"]).fetchall() == [(1,)]
        folder.publish(session, 1)
    assert folder.rows() == [(2, "two")]


def test_readers_that_go_by_the_manifest_see_one_version(folder: Folder) -> None:
    folder.options = {"keep_versions": 2}
    folder.load("a", [(1, "one"), (2, "two")], partition_by=("name",))
    before = read_folder(f"{folder.root}/")
    folder.load("b", [(3, "two")], mode="replace_partition", partition_by=("name",))
    after = read_folder(f"{folder.root}/")
    assert after.version > before.version

    def ids(locations: list[str]) -> list[int]:
        return sorted(ds.dataset(locations).to_table()["id"].to_pylist())

    assert ids(after.locations) == [1, 3]
    assert ids(before.locations) == [1, 2], "replaced files stay for a while"
    assert duckdb.execute("select sum(id) from read_parquet(?)", [after.locations]).fetchall() == [
        (4,)
    ]
    folder.load("c", [(4, "four")])
    assert all(Path(location).exists() for location in after.locations)
    folder.load("d", [(5, "five")])
    gone = set(before.locations) - set(after.locations)
    assert gone
    assert not any(Path(location).exists() for location in gone)


def test_replaced_files_are_removed_at_once_unless_told_to_stay(folder: Folder) -> None:
    folder.load("a", [(1, "one"), (2, "two")], partition_by=("name",))
    folder.load("b", [(3, "two")], mode="replace_partition", partition_by=("name",))
    assert folder.rows() == [(1, "one"), (3, "two")]
    folder.load("c", [(4, "four")], mode="replace", partition_by=("name",))
    assert folder.rows() == [(4, "four")]
    assert not (folder.root / "name=two").exists(), "empty folders go, too"


def test_a_load_can_be_undone(folder: Folder) -> None:
    folder.load("a", [(1, "one"), (2, "two")])
    folder.load("b", [(3, "three")])
    assert folder.target().undo("a" * 32).rows_deleted == 2
    assert folder.rows() == [(3, "three")]
    assert [entry.load_id[0] for entry in folder.target().ledger()] == ["b"]
    with pytest.raises(UndoError, match="no published load"):
        folder.target().undo("a" * 32)
    folder.load("a", [(1, "one")])
    assert folder.rows() == [(1, "one"), (3, "three")]


def test_many_loads_keep_the_manifest_small(folder: Folder) -> None:
    for n in range(45):
        folder.load(replace(folder.a_load(), load_id=f"{n:032d}"), [(n, "x")])
    target = folder.target()
    snapshot = target.history.read()
    assert snapshot is not None
    assert len(snapshot.lists) <= 33
    assert [entry.load_id for entry in target.ledger()] == [f"{n:032d}" for n in range(45)]
    assert len(target.history.versions()) <= 21
    assert len(folder.rows()) == 45
