"""The bus within one process: for tests, commands and deployments of one piece."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_etl_provider.bus.base import MAX_ATTEMPTS, DeadLetter, Guarantee
from airflow_etl_provider.bus.event import encode_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.bus.event import Event

__all__ = ["MemoryBus"]

_KEPT = 100_000
"""Events that are kept for groups that come later."""


@dataclass
class _Group:
    """How far a group is: what waits, what is out, and what was put aside."""

    waiting: OrderedDict[str, Event] = field(default_factory=OrderedDict)
    out: dict[str, object] = field(default_factory=dict)
    busy_keys: dict[str, object] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    dead: OrderedDict[str, tuple[Event, str]] = field(default_factory=OrderedDict)


class MemoryBus:
    """Carries events between threads; what is not handled when the process ends is gone.

    :param max_attempts: before an event is put aside.
    """

    guarantee = Guarantee(survives="process", ordered_by="key")

    def __init__(self, *, max_attempts: int = MAX_ATTEMPTS) -> None:
        self._max_attempts = max_attempts
        self._changed = threading.Condition()
        self._told: OrderedDict[str, Event] = OrderedDict()
        self._groups: dict[str, _Group] = {}

    def publish(self, events: Sequence[Event]) -> None:
        for event in events:
            # What another bus would refuse is refused here too.
            encode_event(event)
        with self._changed:
            for event in events:
                if event.id in self._told:
                    continue
                self._told[event.id] = event
                for group in self._groups.values():
                    group.waiting[event.id] = event
                while len(self._told) > _KEPT:
                    self._told.popitem(last=False)
            self._changed.notify_all()

    def receive(
        self, group: str, *, limit: int = 100, wait: float = 0.0
    ) -> Sequence[MemoryDelivery]:
        until = time.monotonic() + wait
        with self._changed:
            while True:
                found = self._take(self._group(group), limit)
                left = until - time.monotonic()
                if found or left <= 0:
                    return found
                self._changed.wait(left)

    def acknowledge(self, deliveries: Sequence[MemoryDelivery]) -> None:
        for delivery in deliveries:
            delivery.ack()

    def dead(self, group: str, *, limit: int = 100) -> Sequence[DeadLetter]:
        with self._changed:
            letters = list(self._group(group).dead.items())[:limit]
        return [
            DeadLetter(id=name, reason=reason, event=event) for name, (event, reason) in letters
        ]

    def requeue(self, group: str, letter_id: str) -> bool:
        with self._changed:
            ours = self._group(group)
            if letter_id not in ours.dead:
                return False
            event, _ = ours.dead.pop(letter_id)
            ours.attempts.pop(event.id, None)
            ours.waiting[event.id] = event
            self._changed.notify_all()
            return True

    def check(self) -> None:
        return

    def close(self) -> None:
        with self._changed:
            for group in self._groups.values():
                group.out.clear()
                group.busy_keys.clear()

    def _group(self, name: str) -> _Group:
        if name not in self._groups:
            self._groups[name] = _Group(waiting=OrderedDict(self._told))
        return self._groups[name]

    def _take(self, group: _Group, limit: int) -> list[MemoryDelivery]:
        """Take what waits, of keys that no other reader is at."""
        batch = object()
        found: list[MemoryDelivery] = []
        for event in group.waiting.values():
            if len(found) >= limit:
                break
            if event.id in group.out or group.busy_keys.get(event.key, batch) is not batch:
                continue
            group.busy_keys[event.key] = batch
            group.out[event.id] = batch
            attempt = group.attempts.get(event.id, 0) + 1
            found.append(MemoryDelivery(self, group, event, attempt, batch))
        return found

    def _end(
        self, delivery: MemoryDelivery, *, handled: bool, reason: str = "", counts: bool = True
    ) -> bool:
        with self._changed:
            group, event = delivery.of, delivery.event
            if group.out.get(event.id) is not delivery.batch:
                return False
            del group.out[event.id]
            dead = False
            if handled:
                group.waiting.pop(event.id, None)
                group.attempts.pop(event.id, None)
            else:
                if counts:
                    group.attempts[event.id] = delivery.attempt
                dead = counts and delivery.attempt >= self._max_attempts
                if dead:
                    group.waiting.pop(event.id, None)
                    group.dead[event.id] = (event, reason)
                else:
                    # The later ones of the key wait until this one is done.
                    for other in [o for o in group.out if group.waiting[o].key == event.key]:
                        del group.out[other]
            if not any(group.waiting[o].key == event.key for o in group.out):
                group.busy_keys.pop(event.key, None)
            self._changed.notify_all()
            return dead


@dataclass(frozen=True, slots=True)
class MemoryDelivery:
    """An event in a reader's hands."""

    bus: MemoryBus
    of: _Group
    event: Event
    attempt: int
    batch: object

    @property
    def lane(self) -> str:
        return self.event.key

    def ack(self) -> None:
        self.bus._end(self, handled=True)  # noqa: SLF001 - a part of the bus

    def nack(self, reason: str) -> bool:
        return self.bus._end(self, handled=False, reason=reason)  # noqa: SLF001 - a part of the bus

    def put_back(self) -> None:
        self.bus._end(self, handled=False, counts=False)  # noqa: SLF001 - a part of the bus
