"""DuckDB files in Airflow: the connection type `duckdb`, for our targets and for SQL operators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_etl_provider.hooks.connections import to_core_connection

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["DuckDbHook"]


class DuckDbHook(DbApiHook):
    """Reach a DuckDB file, for example from `SQLExecuteQueryOperator(conn_id=...)`.

    The connection's host is the file's path; empty means a database in memory. One process at a
    time may write to a file: set `{"read_only": true}` in the extra field where reading is enough.

    :param duckdb_conn_id: the Airflow connection.
    """

    conn_name_attr = "duckdb_conn_id"
    default_conn_name = "duckdb_default"
    conn_type = "duckdb"
    hook_name = "DuckDB"
    supports_autocommit = True
    _placeholder = "?"

    def get_conn(self) -> DuckDBPyConnection:
        """Open the file."""
        import duckdb

        connection = to_core_connection(self.get_connection(self.get_conn_id()))
        path = connection.host or ":memory:"
        read_only = bool(connection.extra.get("read_only")) and path != ":memory:"
        return duckdb.connect(path, read_only=read_only)

    def get_uri(self) -> str:
        """Give the file as SQLAlchemy's `duckdb_engine` writes it."""
        connection = to_core_connection(self.get_connection(self.get_conn_id()))
        return f"duckdb:///{connection.host or ':memory:'}"

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:  # noqa: FBT001
        """Open the transaction that Airflow is going to commit, which DuckDB requires.

        Cursors of DuckDB are connections of their own: each statement commits by itself.
        """
        conn.begin()

    def get_autocommit(self, conn: Any) -> bool:
        """Tell Airflow to commit what `set_autocommit` began."""
        return False

    def test_connection(self) -> tuple[bool, str]:  # type: ignore[override]
        """Say whether the file can be opened, without creating it."""
        path = to_core_connection(self.get_connection(self.get_conn_id())).host
        if path and not Path(path).exists():
            parent = Path(path).parent
            if parent.is_dir():
                return True, f"{path} does not exist yet; the first load creates it"
            return False, f"the folder {parent} does not exist"
        self.get_first("select 1")
        return True, f"{path or 'a database in memory'} can be opened"
