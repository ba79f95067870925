"""What overrides the configuration of agents, and who changed it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from airflow_etl_provider.exceptions import EditConflictError
from airflow_etl_provider.metadata.records import AgentSettingsChange, AgentSettingsRecord
from airflow_etl_provider.metadata.records.encoding import record_from_row, storable
from airflow_etl_provider.metadata.sql.engine import exclusive
from airflow_etl_provider.metadata.sql.etag import etag_of
from airflow_etl_provider.metadata.sql.recording import row_for
from airflow_etl_provider.metadata.tables.agents import AGENT_SETTINGS, AGENT_SETTINGS_CHANGE

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from airflow_etl_provider.metadata.records import Json

__all__ = ["agent_settings", "put_agent_settings"]


def agent_settings(connection: Connection, agent: str) -> tuple[AgentSettingsRecord, ...]:
    """Read an agent's rows, the general one first."""
    found = connection.execute(
        select(AGENT_SETTINGS)
        .where(AGENT_SETTINGS.c.agent == agent)
        .order_by(AGENT_SETTINGS.c.pipeline)
    ).mappings()
    return tuple(record_from_row(AgentSettingsRecord, row) for row in found)


def put_agent_settings(
    connection: Connection,
    agent: str,
    pipeline: str,
    *,
    settings: Json,
    by: str,
    etag: str | None,
    comment: str | None,
    now: datetime,
) -> AgentSettingsRecord:
    """Replace a row by compare-and-set, and write the change beside it."""
    exclusive(connection, f"settings {agent}")
    where = (AGENT_SETTINGS.c.agent == agent, AGENT_SETTINGS.c.pipeline == pipeline)
    there = connection.execute(select(AGENT_SETTINGS).where(*where)).first()
    if (there.etag if there is not None else None) != etag:
        whose = f"of {agent} for {pipeline!r}" if pipeline else f"of {agent}"
        raise EditConflictError(
            f"The settings {whose} were changed after they were read.",
            hint="Look at what is there now, and decide again.",
        )
    settings = storable(settings)
    record = AgentSettingsRecord(
        agent=agent,
        pipeline=pipeline,
        settings=settings,
        etag=etag_of(agent, pipeline, settings, now.isoformat()),
        updated_at=now,
        updated_by=by,
    )
    change = AgentSettingsChange(
        id=uuid.uuid4().hex,
        agent=agent,
        pipeline=pipeline,
        before=there.settings if there is not None else {},
        after=settings,
        at=now,
        by=by,
        comment=comment,
    )
    connection.execute(delete(AGENT_SETTINGS).where(*where))
    connection.execute(insert(AGENT_SETTINGS), [row_for(record)])
    connection.execute(insert(AGENT_SETTINGS_CHANGE), [row_for(change)])
    return record
