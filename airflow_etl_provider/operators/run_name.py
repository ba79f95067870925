"""How a task's run is called in reports, ledgers and quarantines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

__all__ = ["run_id_of"]


def run_id_of(task_instance: RuntimeTaskInstanceProtocol, *, retries: int) -> str:
    """Name a run by DAG, run, task and the try that a schedule, a person or a clear began with.

    All retries of it have the name, so that a retry is known to be the run that published already,
    also where another load has replaced the table since. Once the task is cleared it is another.
    The id of a task instance won't do: Airflow changes it with every try.
    """
    # Clearing sets `max_tries` to the tries so far and the retries of the task.
    first_try = max(task_instance.max_tries - retries + 1, 1)
    index = task_instance.map_index
    mapped = [] if index is None or index < 0 else [str(index)]
    parts = [task_instance.dag_id, task_instance.run_id, task_instance.task_id, *mapped]
    return "/".join([*parts, str(first_try)])
