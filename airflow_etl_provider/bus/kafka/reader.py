"""One reader of a group: which partitions it has, what it holds, and how far it is."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.bus.event import decode_event
from airflow_etl_provider.bus.kafka.cluster import unavailable
from airflow_etl_provider.exceptions import BusUnavailableError, EventError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_etl_provider.bus.event import Event
    from airflow_etl_provider.bus.kafka.cluster import Cluster

__all__ = ["ONLY", "GroupReader", "KafkaDelivery"]

ONLY = "only"
"""Header of a record that is for one group alone: what was put aside and given back."""

_LOOK_BACK = 2_000
"""Offsets before its position that a reader looks through for events that are told twice."""

_REMEMBERED = 10_000
"""Ids of a partition that a reader knows."""

_POLL_MS = 100

_PATIENCE = 30.0
"""Seconds until a broker that is away is told. Joining a group may take as long as its members may
take for what they received."""

_SESSION_MS = 10_000
"""After which a reader that was killed counts as gone. Brokers allow no less than 6 seconds."""


@dataclass(eq=False)
class Lane:
    """A partition in this reader's hands, from one assignment to the next.

    :param position: the first offset that is not handled; committed.
    :param attempts: that failed, at the position.
    :param turn: counts refusals: what was received before one comes again.
    :param received: the offset behind what was received.
    """

    position: int
    attempts: int
    turn: int = 0
    received: int = 0
    seen: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def is_twice(self, event_id: str, offset: int) -> bool:
        """Say whether the event was told before; remember it."""
        first = self.seen.setdefault(event_id, offset)
        while len(self.seen) > _REMEMBERED:
            self.seen.popitem(last=False)
        return first < offset


class GroupReader:
    """A member of a consumer group; its methods may be called from any thread.

    :param hold: seconds that it may take for what it received.
    :param put_aside: takes a record and a reason, and returns when both are kept.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        topic: str,
        group: str,
        group_id: str,
        hold: float,
        put_aside: Callable[[Any, str], None],
    ) -> None:
        from kafka import KafkaConsumer

        self.group = group
        self._cluster = cluster
        self._topic = topic
        self._patience = _PATIENCE + hold
        self._put_aside = put_aside
        self._lock = threading.RLock()
        self._lanes: dict[Any, Lane] = {}
        session = _SESSION_MS
        with unavailable():
            self._consumer = KafkaConsumer(
                **cluster.options,
                group_id=group_id,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=session,
                heartbeat_interval_ms=session // 4,
                max_poll_interval_ms=max(int(hold * 1000), session),
                fetch_max_wait_ms=_POLL_MS,
                # A topic that was just made is found soon.
                metadata_max_age_ms=30_000,
            )
            # Whoever joins knowing of no partition is given none, and believes that all is well.
            self._consumer.partitions_for_topic(topic)
            self._consumer.subscribe([topic], listener=_listener(self))

    def take(self, limit: int, wait: float) -> list[KafkaDelivery]:
        """Receive; empty only when nothing is there for this reader."""
        began = time.monotonic()
        with self._lock, unavailable():
            self._go_back()
            while True:
                polled = self._consumer.poll(timeout_ms=_POLL_MS, max_records=limit)
                found = [d for at, records in polled.items() for d in self._receive(at, records)]
                if found:
                    return found
                waited = time.monotonic() - began
                if waited >= wait and not polled and self._is_at_the_end():
                    return []
                if waited > max(wait, 0) + self._patience:
                    raise BusUnavailableError(
                        f"The group {self.group!r} could not be read in {self._patience:.0f} s.",
                        hint="Is a broker away, or do readers come and go all the time?",
                    )

    def finish(self, deliveries: Sequence[KafkaDelivery]) -> None:
        """Commit what was handled; what another reader has taken over is left to it."""
        with self._lock:
            moved: dict[Any, Lane] = {}
            for delivery in deliveries:
                if self._holds(delivery):
                    delivery.of.position, delivery.of.attempts = delivery.after, 0
                    moved[delivery.at] = delivery.of
            self._commit(moved)

    def refuse(self, delivery: KafkaDelivery, reason: str, *, most: int) -> bool:
        """Count an attempt; after too many, put the event aside and go on."""
        with self._lock:
            if not self._holds(delivery):
                return False
            lane = delivery.of
            dead = delivery.attempt >= most
            if dead:
                self._put_aside(delivery.record, reason)
                lane.position, lane.attempts = delivery.after, 0
            else:
                lane.position, lane.attempts = delivery.record.offset, delivery.attempt
                lane.turn += 1
            self._commit({delivery.at: lane})
            return dead

    def put_back(self, delivery: KafkaDelivery) -> None:
        """Have it, and what came after it, come again."""
        with self._lock:
            if self._holds(delivery):
                delivery.of.turn += 1

    def close(self) -> None:
        """Leave the group, so that another reader goes on at once."""
        with self._lock:
            self._lanes.clear()
            self._consumer.close(autocommit=False)

    def forget(self, partitions: Sequence[Any]) -> None:
        """Hold these no more: they went to another reader."""
        for at in partitions:
            self._lanes.pop(at, None)

    def _holds(self, delivery: KafkaDelivery) -> bool:
        lane = delivery.of
        return (
            self._lanes.get(delivery.at) is lane
            and delivery.turn == lane.turn
            and delivery.record.offset >= lane.position
        )

    def _go_back(self) -> None:
        """Give what was received and not handled again."""
        for at, lane in self._lanes.items():
            if lane.received > lane.position:
                self._consumer.seek(at, lane.position)
                lane.received = lane.position

    def _lane(self, at: Any, first: int) -> Lane:
        """Take a partition over: how far the group is, what failed there, and what was told."""
        if at in self._lanes:
            return self._lanes[at]
        committed = self._consumer.committed(at, metadata=True)
        lane = Lane(first, 0)
        if committed is not None and committed.offset >= 0:
            lane = Lane(committed.offset, _attempts(committed.metadata))
        begin = max(0, lane.position - _LOOK_BACK)
        for record in self._cluster.read(self._topic, at.partition, begin=begin, end=lane.position):
            event = _event_of(record)
            if isinstance(event, EventError) or _only(record) is not None:
                continue
            lane.is_twice(event.id, record.offset)
        self._lanes[at] = lane
        return lane

    def _receive(self, at: Any, records: Sequence[Any]) -> list[KafkaDelivery]:
        """Make deliveries; what is no event is put aside at once, and holds nobody up."""
        lane = self._lane(at, records[0].offset)
        found: list[KafkaDelivery] = []
        for record in records:
            event = self._event_for_us(lane, record)
            if event is not None:
                attempt = 1 if found else lane.attempts + 1
                found.append(KafkaDelivery(self, at, lane, lane.turn, record, event, attempt))
            elif found:
                found[-1].after = record.offset + 1
            else:
                lane.position, lane.attempts = record.offset + 1, 0
        lane.received = records[-1].offset + 1
        if not found:
            self._commit({at: lane})
        return found

    def _event_for_us(self, lane: Lane, record: Any) -> Event | None:
        only = _only(record)
        if only not in (None, self.group):
            return None
        event = _event_of(record)
        if isinstance(event, EventError):
            self._put_aside(record, event.message)
            return None
        # What was given back has been told before, by right.
        twice = only is None and lane.is_twice(event.id, record.offset)
        return None if twice else event

    def _is_at_the_end(self) -> bool:
        """Say whether the group is joined and nothing waits in the partitions that are ours."""
        from kafka.structs import MemberState

        if self._consumer.group_metadata().state != MemberState.STABLE:
            return False
        ours = list(self._consumer.assignment())
        ends = self._consumer.end_offsets(ours) if ours else {}
        positions = {at: self._consumer.position(at) for at in ours}
        return all(positions[at] is not None and positions[at] >= ends[at] for at in ours)

    def _commit(self, lanes: dict[Any, Lane]) -> None:
        from kafka.errors import (
            CommitFailedError,
            IllegalGenerationError,
            RebalanceInProgressError,
            UnknownMemberIdError,
        )
        from kafka.structs import OffsetAndMetadata

        if not lanes:
            return
        offsets = {
            at: OffsetAndMetadata(lane.position, json.dumps({"attempts": lane.attempts}), -1)
            for at, lane in lanes.items()
        }
        with unavailable():
            try:
                self._consumer.commit(offsets)
            except (
                CommitFailedError,
                IllegalGenerationError,
                RebalanceInProgressError,
                UnknownMemberIdError,
            ):
                # Taken for gone: who took over begins at what was committed last.
                self.forget(list(lanes))


