"""Tables of databases as sources: typed rows of one snapshot, counted apart from the reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.pipeline import TargetSpec
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connection, Connections
    from airflow_etl_provider.contracts.pipeline import SourceSpec
    from airflow_etl_provider.engines.sources.tables.table import TableSource

__all__ = ["open_source_table", "open_table"]


def open_source_table(
    spec: SourceSpec, *, connections: Connections, base: Path | None, scratch: Path | None = None
) -> TableSource:
    """Open the table that a pipeline reads, which is told apart by its rows from run to run.

    :raises SpecificationError: the connection is of no database that can be read.
    :raises SourceNotFoundError: there is no such table.
    """
    found = connections(spec.connection or "")
    source: TableSource
    if found.kind == "sqlite":
        source = _open_sqlite(found, spec.table or "")
    else:
        named = TargetSpec(connection=spec.connection, table=spec.table)
        source = open_table(named, connections=connections, base=base, scratch=scratch)
    source.versioned = True
    return source


def _open_sqlite(connection: Connection, table: str) -> TableSource:
    from pathlib import Path

    from airflow_etl_provider.engines.sources.tables.sqlite_file import SqliteTableSource

    # In the URI of a connection, the path stands where other databases have their name.
    path = connection.host or connection.schema
    if not path:
        raise SpecificationError(
            f"Connection {connection.name!r} names no file.",
            hint="Write the path of the SQLite file into its host.",
        )
    return SqliteTableSource(Path(path), table=table)


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
