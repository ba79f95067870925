"""What the task does when an incremental pipeline finds nothing new."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_etl_provider.contracts.report import RunReport
from airflow_etl_provider.operators.batch import BatchPipelineOperator

PIPELINE = {
    "pipeline": "orders",
    "source": {"location": "*.csv", "incremental": {"by": "new_files"}},
    "target": {"connection": "warehouse", "table": "orders"},
}


class Task(SimpleNamespace):
    """As much of a task instance as the operator uses."""

    def __init__(self) -> None:
        super().__init__(pushed={}, log_url="")

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def operator(
    monkeypatch: pytest.MonkeyPatch, *, notes: tuple[str, ...] = (), **arguments: Any
) -> BatchPipelineOperator:
    report = RunReport("nothing_new", "r", "orders", None, "warehouse.orders", notes=notes)
    monkeypatch.setattr(BatchPipelineOperator, "_run", lambda *_: report)
    return BatchPipelineOperator(task_id="load", pipeline=PIPELINE, **arguments)


def test_the_task_succeeds_when_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    returned = operator(monkeypatch).execute({"ti": Task()})
    assert returned["status"] == "nothing_new"


def test_the_task_is_skipped_when_told_so_and_keeps_its_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = Task()
    with pytest.raises(AirflowSkipException):
        operator(monkeypatch, on_nothing_new="skip").execute({"ti": task})
    assert task.pushed["return_value"]["status"] == "nothing_new"


def test_a_skipped_task_that_pushes_no_xcom_pushes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task()
    with pytest.raises(AirflowSkipException):
        operator(monkeypatch, on_nothing_new="skip", do_xcom_push=False).execute({"ti": task})
    assert task.pushed == {}


def test_of_thousands_of_notes_the_xcom_has_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = tuple(f"file {number} was odd" for number in range(3000))
    returned = operator(monkeypatch, notes=notes).execute({"ti": Task()})
    assert returned["notes"] == [*notes[:20], "and 2,980 more notes"]


def test_another_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="allowed: succeed, skip"):
        operator(monkeypatch, on_nothing_new="fail")
