"""Topics of Kafka, looked at: partitions, offsets and some messages, as a member of no group."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.contracts.kafka_connection import kafka_client_options
from airflow_etl_provider.exceptions import SourceError, SourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["TopicLook", "TopicReader"]

_PATIENCE = 30.0
"""Seconds for the messages of one topic; what came until then is looked at."""

_BOOTSTRAP_MS = 15_000


@dataclass(frozen=True, slots=True)
class TopicLook:
    """What stands in a topic now.

    :param offsets: by partition, the first offset and the one behind the last. Some of them may
        have no message: compaction and transactions leave gaps.
    :param messages: keys and values of the newest ones of each partition, in its order.
    """

    name: str
    offsets: dict[int, tuple[int, int]]
    messages: list[tuple[bytes | None, bytes | None]]

    @property
    def size(self) -> int:
        """Offsets in all: as many messages at most."""
        return sum(end - begin for begin, end in self.offsets.values())


class TopicReader:
    """Reads topics of one cluster. No offset is committed, and no group sees it.

    :raises SpecificationError: the connection is no Kafka connection, or asks for what the client
        can't do.
    :raises SourceError: the cluster can't be reached.
    """

    def __init__(self, connection: Connection) -> None:
        from kafka import KafkaConsumer

        self._named = connection.name
        with self._errors():
            self._consumer = KafkaConsumer(
                **{"bootstrap_timeout_ms": _BOOTSTRAP_MS, **kafka_client_options(connection)},
                group_id=None,
                enable_auto_commit=False,
                isolation_level="read_committed",
            )

    def topics(self) -> list[str]:
        """Name the topics that whoever logs in may see, sorted, without Kafka's own."""
        with self._errors():
            return sorted(name for name in self._consumer.topics() if not name.startswith("__"))

    def look(self, topic: str, *, most: int) -> TopicLook:
        """Read the newest messages, about so many, the same share of each partition.

        :raises SourceNotFoundError: there is no such topic.
        """
        from kafka import TopicPartition

        with self._errors():
            partitions = self._consumer.partitions_for_topic(topic)
            if not partitions:
                raise SourceNotFoundError(
                    f"There is no topic {topic!r} at connection {self._named!r}.",
                    hint="Check its name, and that the login may describe it.",
                )
            at = [TopicPartition(topic, number) for number in sorted(partitions)]
            first = self._consumer.beginning_offsets(at)
            last = self._consumer.end_offsets(at)
            offsets = {one.partition: (first[one], last[one]) for one in at}
            share = -(-most // len(at))
            wanted = [one for one in at if last[one] > first[one]]
            self._consumer.assign(wanted)
            for one in wanted:
                self._consumer.seek(one, max(first[one], last[one] - share))
            messages = self._read(wanted, last) if wanted else []
        return TopicLook(topic, offsets, messages)

    def _read(self, wanted: list[Any], last: dict[Any, int]) -> list[Any]:
        """Read each partition up to where it ended; by position, since offsets have gaps."""
        found: dict[Any, list[tuple[bytes | None, bytes | None]]] = {one: [] for one in wanted}
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            missing = [one for one in wanted if self._consumer.position(one) < last[one]]
            if not missing:
                break
            for one, records in self._consumer.poll(timeout_ms=500).items():
                found[one] += [(r.key, r.value) for r in records if r.offset < last[one]]
        return [message for one in wanted for message in found[one]]

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from kafka.errors import AuthorizationError, KafkaError, SaslAuthenticationFailedError

        try:
            yield
        except (AuthorizationError, SaslAuthenticationFailedError) as error:
            raise SourceError(
                f"Kafka refused connection {self._named!r} ({type(error).__name__}).",
                hint="Its login needs to describe and read the topics.",
            ) from error
        except KafkaError as error:
            raise SourceError(
                f"Kafka at connection {self._named!r} can't be reached or can't serve "
                f"({type(error).__name__}).",
                hint="Check the brokers in `bootstrap.servers` of its extra.",
            ) from error
