"""Old records go, in small steps; what is still needed stays."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import (
    DatasetRecord,
    MetricRecord,
    QuarantineRecord,
    RunRecord,
)
from airflow_etl_provider.metadata.retention import DEFAULT_DAYS, KEPT, clean, read_days
from airflow_etl_provider.metadata.sql import SqlStore
from airflow_etl_provider.metadata.tables import METADATA

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)


def ago(days):
    return NOW - timedelta(days=days)


@pytest.fixture
def store(empty_metadata):
    migrate(empty_metadata)
    return SqlStore(empty_metadata)


def run(name, days, status="done"):
    return RunRecord(name, name, "orders", "load", status, ago(days), ago(days))


def event(name, days):
    facts = {"run_id": name, "code": "x"}
    return new_event("load_failed", key="orders", at=ago(days), facts=facts, same=name)


def test_every_table_is_either_cleaned_or_kept():
    names = {name.removeprefix("etl_") for name in METADATA.tables}

    assert names == {*DEFAULT_DAYS, *KEPT}


def test_what_is_older_than_its_days_goes_and_nothing_else(store):
    store.record([run("old", 366), run("new", 364), run("going_on", 900, "running")])
    store.record([MetricRecord(r, "rows", ago(d), "orders", 1) for r, d in (("a", 91), ("b", 89))])

    done = {c.table: c.records for c in clean(store.engine, now=NOW)}

    assert (done["run"], done["metric"]) == (1, 1)
    assert sorted(r.id for r in store.find(Query(RunRecord)).items) == ["going_on", "new"]
    assert [m.run_id for m in store.find(Query(MetricRecord)).items] == ["b"]


def test_a_dry_run_counts_and_takes_nothing(store):
    store.record([run("old", 366), run("older", 500)])

    done = {c.table: c.records for c in clean(store.engine, now=NOW, dry_run=True)}

    assert done["run"] == 2
    assert len(store.find(Query(RunRecord)).items) == 2


def test_many_go_in_small_steps(store):
    store.record([run(f"old{at}", 400) for at in range(25)])

    done = {c.table: c.records for c in clean(store.engine, now=NOW, batch_size=10)}

    assert done["run"] == 25
    assert store.find(Query(RunRecord)).items == ()


def test_quarantines_that_are_there_and_datasets_that_are_not_missing_stay(store):
    store.record(
        [
            QuarantineRecord(status, "/q", "orders", status, ago(900), ago(900))
            for status in ("published", "not_published", "replayed", "swept")
        ]
        + [
            DatasetRecord("there", "there", "table", ago(900), ago(900)),
            DatasetRecord("gone", "gone", "table", ago(900), ago(900), missing_since=ago(400)),
        ]
    )

    clean(store.engine, now=NOW)

    kept = store.find(Query(QuarantineRecord)).items
    assert sorted(k.id for k in kept) == ["not_published", "published"]
    assert [d.id for d in store.find(Query(DatasetRecord)).items] == ["there"]


def test_events_that_a_reader_has_not_seen_or_has_put_aside_stay(store):
    store.append_events([event("read", 40), event("dead", 40), event("unread", 40)])
    second = store.read_events()[1]
    store.count_attempt("g", second[1].id, reason="no", dead=True)
    store.move_event_position("g", old=0, new=second[0])

    clean(store.engine, now=datetime.now(timezone.utc))

    assert [e.facts["run_id"] for _, e in store.read_events()] == ["dead", "unread"]


def test_events_without_readers_go_by_age(store):
    store.append_events([event("old", 40), event("new", 2)])

    clean(store.engine, now=NOW)

    assert [e.facts["run_id"] for _, e in store.read_events()] == ["new"]


def test_days_are_read_as_people_write_them():
    assert read_days("") == dict(DEFAULT_DAYS)
    assert read_days("run: 10, metric:0") == DEFAULT_DAYS | {"run": 10, "metric": 0}


@pytest.mark.parametrize(
    ("text", "words"),
    [("runs:1", "no records"), ("contract:1", "never"), ("run:x", "days"), ("run", "days")],
)
def test_days_that_mean_nothing_are_refused(text, words):
    with pytest.raises(SpecificationError, match=words):
        read_days(text)


def test_a_table_without_days_is_left_alone(store):
    store.record([run("old", 4000)])

    assert clean(store.engine, now=NOW, days={"run": 0}) == ()
    assert len(store.find(Query(RunRecord)).items) == 1
