"""Tables of databases as sources: typed rows of one snapshot, counted apart from the reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.pipeline import SourceSpec, TargetSpec
from airflow_etl_provider.engines.sources.tables.query import parse_query
from airflow_etl_provider.exceptions import NotSupportedYetError, SpecificationError

if TYPE_CHECKING:
    from pathlib import Path

    from sqlglot import exp

    from airflow_etl_provider.contracts.connection import Connection, Connections
    from airflow_etl_provider.engines.sources.tables.table import TableSource
    from airflow_etl_provider.engines.targets.postgres.client import PostgresClient

__all__ = ["TableReader", "open_source_table", "open_table"]


def open_source_table(
    spec: SourceSpec, *, connections: Connections, base: Path | None, scratch: Path | None = None
) -> TableSource:
    """Open the table that a pipeline reads, which is told apart by its rows from run to run.

    :raises SpecificationError: the connection is of no database that can be read.
    :raises SourceNotFoundError: there is no such table.
    """
    found = connections(spec.connection or "")
    source: TableSource
    if spec.query is not None:
        source = _open_query(found, spec.query, connections=connections, base=base, scratch=scratch)
        source.versioned = True
        return source
    if found.kind == "sqlite":
        source = _open_sqlite(found, spec.table or "")
    elif found.kind == "mysql":
        from airflow_etl_provider.engines.sources.tables.mysql import MySqlTableSource

        source = MySqlTableSource(found, table=spec.table or "", scratch=scratch)
    else:
        named = TargetSpec(connection=spec.connection, table=spec.table)
        source = open_table(named, connections=connections, base=base, scratch=scratch)
    source.versioned = True
    return source


def _open_query(
    connection: Connection,
    text: str,
    *,
    connections: Connections,
    base: Path | None,
    scratch: Path | None,
) -> TableSource:
    """Open what a query gives, as if it were a table."""
    if connection.kind == "postgres":
        from airflow_etl_provider.engines.sources.tables.postgres import PostgresTableSource

        return PostgresTableSource(
            connection, query=parse_query(text, dialect="postgres"), scratch=scratch
        )
    if connection.kind == "sqlite":
        return _open_sqlite(connection, query=parse_query(text, dialect="sqlite"), scratch=scratch)
    if connection.kind == "duckdb":
        from airflow_etl_provider.engines.sources.tables.duckdb_file import DuckDbTableSource
        from airflow_etl_provider.engines.targets.location import locate

        named = TargetSpec(connection=connection.name, table="t")
        at = locate(named, connections=connections, base=base)
        if at.path is not None:
            query = parse_query(text, dialect="duckdb")
            return DuckDbTableSource(at.path, query=query, scratch=scratch)
    raise NotSupportedYetError(
        f"Queries of connections of type {connection.kind!r} are not supported yet.",
        hint="Make a view of the query, and give its name as `table`.",
    )


class TableReader:
    """Opens tables of one connection, one after the other; a server is connected to once.

    Of a large table it reads a part, which `part` of the source then says.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: PostgresClient | None = None

    def open(self, table: str, *, scratch: Path | None = None) -> TableSource:
        """Open a table as `open_source_table` does, but for which rows it has.

        :raises SpecificationError: the connection is of no database that can be read.
        :raises SourceNotFoundError: there is no such table.
        """
        spec = SourceSpec(connection=self._connection.name, table=table)
        if self._connection.kind != "postgres":
            source = open_source_table(
                spec, connections=lambda _name: self._connection, base=None, scratch=scratch
            )
            source.versioned = False
            return source
        from airflow_etl_provider.engines.sources.tables.postgres import (
            PostgresTableSource,
            open_client,
        )

        client = self._client or open_client(self._connection)
        # A connection that fails is not used again.
        self._client = None
        opened: TableSource = PostgresTableSource(
            self._connection, table=table, scratch=scratch, client=client
        )
        self._client = client
        return opened

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _open_sqlite(
    connection: Connection,
    table: str = "",
    *,
    query: exp.Query | None = None,
    scratch: Path | None = None,
) -> TableSource:
    from pathlib import Path

    from airflow_etl_provider.engines.sources.tables.sqlite_file import SqliteTableSource

    # In the URI of a connection, the path stands where other databases have their name.
    path = connection.host or connection.schema
    if not path:
        raise SpecificationError(
            f"Connection {connection.name!r} names no file.",
            hint="Write the path of the SQLite file into its host.",
        )
    return SqliteTableSource(Path(path), table=table, query=query, scratch=scratch)


def open_table(
    spec: TargetSpec, *, connections: Connections, base: Path | None, scratch: Path | None = None
) -> TableSource:
    """Open what names a table, written as a target is; nothing but its columns is read yet.

    :param scratch: where rows are kept that are read more than once.
    :raises SpecificationError: it is no database.
    :raises TargetMissingError: there is no such table.
    """
    from airflow_etl_provider.engines.targets.location import locate

    at = locate(spec, connections=connections, base=base)
    if at.kind == "postgres" and at.connection is not None:
        from airflow_etl_provider.engines.sources.tables.postgres import PostgresTableSource

        return PostgresTableSource(at.connection, table=spec.table or "", scratch=scratch)
    if at.kind == "duckdb" and at.path is not None:
        from airflow_etl_provider.engines.sources.tables.duckdb_file import DuckDbTableSource

        return DuckDbTableSource(at.path, table=spec.table or "")
    raise SpecificationError(
        f"{at.path} is a file; it has no table {spec.table!r}.", hint="Leave `table` away."
    )
