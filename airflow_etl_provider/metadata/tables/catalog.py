"""Pipelines and datasets with their versions, schemas and profiles."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table, Text, func, text

from airflow_etl_provider.metadata.tables.types import METADATA, JsonObject, Moment

__all__ = ["DATASET", "PIPELINE", "PIPELINE_VERSION", "PROFILE", "RELATION", "SCHEMA_VERSION"]

PIPELINE = Table(
    "etl_pipeline",
    METADATA,
    Column("name", String(250), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("dag_id", String(250)),
    Column("task_id", String(250)),
    Column("source", Text),
    Column("target", Text),
    Column("contract", String(250)),
    Column("owner", String(250)),
    Index("idx_etl_pipeline_updated", "updated_at"),
    Index("idx_etl_pipeline_dag", "dag_id"),
)

PIPELINE_VERSION = Table(
    "etl_pipeline_version",
    METADATA,
    Column("pipeline", String(250), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("specification", JsonObject, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String(250)),
)

DATASET = Table(
    "etl_dataset",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("connection", String(250)),
    Column("location", Text),
    Column("description", Text),
    Column("owner", String(250)),
    Column("tags", JsonObject, nullable=False),
    Column("columns", JsonObject, nullable=False),
    Column("fingerprint", String(64)),
    Column("schema_version", Integer),
    Column("rows", BigInteger),
    Column("bytes", BigInteger),
    Column("missing_since", Moment),
    Column("search_name", Text, nullable=False),
    Column("search_document", Text, nullable=False),
    Index("idx_etl_dataset_seen", "seen_at", "id"),
    Index("idx_etl_dataset_name", "name"),
    Index("idx_etl_dataset_connection", "connection"),
)

for _name in ("search_name", "search_document"):
    # Words apart from the record, so that the database splits nothing by rules of its own.
    Index(
        f"idx_etl_dataset_{_name}",
        func.array_to_tsvector(func.string_to_array(DATASET.c[_name], text("' '"))),
        postgresql_using="gin",
    ).ddl_if(dialect="postgresql")

SCHEMA_VERSION = Table(
    "etl_schema_version",
    METADATA,
    Column("dataset_id", String(32), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("fields", JsonObject, nullable=False),
    Column("valid_from", Moment, nullable=False),
    Column("valid_to", Moment),
    Column("run_id", String(32)),
    Column("changes", JsonObject, nullable=False),
)

PROFILE = Table(
    "etl_profile",
    METADATA,
    Column("dataset_id", String(32), primary_key=True),
    Column("measured_at", Moment, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("columns", JsonObject, nullable=False),
    Column("bytes", BigInteger),
    Column("fingerprint", String(64)),
    Column("run_id", String(32)),
    Column("method", JsonObject, nullable=False),
    Index("idx_etl_profile_measured", "measured_at"),
)

RELATION = Table(
    "etl_relation",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("dataset_id", String(32), nullable=False),
    Column("dataset", Text, nullable=False),
    Column("columns", JsonObject, nullable=False),
    Column("other_id", String(32), nullable=False),
    Column("other", Text, nullable=False),
    Column("key", JsonObject, nullable=False),
    Column("share", Float, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("run_id", String(32)),
    Index("idx_etl_relation_seen", "seen_at"),
    Index("idx_etl_relation_dataset", "dataset_id"),
    Index("idx_etl_relation_other", "other_id"),
)
