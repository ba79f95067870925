"""From the event table to a broker: what was recorded is told, whoever recorded it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.bus.table import TableBus
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from airflow_etl_provider.bus.base import MessageBus
    from airflow_etl_provider.bus.table import EventTable
    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["bus_of", "relay_events"]

_AT_ONCE = 500


def relay_events(table: EventTable, bus: MessageBus, *, name: str, most: int = 2_000) -> int:
    """Tell a bus what the table holds and the bus was not told, in the table's order.

    The table is written in one transaction with what an event tells of; the bus may be away. So
    events go into the table first, and from there to the bus, by whoever comes next: none is
    lost, and one that was told when its teller crashed is told again, under the same id. One
    process at a time does it; another one finds nothing to do.

    :param name: of the bus, whose position the table keeps.
    :param most: events of one call, so that a bus which is new holds no task up.
    :returns: how many were told.
    :raises BusUnavailableError: the rest waits in the table.
    """
    source = TableBus(table)
    told = 0
    try:
        while told < most:
            found = source.receive(f"relay to {name}", limit=min(_AT_ONCE, most - told))
            if not found:
                break
            bus.publish([delivery.event for delivery in found])
            source.acknowledge(found)
            told += len(found)
    finally:
        source.close()
    return told


def bus_of(connection: Connection) -> MessageBus:
    """Make the bus of an Airflow connection; nothing is reached for yet.

    :raises SpecificationError: it is neither of type redis nor of type kafka, or says what a bus
        can't use.
    """
    if connection.kind == "redis":
        from airflow_etl_provider.bus.redis_streams import redis_bus

        return redis_bus(connection)
    if connection.kind == "kafka":
        from airflow_etl_provider.bus.kafka.bus import kafka_bus

        return kafka_bus(connection)
    raise SpecificationError(
        f"Connection {connection.name!r} is of type {connection.kind!r}; a message bus is of type "
        "redis or kafka."
    )
