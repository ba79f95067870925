"""Foreign keys that were found, and events that were handled.

Revision: 0003, after 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
JSON_OBJECT = sa.JSON().with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    _create_relation()
    _create_event_handled()


def downgrade() -> None:
    op.drop_table("etl_event_handled")
    op.drop_table("etl_relation")


def _create_relation() -> None:
    op.create_table(
        "etl_relation",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("dataset_id", sa.String(32), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("columns", JSON_OBJECT, nullable=False),
        sa.Column("other_id", sa.String(32), nullable=False),
        sa.Column("other", sa.Text(), nullable=False),
        sa.Column("key", JSON_OBJECT, nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("run_id", sa.String(32)),
        sa.PrimaryKeyConstraint("id", name="etl_relation_pkey"),
    )
    op.create_index("idx_etl_relation_seen", "etl_relation", ["seen_at"])
    op.create_index("idx_etl_relation_dataset", "etl_relation", ["dataset_id"])
    op.create_index("idx_etl_relation_other", "etl_relation", ["other_id"])


def _create_event_handled() -> None:
    op.create_table(
        "etl_event_handled",
        sa.Column("group_name", sa.String(250), nullable=False),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("handled_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("group_name", "event_id", name="etl_event_handled_pkey"),
    )
    op.create_index("idx_etl_event_handled_at", "etl_event_handled", ["handled_at"])
