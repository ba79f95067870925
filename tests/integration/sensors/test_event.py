"""The event sensor finds what fits, from the start of its DAG run on, and nothing else."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.sql import SqlStore
from airflow_etl_provider.sensors.event import EtlEventSensor
from airflow_etl_provider.triggers.event import EtlEventTrigger

START = datetime(2026, 11, 20, tzinfo=timezone.utc)


def event(name, *, minutes=1, kind="load_failed", pipeline="orders", key=None):
    return new_event(
        kind,
        key=key or pipeline,
        at=START + timedelta(minutes=minutes),
        pipeline=pipeline,
        facts={"run_id": name, "code": "x", "status": "done"},
        same=name,
    )


@pytest.fixture
def store(tmp_path, monkeypatch):
    path = tmp_path / "metadata.db"
    made = SqlStore(f"sqlite:///{path}")
    migrate(made.engine)
    monkeypatch.setenv(
        "AIRFLOW_CONN_ETL_METADATA_DEFAULT", json.dumps({"conn_type": "sqlite", "host": str(path)})
    )
    return made


CONTEXT = {"dag_run": SimpleNamespace(start_date=START)}


def sensor(**values):
    return EtlEventSensor(
        **{"task_id": "wait", "kind": "load_failed", "pipeline": "orders"} | values
    )


def deferred(**values):
    with pytest.raises(TaskDeferred) as told:
        sensor(**values).execute(CONTEXT)
    return told.value


def test_an_event_that_is_there_is_returned_at_once(store):
    store.append_events([event("a")])

    assert sensor().execute(CONTEXT)["facts"]["run_id"] == "a"
    assert sensor().poke(CONTEXT).xcom_value["facts"]["run_id"] == "a"


@pytest.mark.parametrize(
    "other",
    [
        event("other", minutes=-1),
        event("other", kind="run_finished"),
        event("other", pipeline="items"),
    ],
    ids=["from before", "kind", "pipeline"],
)
def test_an_event_that_does_not_fit_is_passed_over(store, other):
    store.append_events([other])

    assert sensor().poke(CONTEXT).is_done is False
    found = deferred()
    store.append_events([event("right")])

    (fired,) = fire(found.trigger)
    assert fired["facts"]["run_id"] == "right"
    assert sensor().execute_complete(CONTEXT, fired) == fired


def fire(trigger, *, meanwhile=None):
    """Run a trigger as the triggerer does: from what the database kept of it."""
    path, kwargs = trigger.serialize()
    assert path.endswith("EtlEventTrigger")
    again = EtlEventTrigger(**json.loads(json.dumps(kwargs)))

    async def collect():
        timer = threading.Timer(0.3, meanwhile) if meanwhile else None
        if timer:
            timer.start()
        return [found.payload async for found in again.run()]

    return asyncio.run(asyncio.wait_for(collect(), 60))


def test_the_trigger_waits_for_what_is_told_later(store):
    trigger = deferred(poke_interval=0.1).trigger

    (found,) = fire(trigger, meanwhile=lambda: store.append_events([event("later")]))

    assert found["facts"]["run_id"] == "later"


def test_what_was_told_before_the_trigger_began_is_not_missed(store):
    trigger = deferred(kind=["load_failed", "schema_changed"]).trigger
    store.append_events([event("in between")])

    assert fire(trigger)[0]["facts"]["run_id"] == "in between"


def test_triggers_beside_it_go_on_while_it_looks(store):
    trigger = deferred(poke_interval=0.05).trigger
    beats = []

    async def both():
        waiting = asyncio.ensure_future(anext(trigger.run()))
        for _ in range(20):
            await asyncio.sleep(0.01)
            beats.append(1)
        store.append_events([event("a")])
        return await asyncio.wait_for(waiting, 30)

    assert asyncio.run(both()).payload["facts"]["run_id"] == "a"
    assert len(beats) == 20


def test_a_key_and_a_moment_of_ones_own_hold(store):
    store.append_events([event("a", key="x"), event("b", key="y", minutes=-50)])

    assert sensor(key="x").execute(CONTEXT)["facts"]["run_id"] == "a"
    since = (START - timedelta(hours=1)).isoformat()
    assert sensor(key="y", since=since).execute(CONTEXT)["facts"]["run_id"] == "b"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "lode_failed"}, "lode_failed"),
        ({"since": "2026-11-20"}, "zone"),
        ({"kind": []}, "no event"),
    ],
)
def test_what_can_not_be_waited_for_is_refused(store, values, words):
    with pytest.raises(SpecificationError, match=words):
        sensor(**values).execute(CONTEXT)
