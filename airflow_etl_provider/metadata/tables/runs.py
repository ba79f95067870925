"""Runs, batches, loads, metrics and the index of the quarantine."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text

from airflow_etl_provider.metadata.tables.types import METADATA, JsonObject, Moment

__all__ = ["BATCH", "LOAD", "METRIC", "QUARANTINE", "RUN"]

RUN = Table(
    "etl_run",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("run_name", Text, nullable=False),
    Column("pipeline", String(250), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("pipeline_version", Integer),
    Column("dag_id", String(250)),
    Column("dag_run_id", String(250)),
    Column("task_id", String(250)),
    Column("map_index", Integer, nullable=False),
    Column("try_number", Integer),
    Column("load_id", String(64)),
    Column("target", Text),
    Column("window", Text),
    Column("rows_read", BigInteger, nullable=False),
    Column("rows_loaded", BigInteger, nullable=False),
    Column("rows_quarantined", BigInteger, nullable=False),
    Column("rows_filtered", BigInteger, nullable=False),
    Column("rows_deduplicated", BigInteger, nullable=False),
    Column("rows_deleted", BigInteger, nullable=False),
    Column("bytes_read", BigInteger, nullable=False),
    Column("seconds", Float(53), nullable=False),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("report", JsonObject, nullable=False),
    Column("reconciled", Boolean, nullable=False),
    Index("idx_etl_run_started", "started_at", "id"),
    Index("idx_etl_run_pipeline", "pipeline", "started_at"),
    Index("idx_etl_run_task", "dag_id", "dag_run_id", "task_id"),
    Index("idx_etl_run_load", "load_id"),
)

BATCH = Table(
    "etl_batch",
    METADATA,
    Column("run_id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("pipeline", String(250), nullable=False),
    Column("input", Text, nullable=False),
    Column("ended_at", Moment, nullable=False),
    Column("rows_read", BigInteger, nullable=False),
    Column("rows_loaded", BigInteger, nullable=False),
    Column("rows_quarantined", BigInteger, nullable=False),
    Column("rows_filtered", BigInteger, nullable=False),
    Column("rows_deduplicated", BigInteger, nullable=False),
    Column("rows_deleted", BigInteger, nullable=False),
    Column("rows_selected", BigInteger, nullable=False),
    Column("bytes_read", BigInteger, nullable=False),
    Column("seconds", Float(53)),
    Column("positions", JsonObject, nullable=False),
    Index("idx_etl_batch_ended", "ended_at"),
)

LOAD = Table(
    "etl_load",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("load_id", String(64), nullable=False),
    Column("target", Text, nullable=False),
    Column("pipeline", String(250), nullable=False),
    Column("run_name", Text, nullable=False),
    Column("mode", String(20), nullable=False),
    Column("published_at", Moment, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("epoch", BigInteger),
    Column("rows_loaded", BigInteger, nullable=False),
    Column("rows_deleted", BigInteger, nullable=False),
    Column("quarantine", Text),
    Column("ledger", JsonObject, nullable=False),
    Column("undone_at", Moment),
    Index("idx_etl_load_load_id", "load_id"),
    Index("idx_etl_load_pipeline", "pipeline", "published_at"),
    Index("idx_etl_load_published", "published_at", "id"),
)

METRIC = Table(
    "etl_metric",
    METADATA,
    Column("run_id", String(32), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("at", Moment, primary_key=True),
    Column("pipeline", String(250), nullable=False),
    Column("value", Float(53), nullable=False),
    Index("idx_etl_metric_pipeline", "pipeline", "name", "at"),
    Index("idx_etl_metric_at", "at"),
)

QUARANTINE = Table(
    "etl_quarantine",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("location", Text, nullable=False),
    Column("pipeline", String(250), nullable=False),
    Column("status", String(20), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("run_id", String(32)),
    Column("load_id", String(64)),
    Column("target", Text),
    Column("records", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("reasons", JsonObject, nullable=False),
    Index("idx_etl_quarantine_pipeline", "pipeline", "created_at"),
    Index("idx_etl_quarantine_created", "created_at", "id"),
)
