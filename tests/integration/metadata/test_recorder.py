"""What a run tells the store arrives once; a store that is away costs the run nothing."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from airflow_etl_provider.contracts.report import InputReport, RunReport
from airflow_etl_provider.exceptions import MetadataUnavailableError
from airflow_etl_provider.metadata import recorder
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.recorder import Recorder
from airflow_etl_provider.metadata.records import (
    BatchRecord,
    DatasetRecord,
    FailureRecord,
    LoadRecord,
    MetricRecord,
    QuarantineRecord,
    RunRecord,
    SchemaVersionRecord,
)
from airflow_etl_provider.metadata.registration import merge_dataset
from airflow_etl_provider.metadata.run_records import (
    RunOf,
    failure_fingerprint,
    outcome_of_load,
)
from airflow_etl_provider.metadata.sql import SqlStore

NOW = datetime(2026, 11, 20, 9, 14, tzinfo=timezone.utc)
LATER = datetime(2026, 11, 20, 9, 15, tzinfo=timezone.utc)


@pytest.fixture
def store(empty_metadata):
    migrate(empty_metadata)
    return SqlStore(empty_metadata)


def run(**values):
    return RunOf(
        **{
            "name": "dag/run/task/1",
            "pipeline": "orders",
            "kind": "load",
            "started_at": NOW,
            "mode": "append",
            "dag_id": "dag",
            "try_number": 1,
        }
        | values
    )


REPORT = RunReport(
    status="done_with_rejects",
    run_id="dag/run/task/1",
    pipeline="orders",
    load_id="l1",
    target="warehouse#orders",
    rows_read=10,
    rows_loaded=8,
    rows_quarantined=2,
    bytes_read=100,
    seconds=2.0,
    reasons={"not_converted:amount": 2},
    quarantine="/q/orders/l1",
    inputs=(InputReport("a.csv", 6, 4, 2, 0), InputReport("b.csv", 4, 4, 0, 0)),
)

FAILED = replace(
    REPORT,
    status="failed",
    load_id=None,
    error={"code": "too_many_rejected", "message": "2 of 10 records rejected."},
)


def record(store, *, report=REPORT, of=None, patience=10, **options):
    recorder = Recorder(of or run(), open_store=lambda: store, clock=lambda: LATER, **options)
    recorder.begin()
    recorder.end(outcome_of_load(report, figures={"memory_bytes": 5.0}), patience=patience)
    return recorder


def test_a_run_its_inputs_its_load_its_metrics_and_its_quarantine_are_written(store):
    assert record(store).failure is None

    (found,) = store.find(Query(RunRecord)).items
    assert (found.status, found.started_at, found.ended_at) == ("done_with_rejects", NOW, LATER)
    assert (found.rows_read, found.rows_loaded, found.rows_quarantined) == (10, 8, 2)
    assert "inputs" not in found.report
    inputs = store.find(Query(BatchRecord)).items
    assert sorted((b.number, b.input, b.rows_read) for b in inputs) == [
        (0, "a.csv", 6),
        (1, "b.csv", 4),
    ]
    (load,) = store.find(Query(LoadRecord)).items
    assert (load.load_id, load.target, load.rows_loaded) == ("l1", "warehouse#orders", 8)
    (kept,) = store.find(Query(QuarantineRecord)).items
    assert (kept.records, kept.status, kept.reasons) == (2, "published", REPORT.reasons)
    metrics = {m.name: m.value for m in store.find(Query(MetricRecord)).items}
    assert (metrics["rows"], metrics["rejected_share"], metrics["rows_per_second"]) == (10, 0.2, 5)
    assert metrics["memory_bytes"] == 5
    assert [event.kind for _, event in store.read_events()] == [
        "run_started",
        "load_published",
        "quarantine_written",
        "run_finished",
    ]


def test_a_failure_is_written_with_what_failed_and_no_load(store):
    record(store, report=FAILED)

    (found,) = store.find(Query(FailureRecord)).items
    assert (found.code, found.message) == ("too_many_rejected", "2 of 10 records rejected.")
    assert store.find(Query(LoadRecord)).items == ()
    assert store.find(Query(QuarantineRecord)).items[0].status == "not_published"


def test_a_retry_is_the_same_run_with_a_failure_of_its_own(store):
    record(store, report=FAILED)
    record(store, report=FAILED, of=run(try_number=2))
    record(store, of=run(try_number=3))

    (found,) = store.find(Query(RunRecord)).items
    assert (found.status, found.try_number, found.error_code) == ("done_with_rejects", 3, None)
    failures = store.find(Query(FailureRecord)).items
    assert sorted(f.try_number for f in failures) == [1, 2]
    assert len({f.fingerprint for f in failures}) == 1


def test_telling_the_same_again_writes_nothing_twice(store):
    record(store)
    events = store.read_events()
    metrics = store.find(Query(MetricRecord)).items

    record(store)

    assert store.read_events() == events
    assert store.find(Query(MetricRecord)).items == metrics


class Faltering:
    """A store that is away for the first few questions."""

    def __init__(self, store, times):
        self._store, self._times = store, times

    def __getattr__(self, name):
        method = getattr(self._store, name)

        def ask(*words, **more):
            if self._times > 0:
                self._times -= 1
                raise MetadataUnavailableError("The metadata store is away.")
            return method(*words, **more)

        return method if name == "close" else ask


def test_a_store_that_is_away_for_a_moment_is_asked_again(store):
    recorder = record(Faltering(store, times=2))

    assert recorder.failure is None
    assert len(store.find(Query(RunRecord)).items) == 1


def test_a_store_that_stays_away_costs_a_warning_and_no_more(caplog):
    def refuse():
        raise MetadataUnavailableError("The metadata store is away.")

    recorder = Recorder(run(), open_store=refuse, clock=lambda: LATER)
    with caplog.at_level(logging.WARNING):
        recorder.begin()
        recorder.end(outcome_of_load(REPORT, figures={}), patience=10)

    assert isinstance(recorder.failure, MetadataUnavailableError)
    assert "metadata reconcile" in caplog.text


def test_a_store_that_hangs_holds_a_run_up_no_longer_than_patience_lasts(caplog):
    released = threading.Event()

    def hang():
        released.wait(60)
        raise MetadataUnavailableError("too late")

    recorder = Recorder(run(), open_store=hang, clock=lambda: LATER)
    recorder.begin()
    with caplog.at_level(logging.WARNING):
        recorder.end(outcome_of_load(REPORT, figures={}), patience=0.1)
    released.set()

    assert "did not answer" in caplog.text


def test_an_error_that_is_none_of_ours_is_told_and_not_raised(store, caplog):
    class Odd:
        def __getattr__(self, name):
            if name == "close":
                return lambda: None
            raise ZeroDivisionError

    with caplog.at_level(logging.WARNING):
        recorder = record(Odd())

    assert "ZeroDivisionError" in str(recorder.failure)


def test_another_writer_is_waited_for(tmp_path):
    url = f"sqlite:///{tmp_path}/shared.db"
    store = SqlStore(url)
    migrate(store.engine)
    other = sqlite3.connect(tmp_path / "shared.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    recorder = Recorder(run(), open_store=lambda: SqlStore(url), clock=lambda: LATER)
    recorder.begin()
    ends = threading.Thread(
        target=recorder.end, args=(outcome_of_load(REPORT, figures={}),), kwargs={"patience": 30}
    )
    ends.start()
    time.sleep(0.2)

    other.execute("COMMIT")
    ends.join()

    assert len(store.find(Query(RunRecord)).items) == 1


def test_datasets_and_their_schemas_are_noted_and_keep_what_others_said(store):
    described = DatasetRecord(
        id="d",
        name="warehouse/orders",
        kind="table",
        seen_at=NOW,
        created_at=NOW,
        description="Orders, by day",
        tags=("finance",),
        columns=({"name": "email", "type": "string", "tags": ["personal"]},),
    )
    store.record([described])
    told = DatasetRecord(
        id="d",
        name="warehouse/orders",
        kind="table",
        seen_at=LATER,
        created_at=LATER,
        columns=({"name": "email", "type": "string"}, {"name": "id", "type": "int64"}),
        fingerprint="f2",
    )
    recorder = Recorder(run(), open_store=lambda: store, clock=lambda: LATER)
    recorder.begin()

    recorder.note([told], schemas=[SchemaVersionRecord("d", 0, "f2", told.columns, LATER)])
    recorder.end(outcome_of_load(REPORT, figures={}), patience=10)

    found = store.get(DatasetRecord, "d")
    assert (found.description, found.tags, found.created_at) == (
        "Orders, by day",
        ("finance",),
        NOW,
    )
    assert found.columns[0]["tags"] == ["personal"]
    assert (found.fingerprint, found.schema_version) == ("f2", 1)
    assert merge_dataset(told, None) == told


def test_a_run_leaves_the_schema_to_discovery_once_that_has_looked(store):
    columns = ({"name": "sku", "type": "string", "tags": ["personal"]},)
    entry = DatasetRecord(
        id="d",
        name="warehouse/orders",
        kind="table",
        seen_at=NOW,
        created_at=NOW,
        columns=columns,
        fingerprint="f1",
        schema_version=1,
        rows=10,
    )
    store.record_schema(SchemaVersionRecord("d", 0, "f1", columns, NOW))
    store.record([entry])
    wanted = ({"name": "sku", "type": "string(6)"},)
    told = replace(entry, seen_at=LATER, columns=wanted, fingerprint="f2", rows=None)
    made = Recorder(run(), open_store=lambda: store, clock=lambda: LATER)
    made.begin()

    made.note([told], schemas=[SchemaVersionRecord("d", 0, "f2", wanted, LATER)])
    made.end(outcome_of_load(REPORT, figures={}), patience=10)

    found = store.get(DatasetRecord, "d")
    assert (found.seen_at, found.columns, found.fingerprint) == (LATER, columns, "f1")
    assert [one.fingerprint for one in store.find(Query(SchemaVersionRecord)).items] == ["f1"]


def test_failures_of_one_cause_have_one_fingerprint():
    one = failure_fingerprint("x", "E", "Row 17 of '/data/a b.csv' has 3 fields (id 6f1cdeadbeef).")
    same = failure_fingerprint("x", "E", "Row 9 of '/tmp/b.csv' has 12 fields (id 0123456789ab).")

    assert one == same
    assert one != failure_fingerprint("x", "E", "The file is empty.")
    assert one != failure_fingerprint("y", "E", "Row 17 of '/data/a b.csv' has 3 fields.")


def test_others_are_told_once_the_run_is_written_and_hold_it_up_for_a_moment_only(
    store, caplog, monkeypatch
):
    monkeypatch.setattr(recorder, "_RELAY_PATIENCE", 0.2)
    seen, hang = [], threading.Event()

    def relay(told):
        seen.extend(event.kind for _, event in told.read_events())
        hang.wait(30)

    made = Recorder(run(), open_store=lambda: store, clock=lambda: LATER, relay=relay)
    made.begin()
    started = time.monotonic()
    made.end(outcome_of_load(REPORT, figures={}), patience=20)

    assert time.monotonic() - started < 15
    assert seen[0] == "run_started"
    assert seen[-1] == "run_finished"
    assert store.get(RunRecord, run().id).status == "done_with_rejects"
    assert "not recorded" not in caplog.text
    assert "has not taken the events" in caplog.text
    hang.set()


def test_a_run_that_was_not_written_tells_nobody(caplog):
    told = []

    def away():
        raise MetadataUnavailableError("away")

    made = Recorder(run(), open_store=away, clock=lambda: LATER, relay=told.append)
    made.begin()
    made.end(outcome_of_load(REPORT, figures={}), patience=20)

    assert told == []
    assert caplog.text.count("was not recorded") == 1
