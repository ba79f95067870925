"""Incremental by new files: each file is loaded once, as the target's ledger tells."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from airflow_etl_provider.engines.sources import files
from airflow_etl_provider.exceptions import (
    LoadConflictError,
    PositionMovedError,
    SourceError,
    SourceNotFoundError,
)
from tests.integration.incremental import MERGE, NEW_FILES, Arrivals, at_the_publication

if TYPE_CHECKING:
    from pathlib import Path

T1, T2 = "2024-01-01 10:00:00", "2024-01-02 10:00:00"


@pytest.fixture
def arrivals(tmp_path: Path) -> Arrivals:
    return Arrivals(tmp_path)


@pytest.mark.parametrize("target", [{}, MERGE])
def test_each_file_is_loaded_once(arrivals: Arrivals, target: dict[str, Any]) -> None:
    pipeline = arrivals.pipeline(NEW_FILES, target=target)
    arrivals.write("a.csv", (1, T1))
    arrivals.write("b.csv", (2, T1))
    first = arrivals.run(pipeline)
    assert (first.status, first.rows_loaded) == ("done", 2)
    again = arrivals.run(pipeline)
    assert (again.status, again.load_id, again.rows_read) == ("nothing_new", None, 0)
    assert again.notes == ("Nothing new: all files (2) were loaded before.",)
    arrivals.write("c.csv", (3, T1))
    third = arrivals.run(pipeline)
    assert [found.input for found in third.inputs] == ["c.csv"]
    assert third.load_id != first.load_id
    assert arrivals.ids() == [1, 2, 3]


def test_the_ledger_alone_remembers(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES)
    arrivals.write("a.csv", (1, T1))
    arrivals.run(pipeline)
    moved = arrivals.folder / "elsewhere"
    moved.mkdir()
    arrivals.database = arrivals.database.rename(moved / "copy.duckdb")
    assert arrivals.run(pipeline).status == "nothing_new"
    assert arrivals.ids() == [1]


def test_a_backlog_is_loaded_in_bounded_parts_by_name(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES | {"max_files": 2})
    for number in range(5, 0, -1):
        arrivals.write(f"{number}.csv", (number, T1))
    taken = []
    for left in ("`): 3.", "`): 1.", None, None):
        report = arrivals.run(pipeline)
        taken.append([found.input for found in report.inputs])
        assert (left is None) or report.notes[-1].endswith(left)
    assert taken == [["1.csv", "2.csv"], ["3.csv", "4.csv"], ["5.csv"], []]
    assert arrivals.ids() == [1, 2, 3, 4, 5]


def test_the_check_says_which_files_a_run_would_take(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES | {"max_files": 2})
    for number in range(3):
        arrivals.write(f"{number}.csv", (number, T1))
    found = arrivals.check(pipeline)
    assert found.takes is not None
    assert found.takes.startswith("A run would take the new files (2). New files left to")
    assert found.rows_good == 2
    assert not arrivals.database.exists()
    arrivals.drain(pipeline)
    assert arrivals.check(pipeline).takes == "Nothing new: all files (3) were loaded before."


def test_a_changed_file_stops_append_and_is_named(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES)
    arrivals.write("a.csv", (1, T1))
    arrivals.run(pipeline)
    arrivals.write("a.csv", (1, T1), (2, T1))
    arrivals.write("b.csv", (3, T1))
    with pytest.raises(LoadConflictError, match=r"changed since: a\.csv\."):
        arrivals.run(pipeline)
    assert arrivals.ids() == [1]


def test_a_changed_file_of_the_same_size_is_noticed(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES)
    arrivals.write("a.csv", (1, T1))
    arrivals.run(pipeline)
    arrivals.write("a.csv", (2, T1))
    with pytest.raises(LoadConflictError):
        arrivals.run(pipeline)


def test_a_changed_file_is_new_for_merge(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES, target=MERGE)
    arrivals.write("a.csv", (1, T1))
    arrivals.write("b.csv", (5, T1))
    arrivals.run(pipeline)
    arrivals.write("a.csv", (1, T2), (2, T1))
    report = arrivals.run(pipeline)
    assert [found.input for found in report.inputs] == ["a.csv"]
    assert arrivals.rows() == [(1, T2), (2, T1), (5, T1)]
    assert arrivals.run(pipeline).status == "nothing_new"


def test_files_may_be_moved_away_once_they_are_loaded(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES)
    with pytest.raises(SourceNotFoundError):
        arrivals.run(pipeline)
    path = arrivals.write("a.csv", (1, T1))
    arrivals.run(pipeline)
    path.unlink()
    assert arrivals.run(pipeline).notes == ("Nothing new: no file is there.",)


def test_only_files_that_are_taken_are_opened(
    arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    compression_of = files.compression_of

    def note(stored: Any) -> Any:
        opened.append(stored.name)
        return compression_of(stored)

    pipeline = arrivals.pipeline(NEW_FILES | {"max_files": 1})
    arrivals.write("a.csv", (1, T1))
    arrivals.run(pipeline)
    for name in ("b.csv", "c.csv", "d.csv"):
        arrivals.write(name, (2, T1))
    monkeypatch.setattr(files, "compression_of", note)
    assert arrivals.run(pipeline).rows_loaded == 1
    assert opened == ["b.csv"]


def test_members_of_an_archive_are_drained_in_parts_too(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES | {"max_files": 2}, source={"location": "*.zip"})
    with zipfile.ZipFile(arrivals.folder / "x.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.csv", f"id,at\n{number},{T1}\n")
    assert arrivals.run(pipeline).notes[-1].endswith("`): 1.")
    assert arrivals.run(pipeline).rows_loaded == 1
    assert arrivals.run(pipeline).status == "nothing_new"
    assert arrivals.ids() == [0, 1, 2]


def test_an_archive_with_a_changed_member_stops_append(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES, source={"location": "*.zip"})
    for value in (1, 2):
        with zipfile.ZipFile(arrivals.folder / "x.zip", "w") as archive:
            archive.writestr("1.csv", f"id,at\n{value},{T1}\n")
        if value == 1:
            arrivals.run(pipeline)
    with pytest.raises(LoadConflictError, match=r"x\.zip!1\.csv"):
        arrivals.run(pipeline)


def test_members_of_an_archive_are_files_of_their_own(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES, source={"location": "*.zip"})
    for name, members in (("x", {"1.csv": 1, "2.csv": 2}), ("y", {"1.csv": 3})):
        with zipfile.ZipFile(arrivals.folder / f"{name}.zip", "w") as archive:
            for member, number in members.items():
                archive.writestr(member, f"id,at\n{number},{T1}\n")
        assert arrivals.run(pipeline).rows_loaded == len(members)
    assert arrivals.ids() == [1, 2, 3]


def test_an_empty_file_is_taken_once_like_any_other(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES)
    arrivals.write("a.csv", (1, T1))
    arrivals.run(pipeline)
    arrivals.write("b.csv")
    report = arrivals.run(pipeline)
    assert (report.status, report.rows_loaded, len(report.inputs)) == ("done", 0, 1)
    assert arrivals.run(pipeline).status == "nothing_new"


def test_a_run_that_failed_took_nothing(arrivals: Arrivals) -> None:
    arrivals.write("a.csv", (1, T1))
    strict = [{"load": "rows > 5", "severity": "fail"}]
    with pytest.raises(Exception, match="rows > 5"):
        arrivals.run(arrivals.pipeline(NEW_FILES, rules=strict))
    assert arrivals.run(arrivals.pipeline(NEW_FILES)).rows_loaded == 1


def test_of_two_runs_with_overlapping_files_one_publishes(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES)
    arrivals.write("a.csv", (1, T1))
    arrivals.write("b.csv", (2, T1))

    def overtake() -> None:
        arrivals.write("c.csv", (3, T1))
        arrivals.run(pipeline)

    with at_the_publication(before=overtake), pytest.raises(PositionMovedError, match="Run again"):
        arrivals.run(pipeline)
    assert arrivals.ids() == [1, 2, 3]
    assert arrivals.run(pipeline).status == "nothing_new"
    quarantines = list((arrivals.folder / "quarantine").glob("**/manifest.json"))
    assert quarantines == []


def test_a_pipeline_that_becomes_incremental_knows_what_it_loaded_before(
    arrivals: Arrivals,
) -> None:
    arrivals.write("a.csv", (1, T1))
    plain = arrivals.pipeline(NEW_FILES)
    source = plain.source.model_copy(update={"incremental": None})
    arrivals.run(plain.model_copy(update={"source": source}))
    arrivals.write("b.csv", (2, T1))
    assert arrivals.run(plain).rows_loaded == 1
    assert arrivals.ids() == [1, 2]


def test_a_file_that_changes_while_it_is_read_is_not_taken(
    arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_etl_provider.engines import attempt

    arrivals.write("a.csv", (1, T1))
    settle = attempt.Attempt._settle

    def grow(self: Any, *args: Any, **more: Any) -> None:
        arrivals.write("a.csv", (1, T1), (2, T1))
        settle(self, *args, **more)

    pipeline = arrivals.pipeline(NEW_FILES)
    monkeypatch.setattr(attempt.Attempt, "_settle", grow)
    with pytest.raises(SourceError, match="changed"):
        arrivals.run(pipeline)
    monkeypatch.undo()
    assert arrivals.run(pipeline).rows_loaded == 2
