"""The command `airflow-etl`: the same jobs outside a DAG. Nothing heavy is imported to start it."""

from __future__ import annotations

from airflow_etl_provider.cli.command import main

__all__ = ["main"]
