"""The event table: a log that processes of one deployment share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite

from airflow_etl_provider.bus.event import decode_event, encode_event
from airflow_etl_provider.metadata.records.encoding import storable
from airflow_etl_provider.metadata.sql.engine import exclusive
from airflow_etl_provider.metadata.tables.events import EVENT, EVENT_ATTEMPT, EVENT_GROUP

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from airflow_etl_provider.bus.event import Event

__all__ = [
    "append_events",
    "count_attempt",
    "dead_events",
    "event_position",
    "move_event_position",
    "read_events",
]


def append_events(connection: Connection, events: Sequence[Event]) -> None:
    """Write events in their order; an id that is there stays as it is."""
    if not events:
        return
    # Sequence numbers are drawn before the commit. Without the lock, a reader could see number 8,
    # move on, and never see number 7, whose transaction was slower.
    exclusive(connection, "events")
    table = _insert(connection, EVENT)
    connection.execute(
        table.on_conflict_do_nothing(index_elements=["id"]),
        [
            {
                "id": event.id,
                "kind": event.kind,
                "version": event.version,
                "key": event.key,
                "at": event.at,
                "pipeline": event.pipeline,
                "body": storable(json.loads(encode_event(event))),
            }
            for event in events
        ],
    )


def read_events(
    connection: Connection, *, after: int, limit: int, kinds: Sequence[str], pipeline: str
) -> tuple[tuple[int, Event], ...]:
    """Read what came after a number, oldest first."""
    statement = select(EVENT.c.sequence, EVENT.c.body).where(EVENT.c.sequence > after)
    if kinds:
        statement = statement.where(EVENT.c.kind.in_(kinds))
    if pipeline:
        statement = statement.where(EVENT.c.pipeline == pipeline)
    found = connection.execute(statement.order_by(EVENT.c.sequence).limit(limit))
    return tuple((sequence, decode_event(body)) for sequence, body in found)


def event_position(connection: Connection, group: str) -> int:
    """How far a group has come."""
    found = connection.scalar(select(EVENT_GROUP.c.position).where(EVENT_GROUP.c.name == group))
    return int(found or 0)


def move_event_position(
    connection: Connection, group: str, *, old: int, new: int, now: datetime
) -> bool:
    """Set the position if it is the old one still."""
    if old == 0:
        made = connection.execute(
            _insert(connection, EVENT_GROUP).on_conflict_do_nothing(index_elements=["name"]),
            {"name": group, "position": new, "updated_at": now},
        )
        if made.rowcount == 1:
            return True
    moved = connection.execute(
        update(EVENT_GROUP)
        .where(EVENT_GROUP.c.name == group, EVENT_GROUP.c.position == old)
        .values(position=new, updated_at=now)
    )
    return moved.rowcount == 1


def count_attempt(
    connection: Connection, group: str, event_id: str, *, reason: str, dead: bool, now: datetime
) -> int:
    """Note a failed handling."""
    insert = _insert(connection, EVENT_ATTEMPT)
    changed: dict[str, Any] = {
        "attempts": EVENT_ATTEMPT.c.attempts + 1,
        "at": now,
        "reason": storable(reason),
    }
    if dead:
        changed["dead_at"] = now
    statement = insert.on_conflict_do_update(
        index_elements=["group_name", "event_id"], set_=changed
    ).returning(EVENT_ATTEMPT.c.attempts)
    return int(
        connection.execute(
            statement,
            {
                "group_name": group,
                "event_id": event_id,
                "attempts": 1,
                "at": now,
                "dead_at": now if dead else None,
                "reason": storable(reason),
            },
        ).scalar_one()
    )


def dead_events(connection: Connection, group: str, *, limit: int) -> tuple[tuple[Event, str], ...]:
    """Read what was put aside, oldest first."""
    found = connection.execute(
        select(EVENT.c.body, EVENT_ATTEMPT.c.reason)
        .join(EVENT_ATTEMPT, EVENT_ATTEMPT.c.event_id == EVENT.c.id)
        .where(EVENT_ATTEMPT.c.group_name == group, EVENT_ATTEMPT.c.dead_at.is_not(None))
        .order_by(EVENT.c.sequence)
        .limit(limit)
    )
    return tuple((decode_event(body), reason or "") for body, reason in found)


def _insert(connection: Connection, table: Any) -> Any:
    dialect = connection.dialect.name
    return (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
