"""The metadata store over HTTP, for workers that have no credentials of a database."""

from __future__ import annotations

from airflow_etl_provider.metadata.http.store import ApiStore

__all__ = ["ApiStore"]
