"""The tables of the records.

Revision: 0001, after None.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
JSON_OBJECT = sa.JSON().with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    _create_contract()
    _create_decision()
    _create_failure()
    _create_resolution()
    _create_lease()
    _create_agent_settings()
    _create_agent_settings_change()
    _create_model_usage()
    _create_pipeline()
    _create_pipeline_version()
    _create_dataset()
    _create_schema_version()
    _create_profile()
    _create_run()
    _create_batch()
    _create_load()
    _create_metric()
    _create_quarantine()


def downgrade() -> None:
    op.drop_table("etl_quarantine")
    op.drop_table("etl_metric")
    op.drop_table("etl_load")
    op.drop_table("etl_batch")
    op.drop_table("etl_run")
    op.drop_table("etl_profile")
    op.drop_table("etl_schema_version")
    op.drop_table("etl_dataset")
    op.drop_table("etl_pipeline_version")
    op.drop_table("etl_pipeline")
    op.drop_table("etl_model_usage")
    op.drop_table("etl_agent_settings_change")
    op.drop_table("etl_agent_settings")
    op.drop_table("etl_lease")
    op.drop_table("etl_resolution")
    op.drop_table("etl_failure")
    op.drop_table("etl_decision")
    op.drop_table("etl_contract")


def _create_contract() -> None:
    op.create_table(
        "etl_contract",
        sa.Column("name", sa.String(250), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("body", JSON_OBJECT, nullable=False),
        sa.Column("etag", sa.String(64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("pipeline", sa.String(250)),
        sa.Column("source_dataset", sa.Text()),
        sa.Column("target_dataset", sa.Text()),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("confidence", sa.Float(53)),
        sa.Column("evidence", JSON_OBJECT, nullable=False),
        sa.Column("proposed_by", sa.String(250)),
        sa.Column("decided_by", sa.String(250)),
        sa.Column("decided_at", MOMENT),
        sa.Column("comment", sa.Text()),
        sa.PrimaryKeyConstraint("name", "version", name="etl_contract_pkey"),
    )
    op.create_index("idx_etl_contract_pipeline", "etl_contract", ["pipeline"])
    op.create_index("idx_etl_contract_status", "etl_contract", ["status", "created_at"])


def _create_decision() -> None:
    op.create_table(
        "etl_decision",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("agent", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(250), nullable=False),
        sa.Column("basis", sa.String(20), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("pipeline", sa.String(250)),
        sa.Column("run_id", sa.String(32)),
        sa.Column("confidence", sa.Float(53)),
        sa.Column("reasoning", sa.Text()),
        sa.Column("evidence", JSON_OBJECT, nullable=False),
        sa.Column("cost", sa.Float(53)),
        sa.Column("outcome", sa.String(20)),
        sa.Column("outcome_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="etl_decision_pkey"),
    )
    op.create_index("idx_etl_decision_at", "etl_decision", ["at", "id"])
    op.create_index("idx_etl_decision_pipeline", "etl_decision", ["pipeline", "at"])
    op.create_index("idx_etl_decision_subject", "etl_decision", ["subject"])


def _create_failure() -> None:
    op.create_table(
        "etl_failure",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.String(250)),
        sa.Column("run_id", sa.String(32)),
        sa.Column("dag_id", sa.String(250)),
        sa.Column("dag_run_id", sa.String(250)),
        sa.Column("task_id", sa.String(250)),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("try_number", sa.Integer()),
        sa.Column("category", sa.String(64)),
        sa.Column("details", JSON_OBJECT, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.PrimaryKeyConstraint("id", name="etl_failure_pkey"),
    )
    op.create_index("idx_etl_failure_at", "etl_failure", ["at", "id"])
    op.create_index("idx_etl_failure_fingerprint", "etl_failure", ["fingerprint", "at"])
    op.create_index("idx_etl_failure_pipeline", "etl_failure", ["pipeline", "at"])


def _create_resolution() -> None:
    op.create_table(
        "etl_resolution",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("failure_id", sa.String(32), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("pipeline", sa.String(250)),
        sa.Column("decision_id", sa.String(32)),
        sa.Column("parameters", JSON_OBJECT, nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("outcome_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="etl_resolution_pkey"),
    )
    op.create_index("idx_etl_resolution_at", "etl_resolution", ["at", "id"])
    op.create_index("idx_etl_resolution_failure", "etl_resolution", ["failure_id"])


def _create_lease() -> None:
    op.create_table(
        "etl_lease",
        sa.Column("name", sa.String(250), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="etl_lease_pkey"),
    )


def _create_agent_settings() -> None:
    op.create_table(
        "etl_agent_settings",
        sa.Column("agent", sa.String(32), nullable=False),
        sa.Column("pipeline", sa.String(250), nullable=False),
        sa.Column("settings", JSON_OBJECT, nullable=False),
        sa.Column("etag", sa.String(64), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("updated_by", sa.String(250), nullable=False),
        sa.PrimaryKeyConstraint("agent", "pipeline", name="etl_agent_settings_pkey"),
    )


def _create_agent_settings_change() -> None:
    op.create_table(
        "etl_agent_settings_change",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("agent", sa.String(32), nullable=False),
        sa.Column("pipeline", sa.String(250), nullable=False),
        sa.Column("before", JSON_OBJECT, nullable=False),
        sa.Column("after", JSON_OBJECT, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("by", sa.String(250), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="etl_agent_settings_change_pkey"),
    )
    op.create_index("idx_etl_agent_settings_change_at", "etl_agent_settings_change", ["at", "id"])


def _create_model_usage() -> None:
    op.create_table(
        "etl_model_usage",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("agent", sa.String(32), nullable=False),
        sa.Column("model", sa.String(250), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Float(53), nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.Column("cached", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("pipeline", sa.String(250)),
        sa.Column("run_id", sa.String(32)),
        sa.Column("decision_id", sa.String(32)),
        sa.PrimaryKeyConstraint("id", name="etl_model_usage_pkey"),
    )
    op.create_index("idx_etl_model_usage_at", "etl_model_usage", ["at", "id"])
    op.create_index("idx_etl_model_usage_pipeline", "etl_model_usage", ["pipeline", "at"])


def _create_pipeline() -> None:
    op.create_table(
        "etl_pipeline",
        sa.Column("name", sa.String(250), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("dag_id", sa.String(250)),
        sa.Column("task_id", sa.String(250)),
        sa.Column("source", sa.Text()),
        sa.Column("target", sa.Text()),
        sa.Column("contract", sa.String(250)),
        sa.Column("owner", sa.String(250)),
        sa.PrimaryKeyConstraint("name", name="etl_pipeline_pkey"),
    )
    op.create_index("idx_etl_pipeline_dag", "etl_pipeline", ["dag_id"])
    op.create_index("idx_etl_pipeline_updated", "etl_pipeline", ["updated_at"])


def _create_pipeline_version() -> None:
    op.create_table(
        "etl_pipeline_version",
        sa.Column("pipeline", sa.String(250), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("specification", JSON_OBJECT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.String(250)),
        sa.PrimaryKeyConstraint("pipeline", "version", name="etl_pipeline_version_pkey"),
    )


def _create_dataset() -> None:
    op.create_table(
        "etl_dataset",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("connection", sa.String(250)),
        sa.Column("location", sa.Text()),
        sa.Column("description", sa.Text()),
        sa.Column("owner", sa.String(250)),
        sa.Column("tags", JSON_OBJECT, nullable=False),
        sa.Column("columns", JSON_OBJECT, nullable=False),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("schema_version", sa.Integer()),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("bytes", sa.BigInteger()),
        sa.Column("missing_since", MOMENT),
        sa.Column("search_name", sa.Text(), nullable=False),
        sa.Column("search_document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="etl_dataset_pkey"),
    )
    op.create_index("idx_etl_dataset_connection", "etl_dataset", ["connection"])
    op.create_index("idx_etl_dataset_name", "etl_dataset", ["name"])
    if op.get_context().dialect.name == "postgresql":
        op.create_index(
            "idx_etl_dataset_search_document",
            "etl_dataset",
            [sa.text("array_to_tsvector(string_to_array(search_document, ' '))")],
            postgresql_using="gin",
        )
    if op.get_context().dialect.name == "postgresql":
        op.create_index(
            "idx_etl_dataset_search_name",
            "etl_dataset",
            [sa.text("array_to_tsvector(string_to_array(search_name, ' '))")],
            postgresql_using="gin",
        )
    op.create_index("idx_etl_dataset_seen", "etl_dataset", ["seen_at", "id"])


def _create_schema_version() -> None:
    op.create_table(
        "etl_schema_version",
        sa.Column("dataset_id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("fields", JSON_OBJECT, nullable=False),
        sa.Column("valid_from", MOMENT, nullable=False),
        sa.Column("valid_to", MOMENT),
        sa.Column("run_id", sa.String(32)),
        sa.Column("changes", JSON_OBJECT, nullable=False),
        sa.PrimaryKeyConstraint("dataset_id", "version", name="etl_schema_version_pkey"),
    )


def _create_profile() -> None:
    op.create_table(
        "etl_profile",
        sa.Column("dataset_id", sa.String(32), nullable=False),
        sa.Column("measured_at", MOMENT, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("columns", JSON_OBJECT, nullable=False),
        sa.Column("bytes", sa.BigInteger()),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("run_id", sa.String(32)),
        sa.Column("method", JSON_OBJECT, nullable=False),
        sa.PrimaryKeyConstraint("dataset_id", "measured_at", name="etl_profile_pkey"),
    )
    op.create_index("idx_etl_profile_measured", "etl_profile", ["measured_at"])


def _create_run() -> None:
    op.create_table(
        "etl_run",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("run_name", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.String(250), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("pipeline_version", sa.Integer()),
        sa.Column("dag_id", sa.String(250)),
        sa.Column("dag_run_id", sa.String(250)),
        sa.Column("task_id", sa.String(250)),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("try_number", sa.Integer()),
        sa.Column("load_id", sa.String(64)),
        sa.Column("target", sa.Text()),
        sa.Column("window", sa.Text()),
        sa.Column("rows_read", sa.BigInteger(), nullable=False),
        sa.Column("rows_loaded", sa.BigInteger(), nullable=False),
        sa.Column("rows_quarantined", sa.BigInteger(), nullable=False),
        sa.Column("rows_filtered", sa.BigInteger(), nullable=False),
        sa.Column("rows_deduplicated", sa.BigInteger(), nullable=False),
        sa.Column("rows_deleted", sa.BigInteger(), nullable=False),
        sa.Column("bytes_read", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", sa.Text()),
        sa.Column("report", JSON_OBJECT, nullable=False),
        sa.Column("reconciled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="etl_run_pkey"),
    )
    op.create_index("idx_etl_run_load", "etl_run", ["load_id"])
    op.create_index("idx_etl_run_pipeline", "etl_run", ["pipeline", "started_at"])
    op.create_index("idx_etl_run_started", "etl_run", ["started_at", "id"])
    op.create_index("idx_etl_run_task", "etl_run", ["dag_id", "dag_run_id", "task_id"])


def _create_batch() -> None:
    op.create_table(
        "etl_batch",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("pipeline", sa.String(250), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("ended_at", MOMENT, nullable=False),
        sa.Column("rows_read", sa.BigInteger(), nullable=False),
        sa.Column("rows_loaded", sa.BigInteger(), nullable=False),
        sa.Column("rows_quarantined", sa.BigInteger(), nullable=False),
        sa.Column("rows_filtered", sa.BigInteger(), nullable=False),
        sa.Column("rows_deduplicated", sa.BigInteger(), nullable=False),
        sa.Column("rows_deleted", sa.BigInteger(), nullable=False),
        sa.Column("rows_selected", sa.BigInteger(), nullable=False),
        sa.Column("bytes_read", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(53)),
        sa.Column("positions", JSON_OBJECT, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "number", name="etl_batch_pkey"),
    )
    op.create_index("idx_etl_batch_ended", "etl_batch", ["ended_at"])


def _create_load() -> None:
    op.create_table(
        "etl_load",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("load_id", sa.String(64), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.String(250), nullable=False),
        sa.Column("run_name", sa.Text(), nullable=False),
        sa.Column("mode", sa.String(20), nullable=False),
        sa.Column("published_at", MOMENT, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("epoch", sa.BigInteger()),
        sa.Column("rows_loaded", sa.BigInteger(), nullable=False),
        sa.Column("rows_deleted", sa.BigInteger(), nullable=False),
        sa.Column("quarantine", sa.Text()),
        sa.Column("ledger", JSON_OBJECT, nullable=False),
        sa.Column("undone_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="etl_load_pkey"),
    )
    op.create_index("idx_etl_load_load_id", "etl_load", ["load_id"])
    op.create_index("idx_etl_load_pipeline", "etl_load", ["pipeline", "published_at"])
    op.create_index("idx_etl_load_published", "etl_load", ["published_at", "id"])


def _create_metric() -> None:
    op.create_table(
        "etl_metric",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("pipeline", sa.String(250), nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "name", "at", name="etl_metric_pkey"),
    )
    op.create_index("idx_etl_metric_at", "etl_metric", ["at"])
    op.create_index("idx_etl_metric_pipeline", "etl_metric", ["pipeline", "name", "at"])


def _create_quarantine() -> None:
    op.create_table(
        "etl_quarantine",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.String(250), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("run_id", sa.String(32)),
        sa.Column("load_id", sa.String(64)),
        sa.Column("target", sa.Text()),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("reasons", JSON_OBJECT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="etl_quarantine_pkey"),
    )
    op.create_index("idx_etl_quarantine_created", "etl_quarantine", ["created_at", "id"])
    op.create_index("idx_etl_quarantine_pipeline", "etl_quarantine", ["pipeline", "created_at"])
