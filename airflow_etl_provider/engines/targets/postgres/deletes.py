"""The part of a merge that deletes: what staged records with the mark do to the table's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.engines.targets.base import Published
from airflow_etl_provider.engines.targets.postgres import statements
from airflow_etl_provider.exceptions import TargetDataError

if TYPE_CHECKING:
    from airflow_etl_provider.engines.targets.base import WriteSpec
    from airflow_etl_provider.engines.targets.postgres.client import PostgresClient
    from airflow_etl_provider.engines.targets.postgres.plan import WritePlan

__all__ = ["apply_deletes"]


def apply_deletes(
    client: PostgresClient, *, plan: WritePlan, write: WriteSpec, schema: str, name: str
) -> Published:
    """Delete what the records staged in `schema.name` delete, and take them out of there.

    :raises TargetDataError: the table kept rows that it should not have.
    """
    older = 0
    if not plan.creates:
        older = _delete_rows(client, plan=plan, write=write, schema=schema, name=name)
    deletes = client.execute(
        statements.drop_marked(schema, name), doing="the records that delete from"
    )
    return Published(0, rows_deduplicated=older, rows_deleted=deletes - older)


def _delete_rows(
    client: PostgresClient, *, plan: WritePlan, write: WriteSpec, schema: str, name: str
) -> int:
    """Delete the rows that are not newer; returns how many are."""
    deleted_at = plan.deleted_at.name if plan.deleted_at is not None else None
    if deleted_at is None:
        statement = statements.delete_marked(
            plan.place,
            plan.columns,
            key=write.key,
            latest_by=write.latest_by,
            schema=schema,
            name=name,
        )
    else:
        statement = statements.mark_deleted(
            plan.place,
            plan.all_columns,
            key=write.key,
            latest_by=write.latest_by,
            deleted_at=deleted_at,
            extra=[column.name for column in plan.extra],
            schema=schema,
            name=name,
        )
    client.execute(statement, doing="to delete rows of")
    # Counted afterwards, when nobody else can make a row newer that was to be deleted.
    kept = statements.count_kept(
        plan.place,
        plan.columns,
        key=write.key,
        latest_by=write.latest_by,
        deleted_at=deleted_at,
        schema=schema,
        name=name,
    )
    ((older, others),) = client.query(kept, doing="the rows of")
    if others:
        raise TargetDataError(
            f"{client.where} kept {others} rows that the load deletes: a trigger, rule or policy "
            "of the table keeps them, or somebody wrote them again meanwhile. Nothing was "
            "published.",
            hint="Run it again; if that does not help, look at the table's triggers and policies.",
        )
    return int(older)
