"""Reading records: one by its key, or page by page."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import and_, literal, select, tuple_

from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.metadata.queries import MAX_PAGE, Page
from airflow_etl_provider.metadata.records.encoding import record_from_row
from airflow_etl_provider.metadata.tables import table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Table

    from airflow_etl_provider.metadata.queries import Query
    from airflow_etl_provider.metadata.records import Record

__all__ = ["check_limit", "find_records", "get_record", "read_cursor", "write_cursor"]

R = TypeVar("R", bound="Record")


def get_record(connection: Connection, record: type[R], key: Sequence[Any]) -> R | None:
    """Read one record by its key."""
    table = table_of(record)
    if len(key) != len(record.KEY):
        raise SpecificationError(
            f"A record of {record.COLLECTION} is named by {', '.join(record.KEY)}."
        )
    found = (
        connection.execute(
            select(table).where(*(table.c[name] == value for name, value in zip(record.KEY, key)))  # noqa: B905 - lengths are compared above
        )
        .mappings()
        .first()
    )
    return None if found is None else record_from_row(record, found)


def find_records(connection: Connection, query: Query[R]) -> Page[R]:
    """Read one page, newest first."""
    record, limit = query.record, check_limit(query.limit)
    table = table_of(record)
    order = [table.c[name] for name in _order(record)]
    statement = (
        select(table)
        .where(*_conditions(query, table))
        .order_by(*(column.desc() for column in order))
        .limit(limit + 1)
    )
    if query.after is not None:
        place = read_cursor(query.after, record.COLLECTION, len(order))
        values = [
            literal(datetime.fromisoformat(value) if at == 0 else value, column.type)
            for at, (column, value) in enumerate(zip(order, place))  # noqa: B905 - read_cursor counts
        ]
        statement = statement.where(tuple_(*order) < tuple_(*values))
    rows = connection.execute(statement).mappings().all()
    items = tuple(record_from_row(record, row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(items)
    last = items[-1]
    return Page(
        items, write_cursor(record.COLLECTION, [getattr(last, name) for name in _order(record)])
    )


def check_limit(limit: int, *, most: int = MAX_PAGE) -> int:
    """Refuse pages that are empty or hold a whole table.

    :raises SpecificationError: not from 1 to the most.
    """
    if not 1 <= limit <= most:
        raise SpecificationError(f"`limit` is {limit}; allowed is 1 to {most}.")
    return limit


def write_cursor(collection: str, place: Sequence[Any]) -> str:
    """Name a place by its values, fit for a URL."""
    content = json.dumps(
        [collection, *place],
        default=lambda value: value.isoformat(),
        separators=(",", ":"),
    )
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def read_cursor(cursor: str, collection: str, length: int) -> list[Any]:
    """Read a place back.

    :raises SpecificationError: it is none of this collection.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        place: list[Any]
        found, *place = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if found != collection or len(place) != length:
            raise ValueError
        if not all(isinstance(value, str | int | float) for value in place):
            raise ValueError
        if collection in _BY_MOMENT and datetime.fromisoformat(place[0]).tzinfo is None:
            raise ValueError
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise SpecificationError(
            "`after` is no cursor of this listing.", hint="Leave it out to begin anew."
        ) from error
    return place


def _order(record: type[Record]) -> tuple[str, ...]:
    return (record.ORDER_BY, *(name for name in record.KEY if name != record.ORDER_BY))


def _conditions(query: Query[Any], table: Table) -> list[ColumnElement[bool]]:
    record, conditions = query.record, []
    for name, value in query.equals.items():
        if name not in record.FILTERS:
            raise SpecificationError(
                f"{record.COLLECTION} can't be listed by {name!r}.",
                hint=f"It can by: {', '.join(record.FILTERS)}.",
            )
        column = table.c[name]
        values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
        if None in values:
            raise SpecificationError(f"{record.COLLECTION} can't be listed by no {name}.")
        conditions.append(column.in_(values))
    moment = table.c[record.ORDER_BY]
    if query.since is not None:
        conditions.append(moment >= query.since)
    if query.until is not None:
        conditions.append(moment < query.until)
    return [and_(*conditions)] if conditions else []


def _moments() -> frozenset[str]:
    from airflow_etl_provider.metadata.records import RECORDS

    return frozenset(record.COLLECTION for record in RECORDS)


_BY_MOMENT = _moments()
