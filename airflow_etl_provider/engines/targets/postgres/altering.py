"""Columns that a load adds and widens: how the table will be, and the statements at the publish."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.contracts.drift import contains
from airflow_etl_provider.engines.targets.postgres.catalog import Column, read_relation
from airflow_etl_provider.engines.targets.postgres.types import created_encoding, declared_type
from airflow_etl_provider.exceptions import (
    TargetChangedError,
    TargetPermissionError,
    TargetSchemaError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.contracts.types import LogicalType
    from airflow_etl_provider.engines.targets.base import WriteSpec
    from airflow_etl_provider.engines.targets.postgres.catalog import Place, Relation
    from airflow_etl_provider.engines.targets.postgres.client import PostgresClient

__all__ = ["alter_table", "plan_altered"]

REWRITE_LIMIT = 2**28
"""Bytes of a table that may be rewritten for a wider type; readers wait that long."""

LOCK_TRY = 500
"""Milliseconds for which readers may have to queue behind us while others still use the table."""


def plan_altered(
    client: PostgresClient, relation: Relation | None, *, place: Place, write: WriteSpec, where: str
) -> Relation | None:
    """Give the table as it will be once the load has altered it; None where there is none yet.

    :raises TargetSchemaError: a column can't be altered, or not without keeping readers out.
    :raises TargetChangedError: somebody else added such a column meanwhile, of another type.
    :raises TargetPermissionError: the table belongs to somebody else.
    """
    if relation is None or not write.alters:
        return relation
    target = _altered(relation, write, where)
    changed = [
        (column, held)
        for column in target.columns
        if (held := relation.column(column.name)) != column
    ]
    if changed:
        owned, size, used = client.query(
            _READ_OBSTACLES, [place.schema, place.table], doing="to look up"
        )[0]
        if not owned:
            raise TargetPermissionError(
                f"{where} needs {_listed(changed)}, and only its owner may alter it.",
                hint="Have its owner add the columns or widen them, and run again.",
            )
        for column, held in changed:
            if held is not None:
                _refuse_obstacles(column, held, size=int(size), used=used or [], where=where)
    return target


def alter_table(client: PostgresClient, place: Place, write: WriteSpec) -> None:
    """Alter the table in the running transaction, as far as nobody else did so already.

    Call it while the right to publish is held (`lock_target`).
    """
    if not write.alters:
        return
    relation = read_relation(client, place, where=client.where)
    if relation is None:
        return
    actions = list(_actions(relation, _altered(relation, write, client.where)))
    if not actions:
        return
    table = exp.Table(
        this=exp.to_identifier(place.table, quoted=True),
        db=exp.to_identifier(place.schema, quoted=True),
    )
    _lock(client, place)
    for action in actions:
        alter = exp.Alter(this=table.copy(), kind="TABLE", actions=[action])
        client.execute(alter.sql("postgres"), doing="to alter")


def _altered(relation: Relation, write: WriteSpec, where: str) -> Relation:
    columns = {column.name: column for column in relation.columns}
    for field in write.widen_columns:
        held = columns.get(field.name)
        if held is not None and not contains(held.type, field.type):
            columns[field.name] = _retyped(held, field.type)
    for field in write.add_columns:
        made = _retyped(Column(field.name, field.type, "", "plain"), field.type)
        held = columns.setdefault(field.name, made)
        if held.generated or not contains(held.type, field.type):
            raise TargetChangedError(
                f"{where} has a column {field.name!r} ({held.declared}) meanwhile; this load would "
                f"have added it as {made.declared}.",
                hint="Run again; the load then goes by the table as it is.",
            )
    return replace(relation, columns=tuple(columns.values()))


def _retyped(column: Column, of: LogicalType) -> Column:
    declared = declared_type(of, column=column.name)
    return replace(column, type=of, declared=declared, encoding=created_encoding(of))


def _refuse_obstacles(
    column: Column, held: Column, *, size: int, used: list[str], where: str
) -> None:
    change = f"Column {column.name!r} of {where} is {held.declared} and would have to be"
    by_hand = (
        f"Alter it by hand (ALTER TABLE ... ALTER COLUMN ... TYPE {column.declared}) when nobody "
        "needs the table, and run again; or write `schema_evolution: discard`."
    )
    if column.name in used:
        raise TargetSchemaError(f"{change} {column.declared}, but a view uses it.", hint=by_hand)
    if size > REWRITE_LIMIT and not _is_cheap(held.type, column.type):
        raise TargetSchemaError(
            f"{change} {column.declared}: {size // 2**20} MB would be written again, and readers "
            "kept out meanwhile.",
            hint=by_hand,
        )


def _is_cheap(held: LogicalType, wider: LogicalType) -> bool:
    """Whether PostgreSQL changes its catalog alone and leaves the rows as they are."""
    return (
        held.kind == wider.kind
        and held.kind in ("string", "decimal")
        and (held.scale == wider.scale)
    )


def _actions(relation: Relation, target: Relation) -> Iterator[exp.Expression]:
    for column in target.columns:
        name, held = exp.to_identifier(column.name, quoted=True), relation.column(column.name)
        # Ours, or as the server wrote and quoted it: it goes in as it is.
        kind = exp.DataType(this=exp.DataType.Type.USERDEFINED, kind=column.declared)
        if held is None:
            yield exp.ColumnDef(this=name, kind=kind)
        elif held.declared != column.declared:
            yield exp.AlterColumn(this=name, dtype=kind)


def _lock(client: PostgresClient, place: Place) -> None:
    """Get the table for ourselves, by short tries.

    Whoever waits for that keeps all out who come later: behind a long query, for as long as it
    takes. So others come through between the tries, until `lock_timeout` is over.
    """
    client.query(
        "SELECT set_config('airflow_etl.schema', $1, true), "
        "set_config('airflow_etl.table', $2, true), set_config('airflow_etl.lock_try', $3, true)",
        [place.schema, place.table, str(LOCK_TRY)],
        doing="to alter",
    )
    client.execute(_LOCK_IN_SHORT_TRIES, doing="to alter")


def _listed(changed: list[tuple[Column, Column | None]]) -> str:
    return ", ".join(
        f"a column {column.name!r}" if held is None else f"{column.name!r} as {column.declared}"
        for column, held in changed
    )


_READ_OBSTACLES = """
SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE'),
       coalesce((SELECT sum(pg_table_size(relid)) FROM pg_partition_tree(c.oid)),
                pg_table_size(c.oid))::int8,
       (SELECT array_agg(DISTINCT a.attname::text)
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
        JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass
          AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2
"""

_LOCK_IN_SHORT_TRIES = """
DO $$
DECLARE
  patience int8 := (SELECT setting::int8 FROM pg_catalog.pg_settings WHERE name = 'lock_timeout');
  try int8 := current_setting('airflow_etl.lock_try')::int8;
  started timestamptz := clock_timestamp();
BEGIN
  LOOP
    BEGIN
      PERFORM set_config(
        'lock_timeout', CASE patience WHEN 0 THEN try ELSE least(try, patience) END::text, true);
      EXECUTE format('LOCK TABLE %I.%I IN ACCESS EXCLUSIVE MODE',
                     current_setting('airflow_etl.schema'), current_setting('airflow_etl.table'));
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      IF patience > 0 AND clock_timestamp() > started + patience * interval '1 millisecond' THEN
        RAISE;
      END IF;
      PERFORM pg_sleep(try / 1000.0);
    END;
  END LOOP;
  PERFORM set_config('lock_timeout', patience::text, true);
END
$$
"""
"""A failed statement ends a transaction of the driver's; caught by the server it does not."""
