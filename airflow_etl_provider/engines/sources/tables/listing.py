"""Which tables and views a database has."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.targets.table_name import TableName
from airflow_etl_provider.exceptions import SourceError, SourceNotFoundError, SpecificationError

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["DATABASES", "list_tables"]

DATABASES = ("postgres", "duckdb", "sqlite", "mysql")
"""The types of connections whose tables can be listed."""

_OURS = "_etl_"
"""Ledgers and epochs: where the loads of a target are written down, and no data."""

# A partition is a part of its table. What the role may not read is listed too, and fails with the
# reason: a catalog without it would look complete.
_POSTGRES = """
SELECT CASE WHEN n.nspname = current_schema() THEN NULL ELSE n.nspname::text END, c.relname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'
ORDER BY 1 NULLS FIRST, 2
"""

_DUCKDB = """
SELECT nullif(table_schema, 'main'), table_name FROM information_schema.tables
WHERE table_catalog = current_database() ORDER BY 1 NULLS FIRST, 2
"""

_MYSQL = """
SELECT NULLIF(TABLE_SCHEMA, DATABASE()), TABLE_NAME FROM information_schema.TABLES
WHERE TABLE_TYPE IN ('BASE TABLE', 'VIEW')
  AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')
  AND TABLE_SCHEMA = COALESCE(DATABASE(), TABLE_SCHEMA)
ORDER BY 1, 2
"""

_SQLITE = """
SELECT name FROM sqlite_master
WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name
"""


def list_tables(connection: Connection) -> list[TableName]:
    """List tables and views, sorted, without those of the database itself and our ledgers.

    :raises SpecificationError: the connection is of no database that can be read.
    :raises SourceNotFoundError: there is no such file.
    """
    kind = connection.kind
    if kind == "postgres":
        found = _postgres(connection)
    elif kind == "duckdb":
        found = _duckdb(_path_of(connection))
    elif kind == "mysql":
        found = _mysql(connection)
    elif kind == "sqlite":
        found = _sqlite(_path_of(connection))
    else:
        raise SpecificationError(
            f"The connection {connection.name!r} is of type {kind!r}: its tables can't be listed.",
            hint="Use a connection of type postgres, mysql, duckdb or sqlite, or name a location.",
        )
    return [table for table in found if not table.name.startswith(_OURS)]


def _postgres(connection: Connection) -> list[TableName]:
    from airflow_etl_provider.engines.targets.postgres.client import PostgresClient
    from airflow_etl_provider.engines.targets.postgres.uri import server_of

    client = PostgresClient(connection, where=server_of(connection), timeouts={})
    try:
        client.start(snapshot=True)
        rows = client.query(_POSTGRES, doing="to list its tables")
    finally:
        client.close()
    return [_named(name, schema) for schema, name in rows]


def _mysql(connection: Connection) -> list[TableName]:
    from airflow_etl_provider.engines.sources.tables.mysql_client import MySqlClient

    with closing(MySqlClient(connection)) as client:
        rows = client.query(_MYSQL, doing="to list the tables of")
    return [_named(name, schema) for schema, name in rows]


def _duckdb(path: Path) -> list[TableName]:
    from airflow_etl_provider.engines.targets.duckdb_file.store import opened, run_sql

    with opened(path, wait_seconds=60.0, read_only=True) as connection:
        rows = run_sql(connection, _DUCKDB)
    return [_named(name, schema) for schema, name in rows]


def _named(name: object, schema: object) -> TableName:
    """Name a table as a pipeline does: the schema that is looked into anyway is left out."""
    return TableName(str(name), None if schema is None else str(schema))


def _sqlite(path: Path) -> list[TableName]:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return [TableName(name) for (name,) in connection.execute(_SQLITE)]
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", None) or type(error).__name__
        raise SourceError(
            f"The tables of {path} can't be listed ({code}).", hint="Is it a SQLite database?"
        ) from error


def _path_of(connection: Connection) -> Path:
    extra = connection.extra
    named = connection.host or connection.schema or extra.get("path") or extra.get("file")
    if not named:
        raise SpecificationError(
            f"Connection {connection.name!r} names no file.",
            hint="Write the path of the file into its host.",
        )
    path = Path(str(named)).expanduser().resolve()
    if not path.exists():
        raise SourceNotFoundError(f"There is no file {path}.")
    return path
