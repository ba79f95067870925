"""Keep the catalog up to date: once a week, look into what is there and write down what is new."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG

from airflow_etl_provider.operators.discovery import DataDiscoveryOperator

with DAG(
    "catalog",
    description="Finds datasets, their types, keys and personal data.",
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["etl", "catalog"],
):
    DataDiscoveryOperator(task_id="exports", locations=["data/"])
    DataDiscoveryOperator(task_id="warehouse", connection="warehouse")
