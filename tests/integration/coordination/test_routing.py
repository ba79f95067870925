"""Events reach the agent they are for, one agent at a time on a pipeline."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timezone

import pytest

from airflow_etl_provider.bus.event import KINDS, new_event
from airflow_etl_provider.bus.handling import HandledInMemory
from airflow_etl_provider.bus.table import TableBus
from airflow_etl_provider.coordination.handled import HandledInStore
from airflow_etl_provider.coordination.lease import hold_lease
from airflow_etl_provider.coordination.routing import ROUTES, handle_for_agent, pipeline_lease
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.sql import SqlStore

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)


def event(kind, number, pipeline="orders"):
    facts = dict.fromkeys(KINDS[kind], "x")
    return new_event(kind, key=pipeline, at=NOW, pipeline=pipeline, facts=facts, same=str(number))


@pytest.fixture
def store(tmp_path):
    made = SqlStore(f"sqlite:///{tmp_path}/metadata.db")
    migrate(made.engine)
    yield made
    made.close()


def hand_over(store, agent, seen):
    with closing(TableBus(store)) as bus:
        return handle_for_agent(
            agent,
            lambda found: seen.append(found.kind),
            bus=bus,
            leases=store,
            holder=f"task of {agent}",
            handled=HandledInMemory(),
        )


def test_each_agent_gets_what_its_work_depends_on_in_order(store):
    store.append_events(
        [
            event("run_started", 1),
            event("load_failed", 2),
            event("schema_changed", 3),
            event("contract_rejected", 4),
            event("quarantine_written", 5),
        ]
    )
    mapping, resolution = [], []

    assert hand_over(store, "mapping", mapping) == 5
    assert hand_over(store, "resolution", resolution) == 5

    assert mapping == ["schema_changed", "contract_rejected"]
    assert resolution == ["load_failed", "quarantine_written"]
    assert hand_over(store, "mapping", mapping) == 0


def test_where_another_agent_is_at_work_the_event_comes_again(store):
    failed = event("load_failed", 2)
    store.append_events([event("run_started", 1), failed, event("quarantine_written", 3)])
    seen = []

    with hold_lease(store, pipeline_lease(failed), holder="task of mapping"):
        for _ in range(8):
            hand_over(store, "resolution", seen)
        assert seen == []
    hand_over(store, "resolution", seen)

    assert seen == ["load_failed", "quarantine_written"]
    assert store.dead_events("agent resolution") == ()


def test_all_routes_lead_from_events_that_there_are():
    assert set(ROUTES) <= set(KINDS)


def test_an_agent_that_there_is_not_is_refused(store):
    with pytest.raises(SpecificationError, match="'maping'"):
        hand_over(store, "maping", [])


def test_what_a_crashed_task_has_handled_is_passed_over_by_the_next(store):
    store.append_events([event("schema_changed", 1), event("schema_changed", 2)])
    seen = []

    def work(found):
        seen.append(found.id)
        if len(seen) == 2:
            # After the first was handled, and before its position was written.
            raise KeyboardInterrupt

    def handle(handler):
        with closing(TableBus(store)) as bus:
            return handle_for_agent(
                "mapping",
                handler,
                bus=bus,
                leases=store,
                holder="a task",
                handled=HandledInStore(store),
            )

    with pytest.raises(KeyboardInterrupt):
        handle(work)
    first, second = seen
    handle(lambda found: seen.append(found.id))

    assert seen == [first, second, second]
