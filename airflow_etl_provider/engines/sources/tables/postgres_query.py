"""The columns of a query of PostgreSQL, as the server describes them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.engines.targets.postgres.columns import ReadableColumn
from airflow_etl_provider.engines.targets.postgres.types import logical_type
from airflow_etl_provider.engines.targets.postgres.uri import postgres_uri, server_of
from airflow_etl_provider.exceptions import SourceError, SpecificationError

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["describe_query"]

_SECONDS = 15
_NUMERIC, _WITH_LENGTH = 1700, (1042, 1043)

_TYPES = """
SELECT t.oid::int8, t.typname::text, format_type(t.oid, -1),
       CASE WHEN t.typcategory = 'A' THEN e.typname::text END
FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
WHERE t.oid = ANY(%s::oid[])
"""


def describe_query(connection: Connection, query: exp.Query) -> dict[str, ReadableColumn]:
    """Give the columns of a query by name, in order; no row of it is made.

    :raises SourceError: the server refuses the query: what it reads is not there, or forbidden.
    :raises SpecificationError: two columns have one name.
    """
    import psycopg2

    none_of_it = exp.select(exp.Star()).from_(exp.Subquery(this=query.copy(), alias="q")).limit(0)
    failure: Exception
    try:
        with closing(
            psycopg2.connect(postgres_uri(connection), connect_timeout=_SECONDS)
        ) as server:
            server.set_session(readonly=True)
            with server.cursor() as cursor:
                # No parameters: a percent sign is one.
                cursor.execute(none_of_it.sql("postgres"))
                described = list(cursor.description or ())
                cursor.execute(_TYPES, [[column.type_code for column in described]])
                types = {row[0]: row[1:] for row in cursor.fetchall()}
        return _columns(described, types)
    except psycopg2.Error as error:
        code = error.pgcode or type(error).__name__
        told = error.diag.message_primary or ""
        # What a query lacks is told by names; nothing was read that could be quoted.
        said = f": {told}" if told and error.pgcode and error.pgcode.startswith("42") else ""
        failure = SourceError(
            f"source.query is refused by {server_of(connection)} ({code}){said}.",
            hint="Run it in the database with the login of the connection.",
        )
    raise failure


def _columns(described: list[Any], types: dict[int, Any]) -> dict[str, ReadableColumn]:
    columns: dict[str, ReadableColumn] = {}
    for column in described:
        base, plain, element = types[column.type_code]
        if column.name in columns or column.name == "?column?":
            raise SpecificationError(
                f"source.query has no single column named {column.name!r}.",
                hint="Name each column with AS.",
            )
        columns[column.name] = ReadableColumn(
            name=column.name,
            type=logical_type(base, modifier=_modifier(column), element=element),
            base=base,
            element=element,
            declared=plain,
            plain=plain,
        )
    return columns


def _modifier(column: Any) -> int:
    """Give the type modifier as the catalog has it; -1 where there is none."""
    if column.type_code == _NUMERIC and column.precision not in (None, 65535):
        return int(((column.precision << 16) | column.scale) + 4)
    if column.type_code in _WITH_LENGTH and (column.internal_size or -1) > 0:
        return int(column.internal_size + 4)
    return -1
