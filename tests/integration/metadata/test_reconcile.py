"""The target's ledger is the truth: a lost store is rebuilt from it, and no load is lost."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.undo import list_loads, undo_load
from airflow_etl_provider.engines.upkeep import sweep_quarantine
from airflow_etl_provider.metadata.migrate import downgrade, migrate
from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.reconcile import (
    Reconciled,
    abandon_stale_runs,
    note_swept,
    reconcile_loads,
)
from airflow_etl_provider.metadata.recorder import Recorder
from airflow_etl_provider.metadata.records import (
    LoadRecord,
    QuarantineRecord,
    RunRecord,
    stable_id,
)
from airflow_etl_provider.metadata.run_records import RunOf, outcome_of_load
from airflow_etl_provider.metadata.sql import SqlStore


def now():
    return datetime.now(timezone.utc)


class Deployment:
    """A pipeline that loads files into DuckDB, and a store that is told of it."""

    def __init__(self, folder: Path, engine) -> None:
        self.folder = folder
        self.engine = engine
        migrate(engine)
        self.store = SqlStore(engine)
        self.pipeline = Pipeline.model_validate(
            {
                "pipeline": "orders",
                "source": {"location": str(folder / "orders.csv"), "format": "csv"},
                "target": {
                    "connection": "warehouse",
                    "table": "orders",
                    "load_columns": True,
                },
                "mapping": {
                    "contract": "orders",
                    "target": {"fields": {"id": "int64"}},
                    "columns": {"id": {"from": "id", "convert": "parse_int"}},
                },
                "max_rejected": "none",
            }
        )

    def connections(self, name: str) -> Connection:
        return Connection(name=name, kind="duckdb", host=str(self.folder / "warehouse.duckdb"))

    def run(self, number: int, *, recorded: bool = True, told_end: bool = True):
        (self.folder / "orders.csv").write_text(f"id\n{number}\nbad\n")
        run = RunOf(
            name=f"shop/run{number}/load/1",
            pipeline="orders",
            kind="load",
            started_at=now(),
            mode="append",
            dag_id="shop",
        )
        recorder = Recorder(run, open_store=lambda: self.store, clock=now)
        if recorded:
            recorder.begin()
        report = run_pipeline(
            self.pipeline,
            connections=self.connections,
            run_id=run.name,
            options=EngineOptions(quarantine_home=self.folder / "q"),
            clock=now,
        )
        if recorded and told_end:
            recorder.end(outcome_of_load(report, figures={}), patience=10)
        elif recorded:
            recorder._work.put(None)
            recorder._thread.join()
        return report

    def ledger(self):
        return list_loads(self.pipeline, connections=self.connections, base=None)

    def reconcile(self) -> Reconciled:
        return reconcile_loads(self.store, "orders", self.ledger(), now=now())

    def runs(self):
        return sorted(self.store.find(Query(RunRecord)).items, key=lambda run: run.run_name)


@pytest.fixture
def deployment(tmp_path, empty_metadata):
    return Deployment(tmp_path, empty_metadata)


FACTS = (
    "id",
    "run_name",
    "pipeline",
    "status",
    "dag_id",
    "load_id",
    "target",
    "rows_read",
    "rows_loaded",
    "rows_quarantined",
)


def facts(runs):
    return [[getattr(run, name) for name in FACTS] for run in runs]


def test_a_store_that_was_lost_is_rebuilt_from_the_ledgers(deployment):
    for number in (1, 2, 3):
        deployment.run(number)
    before = facts(deployment.runs())
    loads = {load.id for load in deployment.store.find(Query(LoadRecord)).items}
    quarantines = {q.id for q in deployment.store.find(Query(QuarantineRecord)).items}

    downgrade(deployment.engine, to="base")
    migrate(deployment.engine)
    done = deployment.reconcile()

    assert (done.loads, done.runs) == (3, 3)
    assert facts(deployment.runs()) == before
    assert all(run.reconciled for run in deployment.runs())
    assert deployment.runs()[0].task_id == "load"
    assert {load.id for load in deployment.store.find(Query(LoadRecord)).items} == loads
    assert {q.id for q in deployment.store.find(Query(QuarantineRecord)).items} == quarantines


def test_reconciling_again_writes_nothing(deployment):
    deployment.run(1)
    assert deployment.reconcile() == Reconciled(loads=1)  # the epoch, which a run does not know
    assert deployment.reconcile() == Reconciled()


def test_a_load_that_nobody_recorded_is_added(deployment):
    deployment.run(1)
    deployment.run(2, recorded=False)

    assert deployment.reconcile().runs == 1
    assert [run.reconciled for run in deployment.runs()] == [False, True]


def test_a_run_whose_worker_died_after_the_commit_is_completed(deployment):
    deployment.run(1, told_end=False)
    assert [run.status for run in deployment.runs()] == ["running"]

    deployment.reconcile()

    (run,) = deployment.runs()
    assert (run.status, run.rows_loaded, run.reconciled) == ("done_with_rejects", 1, True)


def test_a_load_that_was_undone_is_marked(deployment):
    report = deployment.run(1)
    deployment.run(2)
    deployment.reconcile()
    undo_load(deployment.pipeline, report.load_id, connections=deployment.connections, base=None)

    assert deployment.reconcile().undone == 1
    undone = {
        load.load_id: load.undone_at is not None
        for load in deployment.store.find(Query(LoadRecord)).items
    }
    assert undone[report.load_id] is True
    assert sum(undone.values()) == 1
    assert deployment.reconcile() == Reconciled()


def test_runs_that_run_for_too_long_are_abandoned_and_others_are_not(deployment):
    old, new = now() - timedelta(hours=30), now()
    deployment.store.record(
        [
            RunRecord("old", "old", "orders", "load", "running", old, old),
            RunRecord("new", "new", "orders", "load", "running", new, new),
            RunRecord("done", "done", "orders", "load", "done", old, old),
        ]
    )

    done = abandon_stale_runs(deployment.store, now=now(), after=timedelta(hours=24))

    assert done.abandoned == 1
    assert {run.id: run.status for run in deployment.runs()} == {
        "old": "abandoned",
        "new": "running",
        "done": "done",
    }


def test_rejects_that_no_ledger_names_are_swept_and_others_stay(deployment):
    undone, kept = deployment.run(1), deployment.run(2)
    undo_load(deployment.pipeline, undone.load_id, connections=deployment.connections, base=None)

    def sweep(days):
        return sweep_quarantine(
            deployment.pipeline,
            connections=deployment.connections,
            base=None,
            options=EngineOptions(quarantine_home=deployment.folder / "q"),
            now=time.time() + days * 86_400,
        )

    assert sweep(days=0) == []
    assert sweep(days=30) == [undone.quarantine]
    assert Path(kept.quarantine).is_dir()
    assert not Path(undone.quarantine).exists()


def test_the_index_knows_which_quarantines_were_removed(deployment):
    made = QuarantineRecord(
        stable_id("quarantine", "/q/a"), "/q/a", "orders", "not_published", now(), now(), records=3
    )
    deployment.store.record([made])

    note_swept(deployment.store, ["/q/a", "/q/never seen"], at=now())

    found = {q.location: q for q in deployment.store.find(Query(QuarantineRecord)).items}
    assert (found["/q/a"].status, found["/q/a"].records) == ("swept", 3)
    assert "/q/never seen" not in found
