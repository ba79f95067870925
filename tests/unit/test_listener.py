from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from airflow_etl_provider import listener

TASK = {"dag_id": "d", "run_id": "r", "task_id": "load", "map_index": 2, "try_number": 1}


@pytest.fixture
def heard(monkeypatch):
    found, one = [], threading.Event()

    def end(*what):
        found.append(what)
        one.set()

    monkeypatch.setattr(listener, "_GRACE", 0.0)
    monkeypatch.setattr(listener, "_end", end)
    return found, one


def test_what_the_scheduler_tells_is_looked_after_in_another_thread(heard):
    found, one = heard

    listener.on_task_instance_failed(None, SimpleNamespace(**TASK), "gone")

    assert one.wait(30)
    ((dag_id, run_id, _, task),) = found
    assert (dag_id, run_id, task) == ("d", "r", ("load", 2, 1))


def test_the_task_itself_tells_how_it_ended(heard):
    found, one = heard
    own = type("RuntimeTaskInstance", (SimpleNamespace,), {})
    own.__module__ = "airflow.sdk.execution_time.task_runner"

    listener.on_task_instance_failed(None, own(**TASK), "failed")
    listener.on_dag_run_failed(SimpleNamespace(dag_id="d", run_id="r2"), "over")

    assert one.wait(30)
    ((_, run_id, _, task),) = found
    assert (run_id, task) == ("r2", None)


def test_a_store_that_fails_fails_nobody(monkeypatch, caplog):
    monkeypatch.setattr("airflow_etl_provider.api.own_store.own_store_if_there", lambda: 1 / 0)

    listener._end("d", "r", None, None)

    assert "ZeroDivisionError" in caplog.text
