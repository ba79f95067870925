"""Which message bus this deployment has, and how to reach it."""

from __future__ import annotations

import logging
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_etl_provider.bus.base import MessageBus
    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["event_relay", "open_bus"]

log = logging.getLogger(__name__)


def open_bus(name: str) -> MessageBus:
    """Open the bus of a connection of type redis or kafka.

    :raises ConnectionNotFoundError: there is no such connection.
    :raises SpecificationError: it is of no broker, or says what a bus can't use.
    """
    from airflow_etl_provider.bus.relay import bus_of
    from airflow_etl_provider.hooks.connections import find_airflow_connection

    return bus_of(find_airflow_connection(name))


def event_relay() -> Callable[[MetadataStore], None] | None:
    """Find what tells `[etl] message_bus` of the events in the table; None where there is none.

    :raises ConnectionNotFoundError: the setting names a connection that is not there.
    """
    from airflow.sdk.configuration import conf

    from airflow_etl_provider.hooks.connections import find_airflow_connection

    name = (conf.get("etl", "message_bus", fallback=None) or "").strip()
    return partial(_relay, find_airflow_connection(name)) if name else None


def _relay(connection: Connection, table: MetadataStore) -> None:
    from airflow_etl_provider.bus.relay import bus_of, relay_events
    from airflow_etl_provider.exceptions import EtlError

    try:
        with closing(bus_of(connection)) as bus:
            relay_events(table, bus, name=connection.name)
    except EtlError as error:
        log.warning(
            "The message bus %r was not told what happened: %s It stands in the event table, and "
            "the next run tells it.",
            connection.name,
            error,
        )
