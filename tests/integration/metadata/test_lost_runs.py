"""A run whose worker was killed is ended by others, and by them only."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_etl_provider.metadata.lost_runs import LostTask, end_lost_runs
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import FailureRecord, RunRecord
from airflow_etl_provider.metadata.run_records import (
    Outcome,
    RunOf,
    events_at_start,
    records_at_end,
    records_at_start,
)
from airflow_etl_provider.metadata.sql import SqlStore

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def store(tmp_path):
    made = SqlStore(f"sqlite:///{tmp_path}/metadata.db")
    migrate(made.engine)
    yield made
    made.close()


def run(*, map_index=-1, try_number=1, at=NOW, dag_run="r1"):
    return RunOf(
        name=f"d/{dag_run}/load/{map_index}/1",
        pipeline="orders",
        kind="load",
        started_at=at,
        dag_id="d",
        dag_run_id=dag_run,
        task_id="load",
        map_index=map_index,
        try_number=try_number,
    )


def begin(store, *runs):
    for begun in runs:
        store.record(records_at_start(begun, version=7))
        store.append_events(events_at_start(begun))


def lose(store, task=None, *, at=LATER, dag_run="r1"):
    return end_lost_runs(store, dag_id="d", dag_run_id=dag_run, at=at, task=task)


def state(store, of):
    found = store.get(RunRecord, of.id)
    return found.status, found.error_code, found.try_number


def failures(store):
    return [(f.code, f.try_number) for f in store.find(Query(FailureRecord)).items]


def kinds(store):
    return [event.kind for _, event in store.read_events()]


def test_a_run_that_goes_on_is_ended_once_with_its_failure_and_events(store):
    ours, other = run(map_index=3), run(map_index=4)
    begin(store, ours, other)

    assert lose(store, LostTask("load", 3, 1)) == 1
    assert lose(store, LostTask("load", 3, 1)) == 0

    assert state(store, ours) == ("failed", "worker_lost", 1)
    found = store.get(RunRecord, ours.id)
    assert (found.pipeline_version, found.ended_at) == (7, LATER)
    assert state(store, other) == ("running", None, 1)
    assert failures(store) == [("worker_lost", 1)]
    assert kinds(store) == ["run_started", "run_started", "load_failed", "run_finished"]


def test_a_worker_that_told_how_it_ended_is_believed(store):
    begin(store, run())
    outcome = Outcome({"status": "failed"}, "failed", {}, "target_unavailable", "away")
    store.record(records_at_end(run(), outcome, at=NOW + timedelta(seconds=1)))

    assert lose(store, LostTask("load", -1, 1)) == 0
    assert lose(store) == 0

    assert state(store, run()) == ("failed", "target_unavailable", 1)


def test_a_later_try_goes_on_and_the_failure_of_the_one_before_is_told(store):
    begin(store, run(), run(try_number=2, at=LATER))

    assert lose(store, LostTask("load", -1, 1), at=NOW + timedelta(minutes=1)) == 1

    assert state(store, run()) == ("running", None, 2)
    assert failures(store) == [("worker_lost", 1)]
    assert kinds(store)[-1] == "load_failed"


def test_a_run_of_a_worker_whose_clock_is_ahead_is_ended_all_the_same(store):
    begin(store, run(at=LATER + timedelta(hours=1)))

    assert lose(store, LostTask("load", -1, 1)) == 1

    assert state(store, run())[0] == "failed"


def test_all_runs_of_a_dag_run_that_is_over_are_ended(store):
    runs = [run(map_index=index) for index in range(130)]
    begin(store, *runs, run(dag_run="r2"))

    assert lose(store) == 130

    assert {state(store, of)[0] for of in runs} == {"failed"}
    assert state(store, run(dag_run="r2"))[0] == "running"


def test_a_task_that_was_cleared_after_the_end_of_its_dag_run_goes_on(store):
    begin(store, run(at=LATER + timedelta(seconds=3)))

    assert lose(store) == 0

    assert state(store, run())[0] == "running"
