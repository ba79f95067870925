"""Keep the metadata store small: once a day, old records are taken away."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.sdk import DAG, task

with DAG(
    "etl_maintenance",
    description="Takes old records out of the tables etl_*.",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["etl", "maintenance"],
    params={"dry_run": False},
) as dag:

    @task
    def clean_metadata() -> dict[str, int]:
        """Count by table what went, or would."""
        from airflow.sdk import get_current_context
        from airflow.sdk.configuration import conf

        from airflow_etl_provider.hooks.connections import find_airflow_connection
        from airflow_etl_provider.hooks.metadata import CONNECTION
        from airflow_etl_provider.metadata.retention import clean, read_days
        from airflow_etl_provider.metadata.sql.engine import engine_for
        from airflow_etl_provider.metadata.sql.location import url_of

        engine = engine_for(url_of(find_airflow_connection(CONNECTION)))
        done = clean(
            engine,
            now=datetime.now(timezone.utc),
            days=read_days(conf.get("etl", "retention_days", fallback="")),
            dry_run=bool(get_current_context()["params"]["dry_run"]),
        )
        engine.dispose()
        return {cleaned.table: cleaned.records for cleaned in done}

    clean_metadata()
