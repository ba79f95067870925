"""Which metadata store this task reaches, and how."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from airflow_etl_provider.exceptions import ConnectionNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_etl_provider.contracts.connection import Connection, Connections
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["CONNECTION", "open_store_at", "store_opener"]

log = logging.getLogger(__name__)

CONNECTION = "etl_metadata_default"
"""The connection of the metadata store, where there is one."""


def store_opener(connections: Connections | None = None) -> Callable[[], MetadataStore] | None:
    """Find the store, without reaching for it yet; None where there is none.

    The connection `etl_metadata_default` says where it is. What is returned imports the driver and
    connects when it is called, which may be in another thread.

    :raises SpecificationError: the connection is there and is no store.
    """
    if connections is None:
        from airflow_etl_provider.hooks.connections import find_airflow_connection

        connections = find_airflow_connection
    try:
        found = connections(CONNECTION)
    except ConnectionNotFoundError:
        log.info(
            "Runs are not recorded: there is no connection %s. It names the PostgreSQL or SQLite "
            "database with the tables etl_*.",
            CONNECTION,
        )
        return None
    return partial(open_store_at, found)


def open_store_at(connection: Connection) -> MetadataStore:
    """Open the store of a connection of type postgres or sqlite."""
    from airflow_etl_provider.metadata.sql import SqlStore
    from airflow_etl_provider.metadata.sql.location import url_of

    return SqlStore(url_of(connection))
