"""A run keeps its name through its retries."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from airflow_etl_provider.operators.run_name import run_id_of


def instance(**changes: Any) -> Any:
    first = {
        "id": "0",
        "dag_id": "orders",
        "run_id": "scheduled__2026-01-02T00:00:00+00:00",
        "task_id": "load",
        "map_index": -1,
        "try_number": 1,
        "max_tries": 2,
    }
    return SimpleNamespace(**first | changes)


def test_it_says_which_run_of_which_task():
    assert run_id_of(instance(), retries=2) == "orders/scheduled__2026-01-02T00:00:00+00:00/load/1"
    assert run_id_of(instance(map_index=3), retries=2).endswith("/load/3/1")


def test_a_retry_is_the_same_run():
    retry = instance(id="1", try_number=2)

    assert run_id_of(retry, retries=2) == run_id_of(instance(), retries=2)


def test_a_cleared_task_is_another_run_and_so_are_its_retries():
    # Two tries were made; clearing grants the task's retries anew.
    cleared = [instance(try_number=3, max_tries=4), instance(try_number=4, max_tries=4)]

    names = {run_id_of(ti, retries=2) for ti in cleared}

    assert len(names) == 1
    assert run_id_of(instance(), retries=2) not in names


def test_fewer_tries_than_retries_are_no_reason_for_a_strange_name():
    assert run_id_of(instance(max_tries=0), retries=5).endswith("/1")
