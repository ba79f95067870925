"""The bus over the event table: between processes of a deployment that has no broker."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from airflow_etl_provider.bus.base import MAX_ATTEMPTS, DeadLetter, Guarantee

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from airflow_etl_provider.bus.event import Event

__all__ = ["EventTable", "TableBus"]

_POLL = 0.5
"""Seconds between two looks at the table."""


class EventTable(Protocol):
    """What the bus needs of the metadata store."""

    def append_events(self, events: Sequence[Event]) -> None: ...
    def read_events(self, *, after: int = 0, limit: int = 100) -> Sequence[tuple[int, Event]]: ...
    def event_position(self, group: str) -> int: ...
    def move_event_position(self, group: str, *, old: int, new: int) -> bool: ...
    def count_attempt(self, group: str, event_id: str, *, reason: str, dead: bool) -> int: ...
    def dead_events(self, group: str, *, limit: int = 100) -> Sequence[tuple[Event, str]]: ...
    def take_lease(self, name: str, *, holder: str, duration: timedelta) -> Any: ...
    def release_lease(self, lease: Any) -> None: ...


class TableBus:
    """Carries events by a table that all processes reach, one after the other in one order.

    A group is read by one reader at a time: who holds its lease. It is read in the order of the
    whole table, so that an event which fails holds up all later ones until it is put aside.

    :param hold: seconds that a reader may take for what it received; after that another one takes
        over, and it comes again.
    """

    guarantee = Guarantee(survives="crash", ordered_by="all")

    def __init__(
        self, table: EventTable, *, max_attempts: int = MAX_ATTEMPTS, hold: float = 60.0
    ) -> None:
        self._table = table
        self._max_attempts = max_attempts
        self._hold = timedelta(seconds=hold)
        self._holder = uuid.uuid4().hex
        self._leases: dict[str, Any] = {}

    def publish(self, events: Sequence[Event]) -> None:
        self._table.append_events(events)

    def receive(
        self, group: str, *, limit: int = 100, wait: float = 0.0
    ) -> Sequence[TableDelivery]:
        until = time.monotonic() + wait
        while True:
            found = self._take(group, limit)
            left = until - time.monotonic()
            if found or left <= 0:
                return found
            time.sleep(min(_POLL, left))

    def acknowledge(self, deliveries: Sequence[TableDelivery]) -> None:
        # All are of one order: whoever has handled the last has handled all before it.
        if deliveries:
            deliveries[-1].ack()

    def dead(self, group: str, *, limit: int = 100) -> Sequence[DeadLetter]:
        return [
            DeadLetter(id=event.id, reason=reason, event=event)
            for event, reason in self._table.dead_events(group, limit=limit)
        ]

    def requeue(self, group: str, letter_id: str) -> bool:
        """Tell the event anew, under an id of its own, which all groups hear."""
        from dataclasses import replace

        for event, _ in self._table.dead_events(group, limit=1000):
            if event.id == letter_id:
                again = replace(event, id=uuid.uuid5(uuid.NAMESPACE_OID, f"{letter_id} again").hex)
                self._table.append_events([again])
                return True
        return False

    def check(self) -> None:
        self._table.event_position("check")

    def close(self) -> None:
        for lease in self._leases.values():
            self._table.release_lease(lease)
        self._leases.clear()

    def _take(self, group: str, limit: int) -> list[TableDelivery]:
        lease = self._table.take_lease(
            f"events of {group}", holder=self._holder, duration=self._hold
        )
        if lease is None:
            self._leases.pop(group, None)
            return []
        self._leases[group] = lease
        position = self._table.event_position(group)
        batch = _Batch(position)
        return [
            TableDelivery(self, group, event, sequence, batch)
            for sequence, event in self._table.read_events(after=position, limit=limit)
        ]


@dataclass
class _Batch:
    """How far the reader is in what it received together."""

    position: int
    broken: bool = False


@dataclass(frozen=True, slots=True)
class TableDelivery:
    """An event in a reader's hands."""

    bus: TableBus
    group: str
    event: Event
    sequence: int
    batch: _Batch

    @property
    def attempt(self) -> int:
        """Counted by the table when it fails; here it is not known, and 1."""
        return 1

    @property
    def lane(self) -> str:
        return self.group

    def ack(self) -> None:
        self._move()

    def nack(self, reason: str) -> bool:
        if self.batch.broken:
            return False
        table, most = self.bus._table, self.bus._max_attempts  # noqa: SLF001 - a part of the bus
        attempts = table.count_attempt(self.group, self.event.id, reason=reason, dead=False)
        if attempts < most:
            self.batch.broken = True
            return False
        table.count_attempt(self.group, self.event.id, reason=reason, dead=True)
        self._move()
        return True

    def put_back(self) -> None:
        self.batch.broken = True

    def _move(self) -> None:
        """Go on, unless another reader has taken over, or an earlier one failed."""
        if self.batch.broken:
            return
        table = self.bus._table  # noqa: SLF001 - a part of the bus
        moved = table.move_event_position(self.group, old=self.batch.position, new=self.sequence)
        if moved:
            self.batch.position = self.sequence
        else:
            self.batch.broken = True
