"""A table in a DuckDB file as a target."""

from __future__ import annotations

from airflow_etl_provider.engines.targets.duckdb_file.target import DuckDbTarget

__all__ = ["DuckDbTarget"]
