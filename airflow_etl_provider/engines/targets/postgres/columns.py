"""Columns of anything that can be read in PostgreSQL, domains as what is behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.engines.targets.postgres.types import logical_type

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.types import LogicalType
    from airflow_etl_provider.engines.targets.postgres.client import PostgresClient
    from airflow_etl_provider.engines.targets.table_name import TableName

__all__ = [
    "TEXTS",
    "ReadableColumn",
    "as_text",
    "find_readable",
    "read_columns",
    "read_comment",
    "read_primary_key",
]

TEXTS = frozenset({"text", "varchar", "bpchar", "name", "citext"})
"""Types whose values are text, and compared as such by their own rules."""


@dataclass(frozen=True, slots=True)
class ReadableColumn:
    """One column.

    :param base: `pg_type.typname`.
    :param element: the same of an array's elements.
    :param declared: the type as PostgreSQL writes it.
    :param plain: the same without length or precision.
    :param required: it is declared NOT NULL, itself and not by a domain.
    """

    name: str
    type: LogicalType
    base: str
    element: str | None
    declared: str
    plain: str
    required: bool = False
    comment: str | None = None


def as_text(column: ReadableColumn, value: exp.Expr) -> exp.Expr:
    """The value's text as people write it."""
    if column.base == "inet":
        # Its cast writes the mask of a single host, too.
        return exp.Anonymous(this="abbrev", expressions=[value])
    return exp.Cast(this=value, to=exp.DataType.build("text"))


def find_readable(client: PostgresClient, name: TableName, *, home: str) -> str:
    """Give the schema of a table or view: as written, along the search path, or `home`."""
    if name.schema is not None:
        return name.schema
    rows = client.query(_FIND, [name.name], doing="to look up")
    return str(rows[0][0]) if rows else home


def read_columns(client: PostgresClient, schema: str, table: str) -> dict[str, ReadableColumn]:
    """Columns by name, in order; none where there is no such table or view."""
    columns = {}
    for row in client.query(_READ, [schema, table], doing="to look up"):
        name, declared, plain, base, modifier, element, required, comment = row
        of = None if element is None else str(element)
        columns[str(name)] = ReadableColumn(
            name=str(name),
            type=logical_type(str(base), modifier=int(modifier), element=of),
            base=str(base),
            element=of,
            declared=str(declared),
            plain=str(plain),
            required=bool(required),
            comment=None if comment is None else str(comment),
        )
    return columns


def read_primary_key(client: PostgresClient, schema: str, table: str) -> tuple[str, ...]:
    """The columns of the primary key, in its order; () where there is none."""
    rows = client.query(_PRIMARY_KEY, [schema, table], doing="to look up")
    return tuple(str(row[0]) for row in rows)


def read_comment(client: PostgresClient, schema: str, table: str) -> str | None:
    """What somebody wrote of a table, where somebody did."""
    rows = client.query(_COMMENT, [schema, table], doing="to look up")
    return str(rows[0][0]) if rows and rows[0][0] is not None else None


_COMMENT = """
SELECT obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

_FIND = """
SELECT n.nspname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid)
"""

_READ = """
WITH RECURSIVE base (relid, attnum, typid, typmod) AS (
  SELECT a.attrelid, a.attnum, a.atttypid, a.atttypmod
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  UNION ALL
  SELECT b.relid, b.attnum, t.typbasetype, t.typtypmod
  FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typid WHERE t.typtype = 'd'
)
SELECT a.attname::text, format_type(b.typid, b.typmod), format_type(b.typid, -1),
       t.typname::text, b.typmod::int8, CASE WHEN t.typcategory = 'A' THEN e.typname::text END,
       a.attnotnull, col_description(b.relid, b.attnum::int4)
FROM base b
JOIN pg_catalog.pg_attribute a ON a.attrelid = b.relid AND a.attnum = b.attnum
JOIN pg_catalog.pg_type t ON t.oid = b.typid AND t.typtype <> 'd'
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
ORDER BY a.attnum
"""

_PRIMARY_KEY = """
SELECT a.attname::text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
WHERE n.nspname = $1 AND c.relname = $2
ORDER BY k.place
"""
