"""Recording never costs a run, whatever goes wrong with it."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from airflow_etl_provider.contracts.report import RunReport
from airflow_etl_provider.exceptions import MetadataUnavailableError, SpecificationError
from airflow_etl_provider.hooks import metadata
from airflow_etl_provider.operators.recording import TaskRecording

TASK = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)
REPORT = RunReport("done", "d/r/t/1", "t", None, None)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (SpecificationError("The connection is no store."), "no store"),
        (MetadataUnavailableError("The store is away."), "away"),
        (RuntimeError("password=hunter2"), "RuntimeError"),
        (ConnectionResetError("peer"), "ConnectionResetError"),
    ],
)
def test_a_store_that_can_not_be_found_costs_a_warning(monkeypatch, caplog, wrong, words):
    def fail(_task_instance):
        raise wrong

    monkeypatch.setattr(metadata, "store_opener", fail)
    recording = TaskRecording(TASK, kind="load")

    with caplog.at_level(logging.WARNING):
        recording.begin("d/r/t/1")
        recording.end_load(REPORT)

    assert words in caplog.text
    assert "hunter2" not in caplog.text


def test_a_token_setting_that_is_no_number_costs_a_warning(monkeypatch, caplog):
    monkeypatch.delenv("AIRFLOW_CONN_ETL_METADATA_DEFAULT", raising=False)
    monkeypatch.setattr(
        "airflow_etl_provider.hooks.metadata._api_opener", lambda _ti: float("ten minutes")
    )
    monkeypatch.setattr(
        "airflow_etl_provider.hooks.connections.find_airflow_connection", _not_found
    )

    with caplog.at_level(logging.WARNING):
        TaskRecording(TASK, kind="load").begin("d/r/t/1")

    assert "ValueError" in caplog.text


def _not_found(name):
    from airflow_etl_provider.exceptions import ConnectionNotFoundError

    raise ConnectionNotFoundError(name)