@dataclass(eq=False, slots=True)
class KafkaDelivery:
    """An event in a reader's hands.

    :param after: the offset to go on at; later than the next one where that is for nobody here.
    """

    reader: GroupReader
    at: Any
    of: Lane
    turn: int
    record: Any
    event: Event
    attempt: int
    after: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.after = self.record.offset + 1

    @property
    def lane(self) -> str:
        return str(self.at.partition)

    def ack(self) -> None:
        self.reader.finish([self])

    def nack(self, reason: str) -> bool:
        return self.reader.refuse(self, reason, most=self.most)

    def put_back(self) -> None:
        self.reader.put_back(self)


def _listener(reader: GroupReader) -> Any:
    from kafka import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_revoked(self, revoked: Any) -> None:
            reader.forget(list(revoked))

        def on_partitions_assigned(self, assigned: Any) -> None:
            # Looked at when something comes from them.
            return

    return Listener()


def _only(record: Any) -> str | None:
    for name, value in record.headers or ():
        if name == ONLY and value is not None:
            return str(value.decode("utf-8", "replace"))
    return None


def _event_of(record: Any) -> Event | EventError:
    try:
        return decode_event(record.value or b"")
    except EventError as error:
        return error


def _attempts(metadata: str | None) -> int:
    try:
        found = json.loads(metadata or "{}").get("attempts", 0)
    except (ValueError, AttributeError):
        # Committed by another program.
        return 0
    return found if isinstance(found, int) else 0
