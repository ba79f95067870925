"""Incremental by the highest value of a column: what is above it, once, and what comes late."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_etl_provider.engines import high_mark
from airflow_etl_provider.engines.batch import Window
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.exceptions import (
    LoadConflictError,
    PositionMovedError,
    SpecificationError,
)
from tests.integration.incremental import MERGE, NEW_FILES, Arrivals, at_the_publication

if TYPE_CHECKING:
    from pathlib import Path

BY_AT = {"by": "column", "column": "at"}
BY_ID = {"by": "column", "column": "id"}
T1, T2, T3 = (f"2024-01-0{day} 10:00:00" for day in (1, 2, 3))


@pytest.fixture
def arrivals(tmp_path: Path) -> Arrivals:
    return Arrivals(tmp_path)


@pytest.mark.parametrize("target", [{}, MERGE], ids=["append", "merge"])
@pytest.mark.parametrize(
    ("at", "written"), [("date", "{:.10}"), ("timestamp", "{}"), ("timestamptz", "{}Z")]
)
def test_records_above_the_highest_value_are_taken(
    arrivals: Arrivals, target: dict[str, Any], at: str, written: str
) -> None:
    pipeline = arrivals.pipeline(BY_AT, target=target, at=at)
    first, second, third = ((n, written.format(t)) for n, t in enumerate((T1, T2, T3)))
    arrivals.write("a.csv", first, second)
    assert arrivals.run(pipeline).rows_loaded == 2
    arrivals.write("a.csv", first, second, third)
    report = arrivals.run(pipeline)
    assert (report.status, report.rows_read) == ("done", 3)
    again = 1 if target else 0
    assert (report.rows_loaded, report.rows_filtered) == (1 + again, 2 - again)
    assert arrivals.ids() == [0, 1, 2]
    assert arrivals.run(pipeline).notes == (
        "Nothing new: the files are those that the last load read.",
    )


@pytest.mark.parametrize("target", [{}, MERGE], ids=["append", "merge"])
def test_a_whole_number_can_be_the_column(arrivals: Arrivals, target: dict[str, Any]) -> None:
    pipeline = arrivals.pipeline(BY_ID, target=target)
    arrivals.write("a.csv", (-5, T1), (7, T1))
    arrivals.run(pipeline)
    arrivals.write("b.csv", (8, T1), (6, T1))
    arrivals.run(pipeline)
    assert arrivals.ids() == [-5, 7, 8]
    (last,) = [entry.positions["column"] for entry in arrivals.ledger(pipeline)[-1:]]
    assert (last["name"], last["high"], last["rows"]) == ("id", 8, 1)


def test_a_source_field_that_no_column_takes_can_be_the_column(arrivals: Arrivals) -> None:
    fields = {"contract": "c", "target": {"fields": {"id": "int64"}}}
    mapping = fields | {"columns": {"id": {"from": "id", "convert": "cast"}}}
    pipeline = arrivals.pipeline(BY_AT, mapping=mapping)
    arrivals.write("a.csv", (1, T1), (2, T2))
    arrivals.run(pipeline)
    arrivals.write("a.csv", (1, T1), (2, T2), (3, T2), (4, T3))
    assert arrivals.run(pipeline).rows_loaded == 2
    assert arrivals.ids() == [1, 2, 3, 4]


@pytest.mark.parametrize("target", [{}, MERGE], ids=["append", "merge"])
def test_records_that_come_late_with_the_highest_value_are_taken(
    arrivals: Arrivals, target: dict[str, Any]
) -> None:
    day = T2[:10]
    pipeline = arrivals.pipeline(BY_AT, target=target, at="date")
    arrivals.write("a.csv", (1, T1[:10]), (2, day), (3, day))
    arrivals.run(pipeline)
    arrivals.write("a.csv", (1, T1[:10]), (2, day), (9, day), (3, day), (8, day))
    arrivals.run(pipeline)
    assert arrivals.ids() == [1, 2, 3, 8, 9]
    arrivals.write("b.csv", (7, day))
    arrivals.run(pipeline)
    assert arrivals.ids() == [1, 2, 3, 7, 8, 9]


@pytest.mark.parametrize("server", [False, True], ids=["duckdb", "postgres"])
@pytest.mark.parametrize("severity", ["quarantine", "fail"])
def test_keys_of_loaded_records_with_the_highest_value_are_no_duplicates(
    tmp_path: Path, request: pytest.FixtureRequest, server: bool, severity: str
) -> None:
    url = request.getfixturevalue("postgres_server") if server else None
    arrivals = Arrivals(tmp_path, server=url)
    unique = {"column": "id", "unique": True, "severity": severity}
    pipeline = arrivals.pipeline(BY_AT, rules=[unique], max_rejected=0)
    arrivals.write("a.csv", (1, T1), (2, T2), (3, T2))
    arrivals.run(pipeline)
    arrivals.write("b.csv", (4, T2), (5, T3))
    report = arrivals.run(pipeline)
    assert (report.rows_loaded, report.rows_quarantined, report.rows_filtered) == (2, 0, 3)
    assert arrivals.ids() == [1, 2, 3, 4, 5]


def test_a_late_record_with_the_key_of_a_loaded_one_is_a_duplicate(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(BY_AT, rules=[{"column": "id", "unique": True}])
    arrivals.write("a.csv", (1, T2), (2, T2))
    arrivals.run(pipeline)
    arrivals.write("a.csv", (2, T3), (1, T2), (2, T2), (2, T2), (3, T2))
    report = arrivals.run(pipeline)
    assert (report.rows_loaded, report.rows_quarantined, report.rows_filtered) == (1, 2, 2)
    assert arrivals.ids() == [1, 2, 3]


def test_records_whose_reference_is_gone_since_are_loaded_all_the_same(arrivals: Arrivals) -> None:
    refers = {"column": "id", "references": {"table": "main.things", "column": "id"}}
    with duckdb.connect(str(arrivals.database)) as connection:
        connection.execute("CREATE TABLE things AS SELECT range AS id FROM range(9)")
    pipeline = arrivals.pipeline(BY_AT, rules=[refers])
    arrivals.write("a.csv", (1, T1), (2, T2))
    arrivals.run(pipeline)
    with duckdb.connect(str(arrivals.database)) as connection:
        connection.execute("DELETE FROM things WHERE id < 3")
    arrivals.write("b.csv", (0, T3), (3, T3))
    report = arrivals.run(pipeline)
    assert (report.rows_loaded, report.rows_quarantined) == (1, 1)
    assert arrivals.ids() == [1, 2, 3]


def test_keys_of_loaded_records_that_can_not_be_told_apart_are_no_duplicates(
    arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(high_mark, "MOST_TIES", 1)
    pipeline = arrivals.pipeline(BY_AT, rules=[{"column": "id", "unique": True}])
    arrivals.write("a.csv", (1, T2), (2, T2))
    arrivals.run(pipeline)
    arrivals.write("b.csv", (3, T3))
    report = arrivals.run(pipeline)
    assert (report.rows_loaded, report.rows_quarantined) == (1, 0)
    assert arrivals.ids() == [1, 2, 3]


def test_a_delta_under_the_same_name_may_share_the_highest_value(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(BY_AT)
    arrivals.write("a.csv", (1, T2), (2, T2), (3, T2))
    arrivals.run(pipeline)
    arrivals.write("a.csv", (4, T2))
    arrivals.run(pipeline)
    arrivals.write("a.csv", (4, T2), (5, T2))
    arrivals.run(pipeline)
    assert arrivals.ids() == [1, 2, 3, 4, 5]


def test_equal_rows_are_counted_not_swallowed(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(BY_AT)
    arrivals.write("a.csv", (1, T1), (1, T1))
    arrivals.run(pipeline)
    arrivals.write("a.csv", (1, T1), (1, T1), (1, T1))
    arrivals.run(pipeline)
    assert arrivals.ids() == [1, 1, 1]


def test_too_many_records_with_the_highest_value_are_never_doubled_or_lost(
    arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(high_mark, "MOST_TIES", 2)
    pipeline = arrivals.pipeline(BY_AT)
    day = [(1, T1), (2, T1), (3, T1)]
    arrivals.write("a.csv", *day)
    arrivals.run(pipeline)
    arrivals.write("b.csv", (4, T2))
    arrivals.run(pipeline)
    assert arrivals.ids() == [1, 2, 3, 4]
    arrivals.write("c.csv", (5, T2), (6, T2))
    arrivals.run(pipeline)
    arrivals.write("d.csv", (7, T2))
    with pytest.raises(LoadConflictError, match=r"4 records have the highest value of 'at'"):
        arrivals.run(pipeline)
    assert arrivals.ids() == [1, 2, 3, 4, 5, 6]


def test_after_a_change_of_the_contract_no_record_is_doubled(arrivals: Arrivals) -> None:
    arrivals.write("a.csv", (1, T1), (2, T2))
    arrivals.run(arrivals.pipeline(BY_AT))
    other = arrivals.pipeline(BY_AT, rules=[{"column": "id", "not_null": True}])
    arrivals.write("a.csv", (1, T1), (2, T2), (4, T3))
    arrivals.run(other)
    assert arrivals.ids() == [1, 2, 4]
    arrivals.write("b.csv", (5, T3))
    third = arrivals.pipeline(BY_AT, rules=[{"column": "at", "not_null": True}])
    with pytest.raises(LoadConflictError, match="undo the last load"):
        arrivals.run(third)


def test_the_lag_takes_again_what_merge_does_not_mind(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(BY_AT | {"lag": "25 hours"}, target=MERGE)
    arrivals.write("a.csv", (1, T1), (3, T3))
    arrivals.run(pipeline)
    arrivals.write("b.csv", (2, T2), (4, T1))
    report = arrivals.run(pipeline)
    assert (report.rows_loaded, report.rows_filtered) == (2, 2)
    assert arrivals.ids() == [1, 2, 3]
    assert arrivals.ledger(pipeline)[-1].positions["column"]["high"] == "2024-01-03T10:00:00+00:00"


def test_a_lag_before_all_times_takes_everything(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(BY_AT | {"lag": "999999 weeks"}, target=MERGE)
    arrivals.write("a.csv", (1, T1))
    arrivals.run(pipeline)
    arrivals.write("b.csv", (2, "0001-01-01 00:00:00"))
    arrivals.run(pipeline)
    assert arrivals.ids() == [1, 2]


def test_the_first_run_starts_where_it_is_told(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(BY_AT | {"start": "2024-01-02"})
    arrivals.write("a.csv", (1, T1), (2, "2024-01-02 00:00:00"))
    report = arrivals.run(pipeline)
    assert (report.rows_loaded, report.rows_filtered) == (1, 1)
    arrivals.write("b.csv", (3, "2024-01-01 23:00:00"), (4, T3))
    arrivals.run(pipeline)
    assert arrivals.ids() == [2, 4]


def test_the_check_says_from_where_a_run_would_go_on(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(BY_AT)
    arrivals.write("a.csv", (1, T1))
    assert arrivals.check(pipeline).takes == "A run would take all records, whatever their 'at'."
    arrivals.run(pipeline)
    arrivals.write("b.csv", (2, T2))
    found = arrivals.check(pipeline)
    assert (
        found.takes
        == "A run would take the records whose 'at' is 2024-01-01T10:00:00+00:00 or more."
    )
    assert arrivals.ids() == [1]


def test_what_is_rejected_does_not_count_as_the_highest_value(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(BY_AT, rules=[{"column": "id", "between": [0, 100]}])
    arrivals.write("a.csv", (1, T1), (999, T3))
    assert arrivals.run(pipeline).rows_quarantined == 1
    arrivals.write("b.csv", (2, T2))
    assert arrivals.run(pipeline).rows_loaded == 1
    assert arrivals.ids() == [1, 2]


@pytest.mark.parametrize("at", ["", "infinity"])
def test_a_value_that_is_no_place_in_time_is_rejected(arrivals: Arrivals, at: str) -> None:
    pipeline = arrivals.pipeline(BY_AT)
    arrivals.write("a.csv", (1, T1), (2, at))
    report = arrivals.run(pipeline)
    assert report.rows_quarantined == 1
    (reject,) = list(read_quarantine(str(report.quarantine)))
    assert reject.record == 2
    arrivals.write("b.csv", (3, T2))
    arrivals.run(pipeline)
    assert arrivals.ids() == [1, 3]


def test_infinity_in_a_typed_file_is_no_highest_value(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(BY_AT, source={"location": "*.parquet", "format": "parquet"})
    longest = 2**63 - 1
    table = pa.table({"id": [1, 2], "at": pa.array([0, longest], pa.timestamp("us"))})
    pq.write_table(table, arrivals.folder / "a.parquet")
    report = arrivals.run(pipeline)
    assert (report.rows_loaded, report.reasons) == (1, {"null_not_allowed:at": 1})


def test_a_run_in_which_nothing_is_new_says_so(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(BY_AT)
    arrivals.write("a.csv", (1, T2))
    arrivals.run(pipeline)
    arrivals.write("b.csv", (2, T1))
    report = arrivals.run(pipeline)
    assert (report.status, report.rows_read, report.rows_filtered) == ("nothing_new", 2, 2)
    assert arrivals.run(pipeline).rows_read == 0


def test_only_rejects_keep_the_position_where_it_was(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(BY_AT, rules=[{"column": "id", "between": [0, 100]}])
    arrivals.write("a.csv", (999, T3))
    assert arrivals.run(pipeline).status == "done_with_rejects"
    arrivals.write("b.csv", (2, T2))
    arrivals.run(pipeline)
    assert arrivals.ids() == [2]


def test_of_two_runs_at_once_one_publishes(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(BY_AT)
    arrivals.write("a.csv", (1, T1))
    arrivals.run(pipeline)
    arrivals.write("b.csv", (2, T2))
    overtake = partial(arrivals.run, pipeline)
    with at_the_publication(before=overtake), pytest.raises(PositionMovedError):
        arrivals.run(pipeline)
    assert arrivals.ids() == [1, 2]
    assert arrivals.run(pipeline).status == "nothing_new"


@pytest.mark.parametrize("before", [None, NEW_FILES, BY_ID])
def test_append_does_not_begin_again_after_loads_of_another_kind(
    arrivals: Arrivals, before: dict[str, Any] | None
) -> None:
    arrivals.write("a.csv", (1, T1), (2, T2))
    earlier = arrivals.pipeline(before or NEW_FILES)
    if before is None:
        source = earlier.source.model_copy(update={"incremental": None})
        earlier = earlier.model_copy(update={"source": source})
    arrivals.run(earlier)
    with pytest.raises(LoadConflictError, match=r"not by column 'at'.*incremental\.start"):
        arrivals.run(arrivals.pipeline(BY_AT))
    arrivals.run(arrivals.pipeline(BY_AT, target=MERGE))
    assert arrivals.ids() == [1, 2]


def test_a_start_tells_append_where_to_go_on(arrivals: Arrivals) -> None:
    arrivals.write("a.csv", (1, T1), (2, T2))
    arrivals.run(arrivals.pipeline(NEW_FILES))
    arrivals.write("b.csv", (3, T3))
    arrivals.run(arrivals.pipeline(BY_AT | {"start": T3}))
    assert arrivals.ids() == [1, 2, 3]


@pytest.mark.parametrize(
    ("incremental", "message"),
    [
        (BY_ID | {"start": "2024-01-01"}, "start must be a number"),
        (BY_AT | {"start": 5}, "start must be a date or time"),
        ({"by": "column", "column": "att"}, "neither a column of the contract nor a field"),
    ],
)
def test_what_does_not_fit_the_column_is_refused(
    arrivals: Arrivals, incremental: dict[str, Any], message: str
) -> None:
    arrivals.write("a.csv", (1, T1))
    with pytest.raises(SpecificationError, match=message):
        arrivals.run(arrivals.pipeline(incremental))


def test_a_column_that_became_another_type_is_told(arrivals: Arrivals) -> None:
    arrivals.write("a.csv", (1, T1))
    arrivals.run(arrivals.pipeline(BY_AT))
    with duckdb.connect(str(arrivals.database)) as connection:
        connection.execute('ALTER TABLE orders ALTER "at" TYPE BIGINT USING id')
    fields = {"contract": "c", "target": {"fields": {"id": "int64", "at": "int64"}}}
    columns = {name: {"from": "id", "convert": "cast"} for name in ("id", "at")}
    with pytest.raises(SpecificationError, match="each an instant"):
        arrivals.run(arrivals.pipeline(BY_AT, mapping=fields | {"columns": columns}))


DAYS = [datetime(2024, 1, day, tzinfo=timezone.utc) for day in (1, 2, 3, 4)]


@pytest.mark.parametrize("target", [{}, MERGE], ids=["append", "merge"])
def test_windows_out_of_order_load_each_its_own(arrivals: Arrivals, target: dict[str, Any]) -> None:
    pipeline = arrivals.pipeline({"by": "data_interval", "column": "at"}, target=target)
    arrivals.write("a.csv", (1, T1), (2, T2), (3, T3))
    for day in (2, 0, 1):
        assert arrivals.run(pipeline, window=Window(DAYS[day], DAYS[day + 1])).rows_loaded == 1
    again = arrivals.run(pipeline, window=Window(DAYS[0], DAYS[1]))
    assert again.status == "already_loaded"
    assert arrivals.ids() == [1, 2, 3]


def test_an_old_window_again_does_not_put_old_rows_over_newer_ones(arrivals: Arrivals) -> None:
    target = MERGE | {"latest_by": "at"}
    pipeline = arrivals.pipeline({"by": "data_interval", "column": "at"}, target=target)
    arrivals.write("a.csv", (1, T1), (2, T1), (1, T3))
    arrivals.run(pipeline, window=Window(DAYS[0], DAYS[1]))
    arrivals.run(pipeline, window=Window(DAYS[2], DAYS[3]))
    arrivals.write("a.csv", (1, T1), (2, T1), (3, T1), (1, T3))
    report = arrivals.run(pipeline, window=Window(DAYS[0], DAYS[1]))
    assert (report.rows_loaded, report.rows_deduplicated) == (2, 1)
    assert arrivals.rows() == [(1, T3), (2, T1), (3, T1)]


def test_overlapping_windows_double_rows_only_in_append(arrivals: Arrivals) -> None:
    arrivals.write("a.csv", (1, T1), (2, T2), (3, T3))
    by = {"by": "data_interval", "column": "at"}
    windows = [Window(DAYS[0], DAYS[2]), Window(DAYS[1], DAYS[3])]
    for window in windows:
        arrivals.run(arrivals.pipeline(by, target=MERGE), window=window)
    assert arrivals.ids() == [1, 2, 3]
    for window in windows:
        arrivals.run(arrivals.pipeline(by, target={"table": "log"}), window=window)
    assert arrivals.ids(table="log") == [1, 2, 2, 3]


def test_a_window_with_other_input_stops_append(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline({"by": "data_interval", "column": "at"})
    arrivals.write("a.csv", (1, T1))
    arrivals.run(pipeline, window=Window(DAYS[0], DAYS[1]))
    arrivals.write("a.csv", (1, T1), (2, T2))
    with pytest.raises(LoadConflictError, match="another input"):
        arrivals.run(pipeline, window=Window(DAYS[0], DAYS[1]))
    assert arrivals.run(pipeline, window=Window(DAYS[1], DAYS[2])).rows_loaded == 1
    assert arrivals.ids() == [1, 2]
