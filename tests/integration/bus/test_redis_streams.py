"""Redis Streams under trouble: killed and started again, poison, trimming, slow readers."""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from contextlib import suppress
from datetime import datetime, timezone

import pytest

from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.bus.redis_streams import LANES, RedisBus, redis_bus
from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.exceptions import BusUnavailableError, SpecificationError
from tests.redis_server import RedisServer

pytestmark = pytest.mark.redis

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)


def event(number, key="orders"):
    facts = {"run_id": str(number), "code": "x"}
    return new_event("load_failed", key=key, at=NOW, facts=facts, same=str(number))


@pytest.fixture
def bus(redis_server):
    made = RedisBus(redis_server.client(), prefix=uuid.uuid4().hex)
    yield made
    made.close()


def drain(bus, group="g"):
    seen = []
    while found := bus.receive(group, limit=500):
        for delivery in found:
            seen.append(delivery.event)
            delivery.ack()
    return seen


@pytest.fixture
def own_server(tmp_path, redis_server):
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


def test_no_event_is_lost_when_redis_is_killed_and_order_is_kept(own_server):
    keys = [f"key {at}" for at in range(5)]
    told, seen = defaultdict(list), defaultdict(list)
    stopped = threading.Event()

    def tell():
        bus = RedisBus(own_server.client())
        for number in range(300):
            key = keys[number % 5]
            # A machine that is busy needs longer to start Redis again than the bus waits for it.
            while True:
                try:
                    bus.publish([event(number, key=key)])
                    break
                except BusUnavailableError:
                    time.sleep(0.1)
            told[key].append(number)
        bus.close()

    def read():
        bus = RedisBus(own_server.client(), hold=5)
        while not stopped.is_set():
            # What was not acknowledged comes again.
            with suppress(BusUnavailableError):
                for delivery in bus.receive("g", limit=20, wait=0.1):
                    number = int(delivery.event.facts["run_id"])
                    if number not in seen[delivery.event.key]:
                        seen[delivery.event.key].append(number)
                    delivery.ack()
        bus.close()

    threads = [threading.Thread(target=tell), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(0.1)
        own_server.kill()
        own_server.start()
    threads[0].join()
    until = time.monotonic() + 60
    while sum(map(len, seen.values())) < 300 and time.monotonic() < until:
        time.sleep(0.05)
    stopped.set()
    threads[1].join()

    assert sum(map(len, told.values())) == 300
    assert seen == told


def test_what_is_no_event_is_put_aside_and_holds_nobody_up(bus, redis_server):
    bus.publish([event(1)])
    client = redis_server.client()
    for lane in range(LANES):
        client.xadd(f"{bus._prefix}:{lane}", {"event": b"\xff\x00 poison"})
        client.xadd(f"{bus._prefix}:{lane}", {"other": b"nothing"})
    bus.publish([event(2)])

    assert [e.facts["run_id"] for e in drain(bus)] == ["1", "2"]
    letters = bus.dead("g", limit=100)
    assert len(letters) == 2 * LANES
    assert {letter.event for letter in letters} == {None}


def test_what_all_have_handled_is_trimmed_and_what_one_has_not_is_kept(bus, redis_server):
    assert drain(bus, "fast") == drain(bus, "slow") == []
    bus.publish([event(number) for number in range(2000)])
    assert len(drain(bus, "fast")) == 2000
    lane = f"{bus._prefix}:{bus._lane_of('orders')}"
    client = redis_server.client()

    bus._trim(bus._lane_of("orders"))
    assert client.xlen(lane) == 2000
    assert len(drain(bus, "slow")) == 2000
    bus._trim(bus._lane_of("orders"))

    assert client.xlen(lane) < 200


def test_a_reader_that_was_too_slow_can_not_end_what_another_one_has(redis_server):
    prefix = uuid.uuid4().hex
    slow = RedisBus(redis_server.client(), prefix=prefix, hold=0.2)
    fast = RedisBus(redis_server.client(), prefix=prefix, hold=30)
    slow.publish([event(1)])
    (late,) = slow.receive("g")
    (taken,) = fast.receive("g", wait=30)

    late.ack()
    assert late.nack("too late") is False

    taken.ack()
    assert drain(fast) == []
    assert fast.dead("g") == []


def test_a_connection_says_where_redis_is_and_a_wrong_one_is_refused(redis_server):
    found = redis_bus(Connection("bus", "redis", host="127.0.0.1", port=redis_server.port))
    found.publish([event(uuid.uuid4().hex)])
    found.close()

    with pytest.raises(SpecificationError, match="bus"):
        redis_bus(Connection("bus", "postgres"))


def test_a_redis_that_is_away_is_told(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    bus = redis_bus(Connection("bus", "redis", host="127.0.0.1", port=9, password="hidden"))

    with pytest.raises(BusUnavailableError) as told:
        bus.publish([event(1)])

    assert "hidden" not in str(told.value)
