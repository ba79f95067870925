"""Leases, by the database's clock: workers' clocks differ, and one may have been asleep."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from airflow_etl_provider.metadata.records import LeaseRecord
from airflow_etl_provider.metadata.records.encoding import record_from_row
from airflow_etl_provider.metadata.sql.engine import exclusive
from airflow_etl_provider.metadata.sql.recording import row_for
from airflow_etl_provider.metadata.tables.agents import LEASE

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy import Connection

__all__ = ["release_lease", "renew_lease", "take_lease"]


def take_lease(
    connection: Connection, name: str, *, holder: str, duration: timedelta, now: datetime
) -> LeaseRecord | None:
    """Take what is free or expired, or prolong what the holder has."""
    exclusive(connection, f"lease {name}")
    there = _there(connection, name)
    if there is None:
        lease = LeaseRecord(
            name=name, holder=holder, token=1, taken_at=now, expires_at=now + duration
        )
        connection.execute(insert(LEASE), [row_for(lease)])
        return lease
    if there.expires_at > now:
        if there.holder != holder:
            return None
        lease = replace(there, expires_at=now + duration)
    else:
        # The row of a lease that is over stays, so that tokens never begin again.
        lease = replace(
            there,
            holder=holder,
            token=there.token + 1,
            taken_at=now,
            expires_at=now + duration,
        )
    _set(connection, lease)
    return lease


def renew_lease(
    connection: Connection, lease: LeaseRecord, *, duration: timedelta, now: datetime
) -> LeaseRecord | None:
    """Prolong a lease that nobody else took; also one that ran out without being missed."""
    exclusive(connection, f"lease {lease.name}")
    there = _there(connection, lease.name)
    if there is None or (there.holder, there.token) != (lease.holder, lease.token):
        return None
    renewed = replace(there, expires_at=now + duration)
    _set(connection, renewed)
    return renewed


def release_lease(connection: Connection, lease: LeaseRecord, *, now: datetime) -> None:
    """End a lease; one that was lost is the new holder's."""
    exclusive(connection, f"lease {lease.name}")
    there = _there(connection, lease.name)
    if there is not None and (there.holder, there.token) == (lease.holder, lease.token):
        # A released lease can't be renewed by a copy of it.
        _set(connection, replace(there, holder="", expires_at=min(now, there.expires_at)))


def _there(connection: Connection, name: str) -> LeaseRecord | None:
    found = connection.execute(select(LEASE).where(LEASE.c.name == name)).mappings().first()
    return None if found is None else record_from_row(LeaseRecord, found)


def _set(connection: Connection, lease: LeaseRecord) -> None:
    row = row_for(lease)
    del row["name"]
    connection.execute(update(LEASE).where(LEASE.c.name == lease.name).values(row))
