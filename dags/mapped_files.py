"""Load one file per task: each store's export has an encoding and a delimiter of its own.

A task that fails is cleared alone. A load is known by its pipeline and its file, not by the number
of the task that got it, so no file is loaded twice, however the files are spread.
"""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import DAG, task

from airflow_etl_provider.operators.batch import BatchPipelineOperator

STORES = Path(__file__).parent / "data" / "orders" / "stores"

with DAG(
    "mapped_files",
    schedule=None,
    catchup=False,
    # A DuckDB file has one writer at a time; with PostgreSQL the tasks may run side by side.
    max_active_tasks=1,
    doc_md=__doc__,
    tags=["etl", "example"],
):

    @task
    def list_stores() -> list[str]:
        """Find the files of the day."""
        return sorted(str(path) for path in STORES.glob("*.?sv*"))

    BatchPipelineOperator.partial(
        task_id="load_store",
        pipeline="pipelines/stores.yaml",
        map_index_template="{{ task.source_location.rpartition('/')[2] }}",
    ).expand(source_location=list_stores())
