"""Contracts, decisions, failures, leases and what agents may do."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text

from airflow_etl_provider.metadata.tables.types import METADATA, JsonObject, Moment

__all__ = [
    "AGENT_SETTINGS",
    "AGENT_SETTINGS_CHANGE",
    "CONTRACT",
    "DECISION",
    "FAILURE",
    "LEASE",
    "MODEL_USAGE",
    "RESOLUTION",
]

CONTRACT = Table(
    "etl_contract",
    METADATA,
    Column("name", String(250), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("status", String(20), nullable=False),
    Column("body", JsonObject, nullable=False),
    Column("etag", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("pipeline", String(250)),
    Column("source_dataset", Text),
    Column("target_dataset", Text),
    Column("fingerprint", String(64)),
    Column("confidence", Float(53)),
    Column("evidence", JsonObject, nullable=False),
    Column("proposed_by", String(250)),
    Column("decided_by", String(250)),
    Column("decided_at", Moment),
    Column("comment", Text),
    Index("idx_etl_contract_status", "status", "created_at"),
    Index("idx_etl_contract_pipeline", "pipeline"),
)

DECISION = Table(
    "etl_decision",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("agent", String(32), nullable=False),
    Column("actor", String(250), nullable=False),
    Column("basis", String(20), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("pipeline", String(250)),
    Column("run_id", String(32)),
    Column("confidence", Float(53)),
    Column("reasoning", Text),
    Column("evidence", JsonObject, nullable=False),
    Column("cost", Float(53)),
    Column("outcome", String(20)),
    Column("outcome_at", Moment),
    Index("idx_etl_decision_at", "at", "id"),
    Index("idx_etl_decision_pipeline", "pipeline", "at"),
    Index("idx_etl_decision_subject", "subject"),
)

FAILURE = Table(
    "etl_failure",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("code", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("pipeline", String(250)),
    Column("run_id", String(32)),
    Column("dag_id", String(250)),
    Column("dag_run_id", String(250)),
    Column("task_id", String(250)),
    Column("map_index", Integer, nullable=False),
    Column("try_number", Integer),
    Column("category", String(64)),
    Column("details", JsonObject, nullable=False),
    Column("status", String(20), nullable=False),
    Index("idx_etl_failure_at", "at", "id"),
    Index("idx_etl_failure_fingerprint", "fingerprint", "at"),
    Index("idx_etl_failure_pipeline", "pipeline", "at"),
)

RESOLUTION = Table(
    "etl_resolution",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("failure_id", String(32), nullable=False),
    Column("action", String(64), nullable=False),
    Column("status", String(20), nullable=False),
    Column("at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("pipeline", String(250)),
    Column("decision_id", String(32)),
    Column("parameters", JsonObject, nullable=False),
    Column("outcome", Text),
    Column("outcome_at", Moment),
    Index("idx_etl_resolution_at", "at", "id"),
    Index("idx_etl_resolution_failure", "failure_id"),
)

LEASE = Table(
    "etl_lease",
    METADATA,
    Column("name", String(250), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("taken_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
)

AGENT_SETTINGS = Table(
    "etl_agent_settings",
    METADATA,
    Column("agent", String(32), primary_key=True),
    Column("pipeline", String(250), primary_key=True),
    Column("settings", JsonObject, nullable=False),
    Column("etag", String(64), nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("updated_by", String(250), nullable=False),
)

AGENT_SETTINGS_CHANGE = Table(
    "etl_agent_settings_change",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("agent", String(32), nullable=False),
    Column("pipeline", String(250), nullable=False),
    Column("before", JsonObject, nullable=False),
    Column("after", JsonObject, nullable=False),
    Column("at", Moment, nullable=False),
    Column("by", String(250), nullable=False),
    Column("comment", Text),
    Index("idx_etl_agent_settings_change_at", "at", "id"),
)

MODEL_USAGE = Table(
    "etl_model_usage",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("agent", String(32), nullable=False),
    Column("model", String(250), nullable=False),
    Column("at", Moment, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cost", Float(53), nullable=False),
    Column("seconds", Float(53), nullable=False),
    Column("cached", Boolean, nullable=False),
    Column("status", String(20), nullable=False),
    Column("pipeline", String(250)),
    Column("run_id", String(32)),
    Column("decision_id", String(32)),
    Index("idx_etl_model_usage_at", "at", "id"),
    Index("idx_etl_model_usage_pipeline", "pipeline", "at"),
)
