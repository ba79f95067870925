"""A table as PostgreSQL's catalog describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.targets.postgres.types import (
    Encoding,
    encoding_of,
    limit_of,
    logical_type,
)
from airflow_etl_provider.engines.targets.table_name import TableName
from airflow_etl_provider.exceptions import TargetMissingError, TargetSchemaError

if TYPE_CHECKING:
    from airflow_etl_provider.engines.targets.postgres.client import PostgresClient

__all__ = ["LOAD_COLUMNS", "Column", "Place", "Relation", "find_place", "read_relation"]

LOAD_COLUMNS: dict[str, LogicalType] = {
    "_etl_load_id": LogicalType("string"),
    "_etl_loaded_at": LogicalType("timestamptz"),
}
"""Columns that we fill ourselves when `load_columns` is on."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column as it is stored.

    :param declared: its type as PostgreSQL writes it, quoted where needed.
    :param has_default: a default or an identity fills it when it is left out.
    :param generated: PostgreSQL computes it; it can't be written.
    """

    name: str
    type: LogicalType
    declared: str
    encoding: Encoding
    nullable: bool = True
    has_default: bool = False
    generated: bool = False

    @property
    def is_plain_json(self) -> bool:
        """Its JSON is kept as text: `json`, `json[]`, or a domain over `json`."""
        return self.encoding == "plain" or self.declared == "json[]"

    @property
    def required(self) -> bool:
        """A value must be given."""
        return not (self.nullable or self.has_default or self.generated)


@dataclass(frozen=True, slots=True)
class Relation:
    """A table that is there.

    :param unique: sets of columns that a unique index keeps, fit for ON CONFLICT.
    :param row_triggers: triggers before insert may change or drop rows.
    :param takes_others_along: foreign keys of other tables that delete or empty their rows when
        rows here are deleted.
    """

    columns: tuple[Column, ...]
    unique: tuple[frozenset[str], ...] = ()
    row_triggers: bool = False
    takes_others_along: bool = False

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def schema(self) -> Schema:
        """The columns that a contract can fill: neither generated ones nor our own."""
        return Schema(
            tuple(
                Field(
                    column.name,
                    column.type,
                    nullable=column.nullable,
                    has_default=column.has_default,
                    limit=limit_of(column.type, verbatim=column.is_plain_json),
                )
                for column in self.columns
                if not column.generated and column.name not in LOAD_COLUMNS
            )
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where the table is, or will be."""

    schema: str
    table: str
    may_use_temporary: bool = True

    @property
    def key(self) -> str:
        """The table's name in the ledger."""
        return str(TableName(self.table, self.schema))


def find_place(client: PostgresClient, name: TableName, *, where: str) -> Place:
    """Settle the schema: the current one where none is written.

    :raises TargetMissingError: the schema does not exist; it is not ours to create.
    """
    rows = client.query(_FIND_PLACE, [name.schema], doing="to look up")
    schema, exists, temporary = rows[0]
    if not exists:
        named = (
            f"Schema {name.schema!r}"
            if name.schema
            else "A schema to create tables in (search_path)"
        )
        raise TargetMissingError(
            f"{named} does not exist in {where}.",
            hint="Create it, or name another as schema.table; schemas are not created by a load.",
        )
    return Place(schema=schema, table=name.name, may_use_temporary=temporary)


def read_relation(client: PostgresClient, place: Place, *, where: str) -> Relation | None:
    """Read a table's columns and keys; None where there is no such table.

    :raises TargetSchemaError: the name belongs to something that is no table.
    :raises TargetMissingError: there is a table of the same name in other letter case.
    """
    rows = client.query(_READ_RELATION, [place.schema, place.table], doing="to look up")
    found = [row for row in rows if row[1] == place.table]
    if not found:
        if rows:
            raise TargetMissingError(
                f"There is no table {place.table!r} in {where}, but {rows[0][1]!r}.",
                hint="Write the name in the letter case it has.",
            )
        return None
    oid, _, kind, triggers, takes_along = found[0]
    if kind not in ("r", "p"):
        raise TargetSchemaError(
            f"{where} is {_KINDS.get(kind, 'no table')}, and only tables can be loaded.",
            hint="Name the table behind it.",
        )
    return Relation(
        columns=tuple(
            _column(row) for row in client.query(_READ_COLUMNS, [oid], doing="to look up")
        ),
        unique=tuple(
            frozenset(row[0]) for row in client.query(_READ_UNIQUE, [oid], doing="to look up")
        ),
        row_triggers=triggers,
        takes_others_along=takes_along,
    )


def _column(row: tuple[object, ...]) -> Column:
    name, declared, base, kind, modifier, element, not_null, default, identity, generated = row
    of = {"element": None if element is None else str(element)}
    return Column(
        name=str(name),
        type=logical_type(str(base), modifier=int(str(modifier)), **of),
        declared=str(declared),
        encoding=encoding_of(str(base), kind=str(kind), **of),
        nullable=not not_null,
        has_default=bool(default or identity) and not generated,
        generated=bool(generated) or identity == "a",
    )


_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
    "I": "an index",
    "c": "a composite type",
}

_FIND_PLACE = """
SELECT wanted.name::text,
       coalesce((SELECT true FROM pg_catalog.pg_namespace WHERE nspname = wanted.name), false),
       has_database_privilege(current_database(), 'TEMPORARY')
FROM (SELECT coalesce($1::text, current_schema()::text) AS name) AS wanted
"""

_READ_RELATION = """
SELECT c.oid::int8, c.relname::text, c.relkind::text,
       EXISTS (SELECT FROM pg_catalog.pg_trigger t
               WHERE t.tgrelid IN (SELECT c.oid UNION ALL
                                   SELECT relid FROM pg_partition_tree(c.oid))
                 AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 7 = 7),
       EXISTS (SELECT FROM pg_catalog.pg_constraint f
               WHERE f.confrelid = c.oid AND f.contype = 'f' AND f.confdeltype IN ('c', 'n', 'd'))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1
  AND (c.relname = $2 OR lower(c.relname) = lower($2) AND c.relkind IN ('r', 'p'))
ORDER BY c.relname
"""

_READ_COLUMNS = """
WITH RECURSIVE base (attnum, typid, typmod, refuses_null) AS (
  SELECT attnum, atttypid, atttypmod, attnotnull FROM pg_catalog.pg_attribute
  WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT b.attnum, t.typbasetype, t.typtypmod, b.refuses_null OR t.typnotnull
  FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typid WHERE t.typtype = 'd'
)
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), t.typname::text, t.typtype::text,
       b.typmod::int8, CASE WHEN t.typcategory = 'A' THEN e.typname::text END,
       b.refuses_null, a.atthasdef, a.attidentity::text, a.attgenerated::text
FROM base b
JOIN pg_catalog.pg_attribute a ON a.attrelid = $1 AND a.attnum = b.attnum
JOIN pg_catalog.pg_type t ON t.oid = b.typid AND t.typtype <> 'd'
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
ORDER BY a.attnum
"""

_READ_UNIQUE = """
SELECT array_agg(a.attname::text)
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
GROUP BY i.indexrelid
"""
