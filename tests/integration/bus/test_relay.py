"""Events get from the table to a broker, in order, and none is left behind."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

import airflow.settings  # noqa: F401 - sets logging up; within a test it would end `caplog`
import pytest

from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.bus.memory import MemoryBus
from airflow_etl_provider.bus.relay import bus_of, relay_events
from airflow_etl_provider.cli.doctor_links import bus_findings
from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.exceptions import BusUnavailableError, SpecificationError
from airflow_etl_provider.hooks.messages import event_relay
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.sql import SqlStore

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)


def event(number):
    facts = {"run_id": str(number), "code": "x"}
    return new_event("load_failed", key=f"p{number % 3}", at=NOW, facts=facts, same=str(number))


@pytest.fixture
def store(tmp_path):
    made = SqlStore(f"sqlite:///{tmp_path}/events.db")
    migrate(made.engine)
    yield made
    made.close()


class Broken(MemoryBus):
    """Fails with every second lot, after it has told the first event of it."""

    calls = 0

    def publish(self, events):
        self.calls += 1
        if self.calls % 2 == 0:
            super().publish(events[:1])
            raise BusUnavailableError("away")
        super().publish(events)


def told(bus):
    seen = []
    while found := bus.receive("g", limit=500):
        seen += [int(delivery.event.facts["run_id"]) for delivery in found]
        bus.acknowledge(found)
    return seen


def by_key(numbers):
    return {key: [n for n in numbers if n % 3 == key] for key in range(3)}


def test_what_stands_in_the_table_is_told_once_and_in_order(store):
    bus = MemoryBus()
    store.append_events([event(number) for number in range(1200)])

    assert relay_events(store, bus, name="bus") == 1200
    store.append_events([event(1200), event(5)])
    assert relay_events(store, bus, name="bus") == 1
    assert relay_events(store, bus, name="bus") == 0

    assert by_key(told(bus)) == by_key(range(1201))


def test_one_call_tells_no_more_than_it_may(store):
    store.append_events([event(number) for number in range(700)])

    assert relay_events(store, MemoryBus(), name="bus", most=600) == 600
    assert relay_events(store, MemoryBus(), name="bus", most=600) == 100


def test_what_a_bus_that_failed_was_not_told_is_told_later(store):
    bus = Broken()
    for number in range(40):
        store.append_events([event(number)])
        try:
            relay_events(store, bus, name="bus")
        except BusUnavailableError:
            continue
    while bus.calls % 2 == 1:
        bus.calls += 1
    relay_events(store, bus, name="bus")

    assert by_key(told(bus)) == by_key(range(40))


def test_each_bus_has_a_place_of_its_own_in_the_table(store):
    store.append_events([event(1)])

    assert relay_events(store, MemoryBus(), name="one") == 1
    assert relay_events(store, MemoryBus(), name="two") == 1


def test_a_setting_names_the_bus_and_one_that_is_away_is_a_warning(store, monkeypatch, caplog):
    monkeypatch.setenv("AIRFLOW__ETL__MESSAGE_BUS", "etl_bus")
    monkeypatch.setenv("AIRFLOW_CONN_ETL_BUS", "redis://:hidden@127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _: None)
    store.append_events([event(1)])
    relay = event_relay()
    assert relay is not None

    with caplog.at_level(logging.WARNING):
        relay(store)

    assert "'etl_bus' was not told" in caplog.text
    assert "hidden" not in caplog.text
    assert relay_events(store, MemoryBus(), name="etl_bus") == 1


def test_without_the_setting_nothing_is_relayed(monkeypatch):
    monkeypatch.delenv("AIRFLOW__ETL__MESSAGE_BUS", raising=False)

    assert event_relay() is None


def test_a_connection_of_no_broker_is_refused():
    with pytest.raises(SpecificationError, match="'warehouse' is of type 'postgres'"):
        bus_of(Connection("warehouse", "postgres"))


@pytest.mark.redis
def test_events_reach_redis(store, redis_server):
    where = Connection("bus", "redis", host="127.0.0.1", port=redis_server.port, schema="9")
    store.append_events([event(1), event(2), event(3)])
    bus = bus_of(where)

    assert relay_events(store, bus, name="bus") == 3

    assert sorted(told(bus)) == [1, 2, 3]
    bus.close()


@pytest.mark.redis
def test_the_doctor_reaches_for_the_bus(redis_server, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.delenv("AIRFLOW__ETL__MESSAGE_BUS", raising=False)
    assert list(bus_findings()) == []

    monkeypatch.setenv("AIRFLOW__ETL__MESSAGE_BUS", "etl_bus")
    for uri, level in (
        (f"redis://127.0.0.1:{redis_server.port}", "ok"),
        ("redis://127.0.0.1:9", "problem"),
        ("postgres://127.0.0.1/x", "problem"),
    ):
        monkeypatch.setenv("AIRFLOW_CONN_ETL_BUS", uri)
        assert [finding.level for finding in bus_findings()] == [level]
