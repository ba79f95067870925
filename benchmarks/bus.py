r"""Events per second through each message bus, from the publisher to the acknowledgement.

    python benchmarks/bus.py [--events 20000]

One publisher tells events of 1,000 keys in lots of 100; one reader of a group then handles them in
lots of 200. Redis writes every command to disk before it answers; Kafka is one broker.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import Cluster

from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.bus.kafka.bus import KafkaBus
from airflow_etl_provider.bus.memory import MemoryBus
from airflow_etl_provider.bus.redis_streams import RedisBus
from airflow_etl_provider.bus.table import TableBus
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.sql import SqlStore

if TYPE_CHECKING:
    from airflow_etl_provider.bus.base import MessageBus
    from airflow_etl_provider.bus.event import Event


def main() -> None:
    """Run each bus once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=20_000)
    count = parser.parse_args().events
    now = datetime.now(timezone.utc)
    events = [
        new_event(
            "load_failed",
            key=f"pipeline {number % 1000}",
            at=now,
            facts={"run_id": f"{number:032}", "code": "target_unavailable"},
        )
        for number in range(count)
    ]
    print(f"{'bus':<20}{'told/s':>10}{'handled/s':>12}{'both/s':>10}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        report("memory", MemoryBus(), events)
        report("table, SQLite", table(f"sqlite:///{folder}/events.db"), events)
        cluster = stack.enter_context(Cluster())
        report("table, PostgreSQL", table(cluster.dsn), events)
        report("Redis Streams", redis_bus(folder, stack), events)
        kafka_folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        report("Kafka", kafka_bus(kafka_folder, stack), events)


def report(name: str, bus: MessageBus, events: list[Event]) -> None:
    """Publish all, handle all, print a line."""
    started = time.perf_counter()
    for start in range(0, len(events), 100):
        bus.publish(events[start : start + 100])
    told = time.perf_counter()
    handled = 0
    while found := bus.receive("bench", limit=200):
        bus.acknowledge(found)
        handled += len(found)
    ended = time.perf_counter()
    bus.close()
    if handled != len(events):
        raise SystemExit(f"{name}: {handled} of {len(events)} events came through")
    print(
        f"{name:<20}{handled / (told - started):>10,.0f}{handled / (ended - told):>12,.0f}"
        f"{handled / (ended - started):>10,.0f}",
        flush=True,
    )


def table(url: str) -> TableBus:
    """The bus over the event table of a fresh database."""
    store = SqlStore(url)
    migrate(store.engine)
    return TableBus(store)


def redis_bus(folder: Path, stack: ExitStack) -> RedisBus:
    """A Redis of its own."""
    import redis

    if shutil.which("redis-server") is None:
        raise SystemExit("No Redis here: install the package redis-server.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            *("redis-server", "--port", str(port), "--dir", str(folder)),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
        ],
        stdout=subprocess.DEVNULL,
    )
    stack.callback(server.wait)
    stack.callback(server.kill)
    client = redis.Redis(port=port)
    for _ in range(100):
        try:
            client.ping()
            break
        except redis.RedisError:
            time.sleep(0.1)
    return RedisBus(client)


def kafka_bus(folder: Path, stack: ExitStack) -> KafkaBus:
    """A broker of its own."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.kafka_server import KafkaServer

    if not KafkaServer.is_there():
        raise SystemExit("No Kafka here: scripts/get_kafka.sh fetches it.")
    server = KafkaServer(folder)
    server.start()
    stack.callback(server.kill)
    return KafkaBus(server.options)


if __name__ == "__main__":
    main()
