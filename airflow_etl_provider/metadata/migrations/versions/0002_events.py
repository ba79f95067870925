"""The events between processes.

Revision: 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
JSON_OBJECT = sa.JSON().with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
BIG_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_event()
    _create_event_group()
    _create_event_attempt()


def downgrade() -> None:
    op.drop_table("etl_event_attempt")
    op.drop_table("etl_event_group")
    op.drop_table("etl_event")


def _create_event() -> None:
    op.create_table(
        "etl_event",
        sa.Column("sequence", BIG_COUNTER, nullable=False, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("version", sa.String(16), nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("pipeline", sa.String(250)),
        sa.Column("body", JSON_OBJECT, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="etl_event_pkey"),
        sa.UniqueConstraint("id", name="etl_event_id_uq"),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_etl_event_at", "etl_event", ["at"])
    op.create_index("idx_etl_event_pipeline", "etl_event", ["pipeline", "sequence"])


def _create_event_group() -> None:
    op.create_table(
        "etl_event_group",
        sa.Column("name", sa.String(250), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="etl_event_group_pkey"),
    )


def _create_event_attempt() -> None:
    op.create_table(
        "etl_event_attempt",
        sa.Column("group_name", sa.String(250), nullable=False),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("dead_at", MOMENT),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("group_name", "event_id", name="etl_event_attempt_pkey"),
    )
