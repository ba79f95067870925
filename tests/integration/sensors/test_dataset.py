"""Sensors of a dataset: what changed in it, and whether it is fresh."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.records import LoadRecord, stable_id
from airflow_etl_provider.metadata.sql import SqlStore
from airflow_etl_provider.sensors.dataset import DatasetFreshnessSensor, SchemaChangeSensor

START = datetime(2026, 11, 20, tzinfo=timezone.utc)
CONTEXT = {"dag_run": SimpleNamespace(start_date=START)}
ORDERS = "warehouse/sales.orders"


@pytest.fixture
def store(tmp_path, monkeypatch):
    path = tmp_path / "metadata.db"
    made = SqlStore(f"sqlite:///{path}")
    migrate(made.engine)
    monkeypatch.setenv(
        "AIRFLOW_CONN_ETL_METADATA_DEFAULT", json.dumps({"conn_type": "sqlite", "host": str(path)})
    )
    yield made
    made.close()


def drifted(*, breaking, dataset=ORDERS, minutes=1):
    facts = {"dataset": dataset, "severity": "warning", "changes": 2, "breaking": breaking}
    at = START + timedelta(minutes=minutes)
    return new_event("dataset_drifted", key=dataset, at=at, facts=facts)


def loaded(store, at, *, number=0, undone_at=None):
    store.record(
        [
            LoadRecord(
                id=stable_id("load", ORDERS, str(number)),
                load_id=str(number),
                target=ORDERS,
                pipeline="orders",
                run_name="r",
                mode="append",
                published_at=at,
                recorded_at=at,
                undone_at=undone_at,
            )
        ]
    )


def fire(trigger, *, meanwhile):
    """Run a trigger as the triggerer does: from what the database kept of it."""
    path, arguments = trigger.serialize()
    kind = type(trigger)
    assert path == f"{kind.__module__}.{kind.__qualname__}"
    again = kind(**json.loads(json.dumps(arguments | {"poll": 0.02})))

    async def run():
        async def first():
            return (await anext(again.run())).payload

        waiting = asyncio.ensure_future(first())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await asyncio.to_thread(meanwhile)
        return await asyncio.wait_for(waiting, 30)

    return asyncio.run(run())


def deferred(sensor):
    with pytest.raises(TaskDeferred) as told:
        sensor.execute(CONTEXT)
    return told.value.trigger


def test_any_change_of_the_dataset_is_waited_for(store):
    sensor = SchemaChangeSensor(task_id="wait", dataset=ORDERS)
    store.append_events([drifted(breaking=0, dataset="other"), drifted(breaking=0, minutes=-1)])

    trigger = deferred(sensor)
    found = fire(trigger, meanwhile=lambda: store.append_events([drifted(breaking=0)]))

    assert found["facts"]["changes"] == 2
    assert sensor.execute(CONTEXT) == found


def test_only_a_breaking_change_is_waited_for(store):
    sensor = SchemaChangeSensor(task_id="wait", dataset=ORDERS, effect="breaking")
    store.append_events([drifted(breaking=0)])

    trigger = deferred(sensor)
    found = fire(trigger, meanwhile=lambda: store.append_events([drifted(breaking=1)]))

    assert found["facts"]["breaking"] == 1
    assert sensor.poke(CONTEXT).is_done


def test_only_another_schema_is_waited_for(store):
    sensor = SchemaChangeSensor(task_id="wait", dataset=ORDERS, effect="schema", deferrable=False)
    store.append_events([drifted(breaking=1)])
    assert not sensor.poke(CONTEXT).is_done

    facts = {"dataset": ORDERS, "fingerprint": "6f1c"}
    at = START + timedelta(minutes=1)
    store.append_events([new_event("schema_changed", key=ORDERS, at=at, facts=facts)])

    assert sensor.poke(CONTEXT).is_done


def test_an_effect_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="allowed: any, schema, breaking"):
        SchemaChangeSensor(task_id="wait", dataset=ORDERS, effect="bad")


def test_an_old_update_is_not_fresh_and_a_new_one_is(store):
    sensor = DatasetFreshnessSensor(task_id="wait", dataset=ORDERS, max_age=timedelta(hours=1))
    now = store.now()
    loaded(store, now - timedelta(hours=2))

    trigger = deferred(sensor)
    found = fire(trigger, meanwhile=lambda: loaded(store, now, number=1))

    assert found["dataset"] == ORDERS
    assert sensor.execute(CONTEXT) == found
    assert sensor.poke(CONTEXT).xcom_value == found


def test_a_load_that_was_undone_is_no_update(store):
    now = store.now()
    loaded(store, now, undone_at=now)

    sensor = DatasetFreshnessSensor(task_id="wait", dataset=ORDERS, max_age=3600)

    assert not sensor.poke(CONTEXT).is_done


def test_without_an_age_the_history_says_what_is_late(store):
    sensor = DatasetFreshnessSensor(task_id="wait", dataset=ORDERS)
    now = store.now()
    for number in range(6):
        loaded(store, now - timedelta(hours=30 - number), number=number)
    assert not sensor.poke(CONTEXT).is_done

    loaded(store, now, number=9)

    assert sensor.poke(CONTEXT).is_done


def test_updates_from_before_a_moment_do_not_count(store):
    now = store.now()
    loaded(store, now - timedelta(minutes=10))
    since = (now - timedelta(minutes=5)).isoformat()

    late = DatasetFreshnessSensor(task_id="w", dataset=ORDERS, max_age=3600, since=since)
    fine = DatasetFreshnessSensor(task_id="w", dataset=ORDERS, max_age=3600)

    assert not late.poke(CONTEXT).is_done
    assert fine.poke(CONTEXT).is_done


def test_a_moment_without_zone_is_refused(store):
    sensor = DatasetFreshnessSensor(task_id="w", dataset=ORDERS, since="2026-11-20T09:14:00")

    with pytest.raises(SpecificationError, match="no moment with its zone"):
        sensor.poke(CONTEXT)
