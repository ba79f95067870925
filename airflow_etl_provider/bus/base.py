"""What every message bus can do, and what it promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.bus.event import Event

__all__ = ["MAX_ATTEMPTS", "DeadLetter", "Delivery", "Guarantee", "MessageBus"]

MAX_ATTEMPTS = 5
"""Attempts to handle an event before it is put aside."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """What a bus promises; the conformance suite holds it to that.

    :param survives: until when an event that was published is kept: the end of the `process`, or
        crashes of all who use the bus, and of the bus itself (`crash`).
    :param ordered_by: events of one key, or all events, reach a group in the order in which one
        publisher published them.
    """

    survives: Literal["process", "crash"]
    ordered_by: Literal["key", "all"] = "key"


class Delivery(Protocol):
    """An event that a group has to handle; one of `ack`, `nack` and `put_back` ends it.

    :param attempt: from 1.
    :param lane: deliveries of one lane are in order: after a `nack` or a `put_back`, the later ones
        of its lane come again, after the one that was not handled.
    """

    @property
    def event(self) -> Event: ...
    @property
    def attempt(self) -> int: ...
    @property
    def lane(self) -> str: ...

    def ack(self) -> None:
        """Say that it was handled."""

    def nack(self, reason: str) -> bool:
        """Say that it could not be handled: it comes again, or is put aside after too many times.

        :returns: whether it was put aside.
        """

    def put_back(self) -> None:
        """Say that it can't be handled just now: it comes again, and no attempt is counted."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was put aside.

    :param event: None for a message that is no event.
    :param id: names it for `requeue`.
    """

    id: str
    reason: str
    event: Event | None


class MessageBus(Protocol):
    """Carries events to groups of readers: each group gets each event, one reader of it at a time.

    An event can come again after a crash, or when a reader was too slow: handlers look at its id.
    """

    @property
    def guarantee(self) -> Guarantee: ...

    def publish(self, events: Sequence[Event]) -> None:
        """Tell events; returns when they are kept as the guarantee says.

        The same event again (by its id) is told once.

        :raises BusUnavailableError: the bus can't be reached; some of them may have been told.
        """

    def receive(self, group: str, *, limit: int = 100, wait: float = 0.0) -> Sequence[Delivery]:
        """Give what a group has to handle next, per lane in order.

        A new group begins with what is kept. What was received and neither acknowledged nor refused
        comes again to whoever receives next, once this reader is gone or too slow.

        :param wait: seconds to wait for the first one.
        """

    def acknowledge(self, deliveries: Sequence[Any]) -> None:
        """Acknowledge several that were received together, in one go; in order."""

    def dead(self, group: str, *, limit: int = 100) -> Sequence[DeadLetter]:
        """List what was put aside for a group, oldest first."""

    def requeue(self, group: str, letter_id: str) -> bool:
        """Give one that was put aside back to its group, after all that waits; False if unknown."""

    def check(self) -> None:
        """Reach for the bus, and change nothing.

        :raises BusUnavailableError: it can't be reached, or refuses us.
        """

    def close(self) -> None:
        """Give up what was received, and all connections."""
