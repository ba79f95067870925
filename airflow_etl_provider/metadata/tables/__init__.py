"""The tables `etl_*`: one per kind of record, and those of the events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.metadata.tables import agents, catalog, events, runs
from airflow_etl_provider.metadata.tables.types import METADATA

if TYPE_CHECKING:
    from sqlalchemy import Table

    from airflow_etl_provider.metadata.records import Record

__all__ = ["METADATA", "agents", "catalog", "events", "runs", "table_of"]


def table_of(record: type[Record]) -> Table:
    """The table whose columns are the fields of a record."""
    return METADATA.tables[f"etl_{record.COLLECTION}"]
