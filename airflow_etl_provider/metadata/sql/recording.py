"""Writing records: in one transaction, each key once, the newest of a key."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, and_, func
from sqlalchemy.dialects import postgresql, sqlite

from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.metadata.records import (
    AgentSettingsRecord,
    ContractRecord,
    DatasetRecord,
    LeaseRecord,
    RunRecord,
    key_of,
)
from airflow_etl_provider.metadata.records.encoding import record_to_row
from airflow_etl_provider.metadata.sql.search import search_columns
from airflow_etl_provider.metadata.tables import table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Table

    from airflow_etl_provider.metadata.records import Record

__all__ = ["row_for", "write_records"]

_DECIDED = (AgentSettingsRecord, ContractRecord, LeaseRecord)

_FIRST_STAYS = ("created_at", "started_at")
"""Moments that the first recording of a key gives for good."""

_ROWS = 500
"""Rows of one statement."""


def write_records(connection: Connection, records: Sequence[Record]) -> None:
    """Insert or update records within the caller's transaction.

    :raises SpecificationError: a record of a kind that is decided, a text too long for its
        column, a number that is not finite, or a moment without a time zone.
    """
    for kind, ours in _by_kind(records).items():
        table = table_of(kind)
        statement = _upsert(connection.dialect.name, table, kind)
        rows = [row_for(record) for record in ours]
        for start in range(0, len(rows), _ROWS):
            connection.execute(statement, rows[start : start + _ROWS])


def row_for(record: Record) -> dict[str, Any]:
    """Give the values of a record's row, checked against the widths of its columns."""
    row = record_to_row(record)
    if isinstance(record, DatasetRecord):
        row |= search_columns(record)
    for column in table_of(type(record)).columns:
        width = column.type.length if isinstance(column.type, String) else None
        value = row.get(column.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise SpecificationError(f"{record.COLLECTION}.{column.name} is no finite number.")
        if isinstance(value, datetime) and value.tzinfo is None:
            raise SpecificationError(f"{record.COLLECTION}.{column.name} has no time zone.")
        if width is not None and isinstance(value, str) and len(value) > width:
            raise SpecificationError(
                f"{record.COLLECTION}.{column.name} has {len(value)} characters; {width} fit."
            )
    return row


def _by_kind(records: Sequence[Record]) -> dict[type[Record], list[Record]]:
    """Sort by kind, in the order of their keys, so that two writers can't wait for each other."""
    kept: dict[type[Record], dict[tuple[Any, ...], Record]] = {}
    for record in records:
        if isinstance(record, _DECIDED):
            raise SpecificationError(
                f"A record of {record.COLLECTION} is not recorded but decided: use the store's "
                "own methods for it."
            )
        ours, key = kept.setdefault(type(record), {}), key_of(record)
        there, newest_by = ours.get(key), record.NEWEST_BY
        if there is None or (
            newest_by is not None and getattr(record, newest_by) >= getattr(there, newest_by)
        ):
            ours[key] = record
    return {
        kind: [ours[key] for key in sorted(ours)]
        for kind, ours in sorted(kept.items(), key=lambda item: item[0].COLLECTION)
    }


def _upsert(dialect: str, table: Table, kind: type[Record]) -> Any:
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    if kind.NEWEST_BY is None:
        return insert.on_conflict_do_nothing(index_elements=list(kind.KEY))
    stay = {*kind.KEY, *_FIRST_STAYS}
    newer = [table.c[kind.NEWEST_BY] <= insert.excluded[kind.NEWEST_BY]]
    if kind is RunRecord:
        # A process that slept through its successor's work wakes up with a word that is newer, and
        # of an older try.
        newer.append(
            func.coalesce(table.c.try_number, 0) <= func.coalesce(insert.excluded.try_number, 0)
        )
    return insert.on_conflict_do_update(
        index_elements=list(kind.KEY),
        set_={c.name: insert.excluded[c.name] for c in table.columns if c.name not in stay},
        where=and_(*newer),
    )
