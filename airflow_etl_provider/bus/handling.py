"""Handling what a bus delivers: in order, each event once, failures told and not lost."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from airflow_etl_provider.exceptions import LeaseTakenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_etl_provider.bus.base import Delivery, MessageBus
    from airflow_etl_provider.bus.event import Event

__all__ = ["HandledIds", "HandledInMemory", "handle_events"]

log = logging.getLogger(__name__)

_TOGETHER = 50
"""Events that are acknowledged together: a crash has as many handled again at most."""


class HandledIds(Protocol):
    """Remembers what a group has handled, so that an event that comes again is handled once."""

    def has(self, group: str, event_id: str) -> bool: ...
    def add(self, group: str, event_id: str) -> None: ...


class HandledInMemory:
    """Remembers the newest ones, within this process.

    :param most: how many.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._ids: OrderedDict[tuple[str, str], None] = OrderedDict()

    def has(self, group: str, event_id: str) -> bool:
        return (group, event_id) in self._ids

    def add(self, group: str, event_id: str) -> None:
        self._ids[group, event_id] = None
        while len(self._ids) > self._most:
            self._ids.popitem(last=False)


def handle_events(
    bus: MessageBus,
    group: str,
    handler: Callable[[Event], None],
    *,
    handled: HandledIds,
    limit: int = 100,
    wait: float = 0.0,
) -> int:
    """Receive once, and hand each event to the handler.

    A handler that raises `LeaseTakenError` gets the event again later, which is no attempt.

    An exception of the handler refuses its event, and leaves the later ones of its lane for the
    next time: order is kept. After too many attempts the event is put aside, and the lane goes on.

    :returns: how many were handled.
    """
    done = 0
    stopped: set[str] = set()
    finished: list[Delivery] = []
    for delivery in bus.receive(group, limit=limit, wait=wait):
        if delivery.lane in stopped:
            continue
        event = delivery.event
        if not handled.has(group, event.id):
            try:
                handler(event)
            except LeaseTakenError:
                # Somebody else is at it: later, and no fault of the event.
                bus.acknowledge(finished)
                finished.clear()
                delivery.put_back()
                stopped.add(delivery.lane)
                continue
            except Exception as error:  # noqa: BLE001 - a handler may fail in any way
                # Only its class: the message may hold what belongs into no log.
                bus.acknowledge(finished)
                finished.clear()
                reason = f"{type(error).__qualname__} in attempt {delivery.attempt}"
                dead = delivery.nack(reason)
                log.warning(
                    "Event %s (%s) was not handled by %s: %s%s",
                    event.id,
                    event.kind,
                    group,
                    reason,
                    "; it was put aside" if dead else "",
                )
                if not dead:
                    stopped.add(delivery.lane)
                continue
            handled.add(group, event.id)
            done += 1
        finished.append(delivery)
        if len(finished) >= _TOGETHER:
            bus.acknowledge(finished)
            finished.clear()
    bus.acknowledge(finished)
    return done
