"""A task that asks for it is alone at work on its pipeline."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from types import SimpleNamespace

import pytest

from airflow_etl_provider.coordination.lease import hold_lease, lease_of_pipeline
from airflow_etl_provider.exceptions import LeaseTakenError, SpecificationError
from airflow_etl_provider.hooks import metadata
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.sql import SqlStore
from airflow_etl_provider.operators.batch import BatchPipelineOperator
from airflow_etl_provider.operators.exclusive import alone_on

TASK = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)


@pytest.fixture
def url(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/metadata.db"
    with closing(SqlStore(url)) as store:
        migrate(store.engine)
    monkeypatch.setattr(metadata, "store_opener", lambda _ti: lambda: SqlStore(url))
    return url


def alone(holder, *, wait=0.0, pipeline="orders"):
    return alone_on(pipeline, TASK, holder=holder, wait=wait, on_lost=lambda: None)


def test_another_run_of_the_pipeline_is_refused_and_one_of_another_is_not(url):
    with alone("first"):
        with pytest.raises(LeaseTakenError), alone("second"):
            pytest.fail("two at once")
        with alone("second", pipeline="returns"):
            pass
    with alone("second"):
        pass


def test_an_agent_at_work_keeps_the_run_waiting_until_it_is_done(url):
    done = threading.Event()
    with closing(SqlStore(url)) as store:
        agent = hold_lease(store, lease_of_pipeline("orders"), holder="mapping")
        agent.__enter__()

        def end():
            done.set()
            agent.__exit__(None, None, None)

        threading.Timer(0.5, end).start()
        with alone("run", wait=30):
            assert done.is_set()


def test_the_same_run_gets_its_lease_again(url):
    with alone("run"), alone("run"):
        pass


def test_runs_that_ask_for_no_lease_go_on_side_by_side(url):
    with alone("first"), alone("second", wait=None):
        pass


def test_without_a_store_the_run_goes_on_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(metadata, "store_opener", lambda _ti: None)

    with caplog.at_level(logging.WARNING), alone("run"):
        pass

    assert "no metadata store" in caplog.text


def test_a_store_that_is_away_does_not_stop_the_run(monkeypatch, tmp_path, caplog):
    nowhere = f"sqlite:///{tmp_path}/none/metadata.db"
    monkeypatch.setattr(metadata, "store_opener", lambda _ti: lambda: SqlStore(nowhere))

    with caplog.at_level(logging.WARNING), alone("run"):
        pass

    assert "Going on without the lease" in caplog.text


def test_a_store_that_is_none_stops_the_run_that_asked_for_a_lease(monkeypatch):
    def refuse(_task_instance):
        raise SpecificationError("The connection is no store.")

    monkeypatch.setattr(metadata, "store_opener", refuse)

    with pytest.raises(SpecificationError), alone("run"):
        pytest.fail("nobody knows who else is at work")


@pytest.mark.parametrize("wrong", [-1, float("nan")])
def test_a_wait_that_is_none_is_refused_when_the_dag_is_parsed(wrong):
    with pytest.raises(ValueError, match="lease_wait"):
        BatchPipelineOperator(task_id="t", pipeline={}, lease_wait=wrong)
