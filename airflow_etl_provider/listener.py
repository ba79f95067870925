"""Hears from Airflow of tasks that failed, and ends the runs of workers that can't say so."""

from __future__ import annotations

import logging
import queue
import threading
import time
from datetime import datetime, timezone
from typing import Any

from airflow.listeners import hookimpl

__all__ = ["on_dag_run_failed", "on_dag_run_success", "on_task_instance_failed"]

log = logging.getLogger(__name__)

_GRACE = 10.0
"""Seconds in which a worker that was told to stop may say itself how its run ended."""

_THREAD = "etl-listener"
_waiting: queue.Queue[Any] = queue.Queue(maxsize=10_000)
_starting = threading.Lock()


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:  # noqa: ARG001
    """Look after the run, unless this is the task's own process, which does so itself.

    Called by the scheduler when a worker is gone, and by the API server when somebody marks a
    task. Neither is held up: the work is done in a thread, after a moment.
    """
    if type(task_instance).__module__.startswith("airflow.sdk."):
        return
    place = (task_instance.task_id, task_instance.map_index, task_instance.try_number)
    _later(task_instance.dag_id, task_instance.run_id, place)


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:  # noqa: ARG001
    """Look after runs whose process was killed: nobody is told that such a task has failed."""
    _later(dag_run.dag_id, dag_run.run_id)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:  # noqa: ARG001
    """Do the same."""
    _later(dag_run.dag_id, dag_run.run_id)


def _later(dag_id: str, dag_run_id: str, task: tuple[str, int, int] | None = None) -> None:
    try:
        _waiting.put_nowait(
            (time.monotonic(), dag_id, dag_run_id, datetime.now(timezone.utc), task)
        )
    except queue.Full:
        log.warning("Whether %s of %s left runs unfinished is not looked at.", dag_run_id, dag_id)
    with _starting:
        if not any(thread.name == _THREAD for thread in threading.enumerate()):
            # Also in a process that was forked, where no thread is left.
            threading.Thread(target=_serve, name=_THREAD, daemon=True).start()


def _serve() -> None:
    while True:
        told, *failed = _waiting.get()
        time.sleep(max(0.0, told + _GRACE - time.monotonic()))
        _end(*failed)


def _end(dag_id: str, dag_run_id: str, at: datetime, task: tuple[str, int, int] | None) -> None:
    from airflow_etl_provider.api.own_store import own_store_if_there
    from airflow_etl_provider.metadata.lost_runs import LostTask, end_lost_runs

    try:
        store = own_store_if_there()
        if store is None:
            return
        ended = end_lost_runs(
            store,
            dag_id=dag_id,
            dag_run_id=dag_run_id,
            at=at,
            task=None if task is None else LostTask(*task),
        )
    except Exception as error:  # noqa: BLE001 - the scheduler goes on, whatever our tables do
        log.warning(
            "Whether %s of %s left runs unfinished is not known: a %s came up.",
            dag_run_id,
            dag_id,
            type(error).__qualname__,
        )
    else:
        if ended:
            log.info("Ended %d runs that %s of %s left unfinished.", ended, dag_run_id, dag_id)
