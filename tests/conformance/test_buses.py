"""Every message bus keeps what it promises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from datetime import datetime, timezone

import pytest

from airflow_etl_provider.bus.event import MAX_BYTES, new_event
from airflow_etl_provider.bus.handling import HandledInMemory, handle_events
from airflow_etl_provider.bus.kafka.bus import KafkaBus
from airflow_etl_provider.bus.memory import MemoryBus
from airflow_etl_provider.bus.redis_streams import RedisBus
from airflow_etl_provider.bus.table import TableBus
from airflow_etl_provider.exceptions import EventError, LeaseTakenError
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.sql import SqlStore

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)


def event(number, key="orders", **values):
    return new_event(
        "load_failed",
        key=key,
        at=NOW,
        pipeline=key,
        facts={"run_id": str(number), "code": "x"} | values,
        same=str(number),
    )


class Kind:
    """A kind of bus: several may be opened on what it keeps."""

    def __init__(self, name, make, address=""):
        self.name, self._make, self.address = name, make, address
        self.opened = []

    def open(self, **options):
        bus = self._make(**options)
        self.opened.append(bus)
        return bus


@pytest.fixture(
    params=[
        "memory",
        "table-sqlite",
        pytest.param("table-postgresql", marks=pytest.mark.postgres),
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ]
)
def kind(request, tmp_path):
    name = request.param
    if name == "memory":
        shared = {}

        def make(**options):
            options.pop("hold", None)
            return shared.setdefault("bus", MemoryBus(**options))

        made = Kind(name, make)
    elif name == "redis":
        server = request.getfixturevalue("redis_server")
        prefix = uuid.uuid4().hex
        made = Kind(
            name,
            lambda **options: RedisBus(server.client(), prefix=prefix, **options),
            f"redis {server.port} {prefix}",
        )
    elif name == "kafka":
        server = request.getfixturevalue("kafka_server")
        prefix = uuid.uuid4().hex
        made = Kind(
            name,
            lambda **options: KafkaBus(server.options, prefix=prefix, **options),
            f"kafka {server.port} {prefix}",
        )
    else:
        url = f"sqlite:///{tmp_path}/events.db"
        if name == "table-postgresql":
            url = request.getfixturevalue("postgres_server")
        store = SqlStore(url)
        migrate(store.engine)
        made = Kind(name, lambda **options: TableBus(SqlStore(url), **options), f"table {url}")
    yield made
    for bus in made.opened:
        bus.close()


def drain(bus, group, *, limit=100):
    """Receive and acknowledge until nothing comes."""
    seen = []
    while found := bus.receive(group, limit=limit):
        for delivery in found:
            seen.append(delivery.event)
            delivery.ack()
    return seen


def numbers(events):
    return [int(found.facts["run_id"]) for found in events]


def test_events_reach_every_group_once_and_whole(kind):
    bus = kind.open()
    told = [event(1, text="Zürich \N{SNOWMAN}", count=3, flag=None), event(2, key="items")]

    bus.publish(told)

    for group in ("a", "b"):
        assert sorted(drain(bus, group), key=lambda e: e.id) == sorted(told, key=lambda e: e.id)
        assert drain(bus, group) == []


def test_a_bus_that_is_there_is_found(kind):
    kind.open().check()


def test_the_same_event_again_is_told_once(kind):
    bus = kind.open()

    bus.publish([event(1), event(1)])
    bus.publish([event(1)])

    assert numbers(drain(bus, "g")) == [1]


def test_the_same_event_again_is_told_once_whoever_reads(kind):
    first = kind.open()
    first.publish([event(1), event(2)])
    assert numbers(drain(first, "g")) == [1, 2]
    first.close()

    second = kind.open()
    second.publish([event(1), event(3)])

    assert numbers(drain(second, "g")) == [3]


def test_events_of_a_key_come_in_the_order_they_were_told(kind):
    bus = kind.open()
    keys = [f"key {at}" for at in range(20)]
    bus.publish(
        [event(f"{at}{k:02}", key=key) for at in range(1, 31) for k, key in enumerate(keys)]
    )

    seen = defaultdict(list)
    for found in drain(bus, "g", limit=17):
        seen[found.key].append(int(found.facts["run_id"]))

    assert set(seen) == set(keys)
    assert all(order == sorted(order) and len(order) == 30 for order in seen.values())


def test_readers_of_a_group_share_the_events_and_keep_the_order_of_keys(kind):
    bus = kind.open()
    keys = [f"key {at}" for at in range(12)]
    bus.publish(
        [event(f"{at}{k:02}", key=key) for at in range(1, 11) for k, key in enumerate(keys)]
    )
    seen = defaultdict(list)
    lock, idle = threading.Lock(), threading.Event()

    def read():
        own = kind.open()
        while not idle.is_set():
            for delivery in own.receive("g", limit=5):
                with lock:
                    seen[delivery.event.key].append(int(delivery.event.facts["run_id"]))
                delivery.ack()
                if sum(map(len, seen.values())) >= 120:
                    idle.set()
        own.close()

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    idle.wait(60)
    for reader in readers:
        reader.join()

    assert {key: len(order) for key, order in seen.items()} == dict.fromkeys(keys, 10)
    assert all(order == sorted(order) for order in seen.values())


def test_what_was_refused_comes_again_before_what_came_after_it(kind):
    bus = kind.open()
    bus.publish([event(1), event(2), event(3)])

    first, *_ = bus.receive("g")
    assert first.nack("not now") is False

    assert numbers(drain(bus, "g")) == [1, 2, 3]


def test_what_fails_too_often_is_put_aside_and_the_others_go_on(kind):
    bus = kind.open(max_attempts=3)
    bus.publish([event(1), event(2), event(3)])
    tried, done = [], []

    def handler(found):
        if found.facts["run_id"] == "2":
            tried.append(found)
            raise ValueError("secret of a row")
        done.append(found)

    handled = HandledInMemory()
    for _ in range(6):
        handle_events(bus, "g", handler, handled=handled)

    assert numbers(done) == [1, 3]
    assert len(tried) == 3
    (letter,) = bus.dead("g")
    assert letter.event == event(2)
    assert "ValueError" in letter.reason
    assert "secret" not in letter.reason
    assert bus.dead("other") in ([], ())


def test_what_was_put_back_comes_again_and_no_attempt_is_counted(kind):
    bus = kind.open(max_attempts=2)
    bus.publish([event(1), event(2), event(3)])
    busy = [LeaseTakenError("busy")] * 4
    done = []

    def handler(found):
        if found.facts["run_id"] == "2" and busy:
            raise busy.pop()
        done.append(found)

    handled = HandledInMemory()
    for _ in range(6):
        handle_events(bus, "g", handler, handled=handled)

    assert numbers(done) == [1, 2, 3]
    assert bus.dead("g") in ([], ())


def test_what_was_put_aside_can_be_given_back(kind):
    bus = kind.open(max_attempts=1)
    bus.publish([event(1)])
    bus.receive("g")[0].nack("broken")

    assert bus.requeue("g", bus.dead("g")[0].id) is True
    assert bus.requeue("g", "unknown") is False

    assert numbers(drain(bus, "g")) == [1]


def test_an_event_that_was_handled_is_not_handled_again(kind):
    bus = kind.open()
    bus.publish([event(1), event(2)])
    handled, done = HandledInMemory(), []
    handled.add("g", event(1).id)

    handle_events(bus, "g", done.append, handled=handled)

    assert numbers(done) == [2]
    assert drain(bus, "g") == []


def test_a_reader_waits_for_what_is_told_later(kind):
    bus, other = kind.open(), kind.open()
    timer = threading.Timer(0.3, lambda: other.publish([event(1)]))
    timer.start()

    found = bus.receive("g", wait=30)
    timer.join()

    assert numbers(d.event for d in found) == [1]


def test_an_event_that_is_too_large_is_refused_before_any_is_told(kind):
    bus = kind.open()

    with pytest.raises(EventError, match="bytes"):
        bus.publish([event(1), event(2, text="x" * MAX_BYTES)])

    assert drain(bus, "g") == []


def test_what_a_reader_held_when_it_closed_goes_to_the_next(kind):
    bus = kind.open()
    bus.publish([event(1), event(2)])
    assert numbers(d.event for d in bus.receive("g")) == [1, 2]
    bus.close()

    assert numbers(drain(kind.open(), "g")) == [1, 2]


READER = """
import sys, time
sys.path.insert(0, {root!r})
from airflow_etl_provider.bus.kafka.bus import KafkaBus
from airflow_etl_provider.bus.redis_streams import RedisBus
from airflow_etl_provider.bus.table import TableBus
what, where, *prefix = sys.argv[1].split(" ")
if what == "redis":
    import redis
    bus = RedisBus(redis.Redis(port=int(where)), prefix=prefix[0], hold=2)
elif what == "kafka":
    bus = KafkaBus({{"bootstrap_servers": [f"127.0.0.1:{{where}}"]}}, prefix=prefix[0], hold=2)
else:
    from airflow_etl_provider.metadata.sql import SqlStore
    bus = TableBus(SqlStore(where), hold=2)
found = bus.receive("g", limit=10, wait=30)
found[0].ack()
print(len(found), flush=True)
time.sleep(600)
"""


def test_what_a_reader_held_when_it_was_killed_goes_to_the_next(kind):
    if kind.open().guarantee.survives != "crash":
        pytest.skip("promised within the process alone")
    bus = kind.open(hold=2)
    bus.publish([event(1), event(2), event(3)])
    root = os.getcwd()  # noqa: PTH109 - for the child's path
    child = subprocess.Popen(
        [sys.executable, "-c", READER.format(root=root), kind.address],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline().strip() == "3"

    child.send_signal(signal.SIGKILL)
    child.wait()

    seen, until = [], time.monotonic() + 60
    while len(seen) < 2 and time.monotonic() < until:
        seen += drain(bus, "g")
        time.sleep(0.1)
    assert numbers(seen) == [2, 3]
