"""The metadata store in a database of one's own, or in Airflow's."""

from __future__ import annotations

from airflow_etl_provider.metadata.sql.store import SqlStore

__all__ = ["SqlStore"]
