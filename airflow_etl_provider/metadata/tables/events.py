"""Events between processes, and how far each group of readers has come."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from airflow_etl_provider.metadata.tables.types import METADATA, BigCounter, JsonObject, Moment

__all__ = ["EVENT", "EVENT_ATTEMPT", "EVENT_GROUP", "EVENT_HANDLED"]

EVENT = Table(
    "etl_event",
    METADATA,
    Column("sequence", BigCounter, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", String(64), nullable=False),
    Column("version", String(16), nullable=False),
    Column("key", String(250), nullable=False),
    Column("at", Moment, nullable=False),
    Column("pipeline", String(250)),
    Column("body", JsonObject, nullable=False),
    Index("idx_etl_event_at", "at"),
    Index("idx_etl_event_pipeline", "pipeline", "sequence"),
    sqlite_autoincrement=True,
)

EVENT_GROUP = Table(
    "etl_event_group",
    METADATA,
    Column("name", String(250), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

EVENT_ATTEMPT = Table(
    "etl_event_attempt",
    METADATA,
    Column("group_name", String(250), primary_key=True),
    Column("event_id", String(64), primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("dead_at", Moment),
    Column("reason", Text),
)

EVENT_HANDLED = Table(
    "etl_event_handled",
    METADATA,
    Column("group_name", String(250), primary_key=True),
    Column("event_id", String(64), primary_key=True),
    Column("handled_at", Moment, nullable=False),
    Index("idx_etl_event_handled_at", "handled_at"),
)
