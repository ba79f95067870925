"""A watcher tells what happens from its first start on, and leaves nothing out afterwards."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from datetime import datetime, timezone

import pytest
from airflow.sdk import AssetWatcher

from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.exceptions import MetadataUnavailableError, SpecificationError
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.sql import SqlStore
from airflow_etl_provider.triggers import event_watch
from airflow_etl_provider.triggers.event_watch import EtlEventWatchTrigger

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)


def event(number, *, kind="load_failed", pipeline="orders", key="k"):
    facts = {"run_id": str(number), "code": "x", "status": "done"}
    return new_event(kind, key=key, at=NOW, pipeline=pipeline, facts=facts, same=str(number))


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


def watch(store, *, until, meanwhile=lambda: None, **values):
    """Run a watcher until it has told so many events; tell the numbers."""

    async def run():
        trigger = EtlEventWatchTrigger(**{"kinds": ["load_failed"], "poll": 0.02} | values)
        seen = []
        async with aclosing(trigger.run()) as events:
            first = asyncio.ensure_future(anext(events))
            while not first.done() and not store.event_position(trigger.group):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            if not first.done():
                await asyncio.to_thread(meanwhile)
            seen.append((await asyncio.wait_for(first, 30)).payload)
            while len(seen) < until:
                seen.append((await asyncio.wait_for(anext(events), 30)).payload)
        return [int(found["facts"]["run_id"]) for found in seen]

    return asyncio.run(run())


def test_what_happened_before_its_first_start_is_passed_over(store):
    store.append_events([event(1)])

    seen = watch(
        store,
        until=2,
        meanwhile=lambda: store.append_events(
            [
                event(2),
                event(3, kind="run_finished"),
                event(4, pipeline="items"),
                event(5, key="other"),
                event(6),
            ]
        ),
        pipeline="orders",
        key="k",
    )

    assert seen == [2, 6]


def test_what_happened_while_it_was_away_is_told_and_what_is_not_settled_again(store):
    assert watch(store, until=1, meanwhile=lambda: store.append_events([event(1)])) == [1]
    store.append_events([event(2)])

    assert watch(store, until=2) == [1, 2]


def test_one_that_crashed_before_it_was_anywhere_begins_where_it_began(store, monkeypatch):
    moved = SqlStore.move_event_position
    monkeypatch.setattr(SqlStore, "move_event_position", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        watch(store, until=1)
    monkeypatch.setattr(SqlStore, "move_event_position", moved)
    store.append_events([event(1)])

    assert watch(store, until=1) == [1]


def test_what_is_settled_is_not_told_again_and_holds_no_cleaning_up(store, monkeypatch):
    monkeypatch.setattr(event_watch, "_SETTLED", 0.0)
    others = [event(number, kind="run_finished") for number in range(2, 700)]

    assert watch(
        store,
        until=2,
        meanwhile=lambda: store.append_events([event(1), *others, event(1000)]),
    ) == [1, 1000]
    store.append_events([event(1001)])

    # All but the page that the last one stood in has settled.
    assert watch(store, until=2) == [1000, 1001]


def test_a_database_that_is_away_for_a_while_ends_no_watcher(store, monkeypatch, caplog):
    real, fails = SqlStore.read_events, [MetadataUnavailableError("away")] * 2
    monkeypatch.setattr(event_watch, "_FIRST_PAUSE", 0.01)

    def read(self, **how):
        if fails and "kinds" not in how:
            raise fails.pop()
        return real(self, **how)

    monkeypatch.setattr(SqlStore, "read_events", read)

    assert watch(store, until=1, meanwhile=lambda: store.append_events([event(1)])) == [1]
    assert caplog.text.count("goes on in a while") == 2


def test_it_can_watch_an_asset_and_survives_serialisation():
    trigger = EtlEventWatchTrigger(kinds="load_failed", pipeline="orders", watcher="mine")
    AssetWatcher(name="w", trigger=trigger)

    path, arguments = trigger.serialize()

    assert path == "airflow_etl_provider.triggers.event_watch.EtlEventWatchTrigger"
    assert EtlEventWatchTrigger(**json.loads(json.dumps(arguments))).serialize() == (
        path,
        arguments,
    )
    assert trigger.group == "mine"


def test_what_never_happens_can_not_be_watched():
    with pytest.raises(SpecificationError, match="'load_faild'"):
        EtlEventWatchTrigger(kinds=["load_faild"])
