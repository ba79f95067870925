"""The store that Airflow's own components work with, the API server and the scheduler: by SQL."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_etl_provider.metadata.sql import SqlStore

__all__ = ["own_store", "own_store_if_there"]

_lock = threading.Lock()
_store: SqlStore | None = None


def own_store_if_there() -> SqlStore | None:
    """Open it where its tables are there already, and make none."""
    if _store is not None:
        return _store
    from airflow import settings
    from sqlalchemy import inspect

    from airflow_etl_provider.db_manager import schema_of_airflow
    from airflow_etl_provider.metadata.migrate import VERSION_TABLE

    if _connection() is None:
        engine = settings.engine
        if engine is None or not inspect(engine).has_table(
            VERSION_TABLE, schema=schema_of_airflow()
        ):
            return None
    return own_store()


def own_store() -> SqlStore:
    """Open the store once per process: the connection's, or else Airflow's own database.

    In Airflow's own database the tables are made where nobody migrated them, as on Amazon MWAA,
    which migrates before it installs providers.
    """
    global _store  # noqa: PLW0603 - one pool of connections per process
    if _store is None:
        with _lock:
            if _store is None:
                _store = _open()
    return _store


def _connection() -> Any:
    from airflow.models.connection import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    from airflow_etl_provider.hooks.metadata import CONNECTION

    try:
        return Connection.get_connection_from_secrets(CONNECTION)
    except AirflowNotFoundException:
        return None


def _open() -> SqlStore:
    from airflow_etl_provider.hooks.connections import resolve_connection
    from airflow_etl_provider.metadata.sql import SqlStore
    from airflow_etl_provider.metadata.sql.location import url_of

    found = _connection()
    if found is None:
        from airflow import settings

        from airflow_etl_provider.db_manager import ensure_tables, schema_of_airflow

        ensure_tables()
        engine = settings.engine
        if engine is None or engine.dialect.name == "sqlite":
            # An engine of our own: on SQLite, Airflow's begins a transaction at the first write,
            # too late for what is read before to hold.
            return SqlStore(settings.SQL_ALCHEMY_CONN or "", schema=schema_of_airflow())
        return SqlStore(engine, schema=schema_of_airflow())
    return SqlStore(url_of(resolve_connection(found)))
