"""Ending runs in the name of workers that can't any more: killed, out of memory, cut off."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import FailureRecord, RunRecord
from airflow_etl_provider.metadata.run_records import (
    Outcome,
    RunOf,
    events_at_end,
    records_at_end,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["WORKER_LOST", "LostTask", "end_lost_runs"]

WORKER_LOST = "worker_lost"
"""Error code of a run whose worker ended without a word."""


@dataclass(frozen=True, slots=True)
class LostTask:
    """A task that Airflow took for failed.

    :param try_number: that failed, from 1.
    """

    task_id: str
    map_index: int
    try_number: int


def end_lost_runs(
    store: MetadataStore,
    *,
    dag_id: str,
    dag_run_id: str,
    at: datetime,
    task: LostTask | None = None,
) -> int:
    """End what still goes on of a task that failed, or of a DAG run that is over.

    A worker that told how it ended is believed. Where the next try has begun, the failure alone is
    written. What the target's ledger holds is not touched.

    :param at: when Airflow took it for failed.
    :param task: all of the DAG run, when absent.
    :returns: how many failures were written.
    """
    ended = 0
    for run in _runs(store, dag_id, dag_run_id, task):
        lost = run.try_number or 1
        if task is not None:
            if run.map_index != task.map_index or lost < task.try_number:
                continue
            lost = task.try_number
        goes_on = lost != (run.try_number or 1)
        if run.status != "running" and not goes_on:
            # It said itself how it ended.
            continue
        if task is None and run.updated_at > at:
            # A task that was cleared meanwhile.
            continue
        told = RunOf(
            name=run.run_name,
            pipeline=run.pipeline,
            kind=run.kind,
            started_at=run.started_at,
            dag_id=dag_id,
            dag_run_id=dag_run_id,
            task_id=run.task_id,
            map_index=run.map_index,
            try_number=lost,
        )
        # By the worker's clock, where that is ahead of ours.
        moment = max(at, run.updated_at + timedelta(milliseconds=1))
        ended += _end(store, told, at=moment, version=run.pipeline_version, goes_on=goes_on)
    return ended


def _end(
    store: MetadataStore, run: RunOf, *, at: datetime, version: int | None, goes_on: bool
) -> bool:
    """Write the failure; the run's end too, unless another try goes on with it."""
    outcome = Outcome(
        report={"status": "failed"},
        status="failed",
        figures={},
        error_code=WORKER_LOST,
        error_message="The worker ended without a word: it was killed, ran out of memory, or lost "
        "its connection to Airflow. What it had not published is not in the target.",
    )
    records = records_at_end(run, outcome, at=at, version=version)
    events = events_at_end(run, outcome, at=at)
    if goes_on:
        records = [record for record in records if isinstance(record, FailureRecord)]
        events = [event for event in events if event.kind == "load_failed"]
    if any(store.get(FailureRecord, r.id) for r in records if isinstance(r, FailureRecord)):
        return False
    store.record(records)
    store.append_events(events)
    return True


def _runs(
    store: MetadataStore, dag_id: str, dag_run_id: str, task: LostTask | None
) -> Iterator[RunRecord]:
    equals = {"dag_id": dag_id, "dag_run_id": dag_run_id}
    equals |= {"status": "running"} if task is None else {"task_id": task.task_id}
    after = None
    while True:
        page = store.find(Query(RunRecord, equals=equals, after=after))
        yield from page.items
        if page.cursor is None:
            return
        after = page.cursor
