"""A table in a DuckDB file as a target."""

from __future__ import annotations

from airflow_etl_provider.engines.targets.duckdb_file.target import WAIT_SECONDS, DuckDbTarget

__all__ = ["WAIT_SECONDS", "DuckDbTarget"]
