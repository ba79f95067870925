"""What the bus does at a cluster beside telling and reading as a group: topics, and looking."""

from __future__ import annotations

import re
import threading
import time
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.exceptions import BusUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Cluster", "topic_of", "unavailable"]

_BOOTSTRAP_MS = 15_000
_PATIENCE = 60.0
"""Seconds for reading what stands there."""

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,150}")


@contextmanager
def unavailable() -> Iterator[None]:
    """Tell what the client raises in the bus' words."""
    from kafka.errors import AuthorizationError, KafkaError, SaslAuthenticationFailedError

    try:
        yield
    except (AuthorizationError, SaslAuthenticationFailedError) as error:
        raise BusUnavailableError(
            f"Kafka refused ({type(error).__name__}).",
            hint="The login of the connection needs to read and write the topics, to create them "
            "where they are not there, and to read as the group.",
        ) from error
    except KafkaError as error:
        raise BusUnavailableError(
            f"Kafka can't be reached or can't serve ({type(error).__name__}).",
            hint="Events that were told are kept by it; tell the others again.",
        ) from error


def topic_of(prefix: str, *parts: str) -> str:
    """Name a topic; what Kafka allows in no name is told apart by a checksum."""
    named = [prefix]
    for part in parts:
        if _NAME.fullmatch(part):
            named.append(part)
        else:
            short = re.sub(r"[^a-zA-Z0-9_-]", "_", part)[:100]
            named.append(f"{short}-{zlib.crc32(part.encode('utf-8', 'surrogatepass')):08x}")
    return ".".join(named)


class Cluster:
    """Makes topics, and reads what stands in them without being a member of any group.

    :param options: of kafka-python's clients, as `kafka_client_options` gives them.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = {"bootstrap_timeout_ms": _BOOTSTRAP_MS, **options}
        self._known: set[str] = set()
        self._browser: Any = None
        self._lock = threading.Lock()

    def ensure_topic(self, name: str, *, partitions: int, compacted: bool = False) -> None:
        """Make a topic that is not there. One that is there is used as it is."""
        from kafka import KafkaAdminClient
        from kafka.errors import TopicAlreadyExistsError

        if name in self._known:
            return
        with unavailable():
            admin = KafkaAdminClient(**self.options)
            try:
                if name not in admin.list_topics():
                    made: dict[str, Any] = {"num_partitions": partitions}
                    if compacted:
                        made["configs"] = {"cleanup.policy": "compact"}
                    admin.create_topics({name: made}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                # Another one was faster, which is as good.
                pass
            finally:
                admin.close()
        self._known.add(name)

    def has_topic(self, name: str) -> bool:
        """Say whether a topic is there, for who logs in."""
        return name in self._known or name in self.topics()

    def topics(self) -> set[str]:
        """Name the topics that whoever logs in may see."""
        from kafka import KafkaAdminClient

        with unavailable():
            admin = KafkaAdminClient(**self.options)
            try:
                return set(admin.list_topics())
            finally:
                admin.close()

    def read(self, topic: str, partition: int, *, begin: int | None, end: int | None) -> list[Any]:
        """Read from an offset (None: the first) up to before another (None: behind the last)."""
        from kafka import KafkaConsumer, TopicPartition

        at = TopicPartition(topic, partition)
        with self._lock, unavailable():
            if self._browser is None:
                self._browser = KafkaConsumer(
                    **self.options, group_id=None, enable_auto_commit=False
                )
            browser = self._browser
            browser.assign([at])
            first = browser.beginning_offsets([at])[at]
            last = browser.end_offsets([at])[at]
            begin = first if begin is None else max(first, begin)
            end = last if end is None else min(last, end)
            if begin >= end:
                return []
            browser.seek(at, begin)
            found: list[Any] = []
            until = time.monotonic() + _PATIENCE
            # By position: markers and compaction leave offsets without a record.
            while browser.position(at) < end:
                found += browser.poll(timeout_ms=1000).get(at, [])
                if time.monotonic() > until:
                    raise BusUnavailableError(
                        f"The topic {topic!r} could not be read within {_PATIENCE:.0f} s.",
                        hint="Is a broker away?",
                    )
            return [record for record in found if record.offset < end]

    def close(self) -> None:
        """Close the connections."""
        if self._browser is not None:
            self._browser.close()
            self._browser = None
