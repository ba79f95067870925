"""Mapping contracts: versions, and who decided about them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from airflow_etl_provider.exceptions import EditConflictError, MetadataError
from airflow_etl_provider.metadata.records import ContractRecord
from airflow_etl_provider.metadata.records.encoding import record_from_row, storable
from airflow_etl_provider.metadata.sql.engine import exclusive
from airflow_etl_provider.metadata.sql.etag import etag_of
from airflow_etl_provider.metadata.sql.recording import row_for
from airflow_etl_provider.metadata.tables.agents import CONTRACT

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from airflow_etl_provider.metadata.records import ContractStatus, Json

__all__ = ["approved_contract", "decide_contract", "edit_contract", "propose_contract"]

_MAY_BECOME: dict[ContractStatus, tuple[ContractStatus, ...]] = {
    "proposed": ("approved", "rejected"),
    "approved": ("rejected", "superseded"),
    "rejected": ("approved",),
    "superseded": ("approved",),
}


def propose_contract(
    connection: Connection, contract: ContractRecord, *, now: datetime
) -> ContractRecord:
    """Write the next version, unless the newest one that still counts has the same body."""
    exclusive(connection, f"contract {contract.name}")
    newest = _newest(connection, contract.name)
    body = storable(contract.body)
    if newest is not None and newest.body == body and newest.status in ("proposed", "approved"):
        return newest
    return _write_next(
        connection,
        replace(
            contract,
            status="proposed",
            body=body,
            decided_by=None,
            decided_at=None,
        ),
        newest,
        now=now,
    )


def approved_contract(connection: Connection, name: str) -> ContractRecord | None:
    """Read the approved version; there is one at most."""
    found = (
        connection.execute(
            select(CONTRACT)
            .where(CONTRACT.c.name == name, CONTRACT.c.status == "approved")
            .order_by(CONTRACT.c.version.desc())
            .limit(1)
        )
        .mappings()
        .first()
    )
    return None if found is None else record_from_row(ContractRecord, found)


def decide_contract(
    connection: Connection,
    name: str,
    version: int,
    *,
    status: ContractStatus,
    by: str,
    etag: str,
    comment: str | None,
    now: datetime,
) -> ContractRecord:
    """Set the status of a version; what was approved before is superseded."""
    exclusive(connection, f"contract {name}")
    seen = _seen(connection, name, version, etag)
    if status not in _MAY_BECOME[seen.status]:
        raise EditConflictError(
            f"Version {version} of contract {name!r} is {seen.status}, and can't become {status}.",
            hint=f"It can become {' or '.join(_MAY_BECOME[seen.status])}.",
        )
    if status == "approved":
        standing = approved_contract(connection, name)
        if standing is not None:
            _set(connection, replace(standing, status="superseded"), now=now)
    return _set(
        connection,
        replace(seen, status=status, decided_by=by, decided_at=now, comment=comment),
        now=now,
    )


def edit_contract(
    connection: Connection,
    name: str,
    version: int,
    *,
    body: Json,
    by: str,
    etag: str,
    comment: str | None,
    now: datetime,
) -> ContractRecord:
    """Write a person's version after the one that was edited; an edited proposal is over."""
    exclusive(connection, f"contract {name}")
    seen = _seen(connection, name, version, etag)
    newest = _newest(connection, name)
    if seen.status == "proposed":
        _set(connection, replace(seen, status="superseded"), now=now)
    return _write_next(
        connection,
        replace(
            seen,
            status="proposed",
            body=storable(body),
            proposed_by=by,
            decided_by=None,
            decided_at=None,
            comment=comment,
        ),
        newest,
        now=now,
    )


def _newest(connection: Connection, name: str) -> ContractRecord | None:
    last = select(func.max(CONTRACT.c.version)).where(CONTRACT.c.name == name).scalar_subquery()
    found = (
        connection.execute(
            select(CONTRACT).where(CONTRACT.c.name == name, CONTRACT.c.version == last)
        )
        .mappings()
        .first()
    )
    return None if found is None else record_from_row(ContractRecord, found)


def _seen(connection: Connection, name: str, version: int, etag: str) -> ContractRecord:
    found = (
        connection.execute(
            select(CONTRACT).where(CONTRACT.c.name == name, CONTRACT.c.version == version)
        )
        .mappings()
        .first()
    )
    if found is None:
        raise MetadataError(f"There is no version {version} of contract {name!r}.", missing=True)
    if found["etag"] != etag:
        raise EditConflictError(
            f"Version {version} of contract {name!r} was changed after it was read: it is "
            f"{found['status']} now.",
            hint="Look at what is there now, and decide again.",
        )
    return record_from_row(ContractRecord, found)


def _write_next(
    connection: Connection,
    contract: ContractRecord,
    newest: ContractRecord | None,
    *,
    now: datetime,
) -> ContractRecord:
    written = _stamped(
        replace(
            contract,
            version=1 if newest is None else newest.version + 1,
            created_at=now,
            updated_at=now,
        )
    )
    connection.execute(insert(CONTRACT), [row_for(written)])
    return written


def _set(connection: Connection, contract: ContractRecord, *, now: datetime) -> ContractRecord:
    written = _stamped(replace(contract, updated_at=now))
    row: dict[str, Any] = row_for(written)
    connection.execute(
        update(CONTRACT)
        .where(CONTRACT.c.name == contract.name, CONTRACT.c.version == contract.version)
        .values({name: value for name, value in row.items() if name not in ("name", "version")})
    )
    return written


def _stamped(contract: ContractRecord) -> ContractRecord:
    return replace(
        contract,
        etag=etag_of(
            contract.name,
            contract.version,
            contract.status,
            contract.body,
            contract.updated_at.isoformat(),
        ),
    )
