"""The bus over Apache Kafka: a topic whose partitions keep the order of keys, read by groups."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.bus.base import MAX_ATTEMPTS, DeadLetter, Guarantee
from airflow_etl_provider.bus.event import decode_event, encode_event
from airflow_etl_provider.bus.kafka.cluster import Cluster, topic_of, unavailable
from airflow_etl_provider.bus.kafka.reader import ONLY, GroupReader, KafkaDelivery
from airflow_etl_provider.contracts.kafka_connection import kafka_client_options
from airflow_etl_provider.exceptions import EventError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_etl_provider.bus.event import Event
    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["PARTITIONS", "KafkaBus", "kafka_bus"]

PARTITIONS = 8
"""Of a topic that is made here. More of them later break the order of what waits."""

_TELL_MS = 30_000
"""Until an event that the cluster does not take is told to whoever publishes it."""


class KafkaBus:
    """Carries events by a topic; may be used from any thread, one at a time per group.

    Events are kept as long as the topic's retention says, whether a group has read them or not. An
    event that is told again is passed over where the first one is among the newest 2,000 of its
    partition. The first `receive` joins the group, which takes a second or more.

    What is put aside for a group stands in a topic of its own, compacted, under the place that it
    came from; what is given back is told again, to that group alone.

    :param options: of kafka-python's clients, as `kafka_client_options` gives them.
    :param prefix: the topic's name, and how those of letters and the groups' begin.
    :param hold: seconds that a reader may take for what it received, 10 at least; after that
        another one takes over, and it comes again.
    """

    guarantee = Guarantee(survives="crash", ordered_by="key")

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        prefix: str = "etl.events",
        max_attempts: int = MAX_ATTEMPTS,
        hold: float = 60.0,
    ) -> None:
        self._cluster = Cluster(options)
        self._topic = topic_of(prefix)
        self._prefix = prefix
        self._max_attempts = max_attempts
        self._hold = hold
        self._lock = threading.RLock()
        self._producer: Any = None
        self._readers: dict[str, GroupReader] = {}

    def publish(self, events: Sequence[Event]) -> None:
        # All are checked before the first is told.
        told = [(event.key, encode_event(event)) for event in events]
        if told:
            self._cluster.ensure_topic(self._topic, partitions=PARTITIONS)
            self._tell(self._topic, [(key.encode(), value, []) for key, value in told])

    def receive(
        self, group: str, *, limit: int = 100, wait: float = 0.0
    ) -> Sequence[KafkaDelivery]:
        found = self._reader(group).take(limit, wait)
        for delivery in found:
            delivery.most = self._max_attempts
        return found

    def acknowledge(self, deliveries: Sequence[KafkaDelivery]) -> None:
        by_reader: dict[str, list[KafkaDelivery]] = {}
        for delivery in deliveries:
            by_reader.setdefault(delivery.reader.group, []).append(delivery)
        for ours in by_reader.values():
            ours[0].reader.finish(ours)

    def dead(self, group: str, *, limit: int = 100) -> Sequence[DeadLetter]:
        letters = self._letters(group).items()
        return [
            DeadLetter(
                id=name,
                reason=_header(record, "reason") or "",
                event=_event_or_none(record.value),
            )
            for name, record in list(letters)[:limit]
        ]

    def requeue(self, group: str, letter_id: str) -> bool:
        record = self._letters(group).get(letter_id)
        if record is None:
            return False
        key = (_header(record, "key") or "").encode()
        # In this order: a crash in between tells it twice, and loses nothing.
        self._tell(self._topic, [(key, record.value, [(ONLY, group.encode())])])
        self._tell(self._dead(group), [(letter_id.encode(), None, [])])
        return True

    def check(self) -> None:
        self._cluster.topics()

    def close(self) -> None:
        with self._lock:
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()
            if self._producer is not None:
                self._producer.close(timeout=_TELL_MS / 1000)
                self._producer = None
            self._cluster.close()

    def _reader(self, group: str) -> GroupReader:
        with self._lock:
            if group not in self._readers:
                self._cluster.ensure_topic(self._topic, partitions=PARTITIONS)
                self._readers[group] = GroupReader(
                    self._cluster,
                    topic=self._topic,
                    group=group,
                    group_id=topic_of(self._prefix, group),
                    hold=self._hold,
                    put_aside=lambda record, reason: self._put_aside(group, record, reason),
                )
            return self._readers[group]

    def _put_aside(self, group: str, record: Any, reason: str) -> None:
        """Keep a record and why; again under the same key, so that a crash makes no second one."""
        topic = self._dead(group)
        self._cluster.ensure_topic(topic, partitions=1, compacted=True)
        place = json.dumps({"partition": record.partition, "offset": record.offset})
        headers = [("reason", reason.encode("utf-8", "replace")), ("key", record.key or b"")]
        # A value of nothing would say that it was given back.
        self._tell(topic, [(place.encode(), record.value or b"\x00", headers)])

    def _letters(self, group: str) -> dict[str, Any]:
        """Read what was put aside and not given back, oldest first."""
        topic = self._dead(group)
        if not self._cluster.has_topic(topic):
            return {}
        found: OrderedDict[str, Any] = OrderedDict()
        for record in self._cluster.read(topic, 0, begin=None, end=None):
            name = (record.key or b"").decode("utf-8", "replace")
            if record.value is None:
                found.pop(name, None)
            else:
                found[name] = record
        return found

    def _tell(self, topic: str, records: Sequence[tuple[bytes, bytes | None, Any]]) -> None:
        """Write records; returns when all replicas that are in step have them."""
        with unavailable():
            producer = self._get_producer()
            try:
                futures = [
                    producer.send(topic, key=key, value=value, headers=headers)
                    for key, value, headers in records
                ]
                producer.flush(timeout=_TELL_MS / 1000)
                for future in futures:
                    future.get(timeout=_TELL_MS / 1000)
            except BaseException:
                # One that gave up may refuse all that comes after; what it still holds is dropped.
                self._drop_producer()
                raise

    def _drop_producer(self) -> None:
        with self._lock:
            if self._producer is not None:
                self._producer.close(timeout=0)
                self._producer = None

    def _get_producer(self) -> Any:
        from kafka import KafkaProducer

        with self._lock:
            if self._producer is None:
                self._producer = KafkaProducer(
                    **self._cluster.options,
                    acks="all",
                    # The client's own tries write nothing twice, and change no order.
                    enable_idempotence=True,
                    linger_ms=5,
                    delivery_timeout_ms=_TELL_MS,
                    request_timeout_ms=_TELL_MS // 3,
                    max_block_ms=_TELL_MS,
                )
            return self._producer

    def _dead(self, group: str) -> str:
        return topic_of(self._prefix, "dead", group)


def kafka_bus(connection: Connection, **options: Any) -> KafkaBus:
    """Make a bus of an Airflow connection of type kafka.

    :raises SpecificationError: the connection says what a bus can't use.
    """
    return KafkaBus(kafka_client_options(connection), **options)


def _header(record: Any, name: str) -> str | None:
    for found, value in record.headers or ():
        if found == name and value is not None:
            return str(value.decode("utf-8", "replace"))
    return None


def _event_or_none(data: bytes) -> Event | None:
    try:
        return decode_event(data)
    except EventError:
        return None
