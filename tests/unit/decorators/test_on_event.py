from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_etl_provider.decorators.on_event import _events_of_this_run, on_event
from airflow_etl_provider.exceptions import SpecificationError


def test_a_function_becomes_a_dag_that_runs_when_something_happened():
    @on_event(["load_failed", "run_finished"], pipeline="orders", tags=["shop"], at_once=3)
    def look_at_it(event):
        """Say what happened."""

    assert look_at_it.dag_id == "look_at_it"
    assert look_at_it.tags == {"shop"}
    assert look_at_it.doc_md == "Say what happened."
    assert look_at_it.get_task("look_at_it").max_active_tis_per_dagrun == 3
    assert look_at_it.get_task("events").downstream_task_ids == {"look_at_it"}
    (asset,) = look_at_it.schedule
    (watcher,) = asset.watchers
    trigger = watcher.trigger
    assert trigger.kinds == ["load_failed", "run_finished"]
    assert (trigger.pipeline, trigger.group) == ("orders", "dag look_at_it")


def test_what_never_happens_makes_no_dag():
    with pytest.raises(SpecificationError, match="'schema_change'"):
        on_event("schema_change")


def told(*events):
    return [SimpleNamespace(extra={"from_trigger": True, "payload": event}) for event in events]


def test_the_events_of_a_run_come_once_and_in_order():
    first, second = ({"id": i, "at": f"2026-11-20T09:0{i}:00+00:00"} for i in (1, 2))
    context = {
        "triggering_asset_events": {
            "a": [*told(second, first), SimpleNamespace(extra={})],
            "b": told(first),
        }
    }

    assert _events_of_this_run(**context) == [first, second]
