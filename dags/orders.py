"""Load a dirty export: clean rows into tables, all others into the quarantine with the reasons.

The files are made up (`dags/data/orders`) and hold every fault that real exports have. What goes
where is written in `dags/pipelines/orders.yaml` and `orders.mapping.yaml`.
"""

from __future__ import annotations

from airflow.sdk import DAG, Asset

from airflow_etl_provider.operators.batch import BatchPipelineOperator

with DAG(
    "orders",
    schedule=None,
    catchup=False,
    # A DuckDB file has one writer at a time; with PostgreSQL the tasks may run side by side.
    max_active_tasks=1,
    doc_md=__doc__,
    tags=["etl", "example"],
):
    BatchPipelineOperator(
        task_id="shop_export",
        pipeline="pipelines/orders.yaml",
        outlets=[Asset("shop_orders")],
    )
    BatchPipelineOperator(
        task_id="web_orders",
        pipeline="pipelines/web_orders.yaml",
        outlets=[Asset("web_orders")],
    )
