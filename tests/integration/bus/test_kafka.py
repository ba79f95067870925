"""Kafka under trouble: killed and started again, poison, readers that come, go and are slow."""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from datetime import datetime, timezone
from functools import partial

import pytest

from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.bus.kafka import cluster, reader
from airflow_etl_provider.bus.kafka.bus import PARTITIONS, KafkaBus, kafka_bus
from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.exceptions import BusUnavailableError
from tests.kafka_server import KafkaServer

pytestmark = pytest.mark.kafka

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)


def event(number, key="orders"):
    facts = {"run_id": str(number), "code": "x"}
    return new_event("load_failed", key=key, at=NOW, facts=facts, same=str(number))


@pytest.fixture
def open_bus(kafka_server):
    """Open buses of one topic."""
    prefix, made = uuid.uuid4().hex, []

    def opened(**options):
        made.append(KafkaBus(kafka_server.options, prefix=prefix, **options))
        return made[-1]

    opened.prefix = prefix
    yield opened
    for bus in made:
        bus.close()


def drain(bus, group="g"):
    seen = []
    while found := bus.receive(group, limit=500):
        for delivery in found:
            seen.append(delivery.event)
            delivery.ack()
    return seen


def numbers(events):
    return [int(found.facts["run_id"]) for found in events]


@pytest.fixture
def own_server(tmp_path, kafka_server):
    server = KafkaServer(tmp_path)
    server.start()
    yield server
    server.kill()


def patiently(work):
    """As a task would: what could not be told, or read, is tried again."""
    for _ in range(20):
        try:
            return work()
        except BusUnavailableError:
            time.sleep(0.5)
    return work()


def tell(server, count, told):
    bus = KafkaBus(server.options)
    for number in range(count):
        key = f"key {number % 5}"
        found = event(number, key=key)
        patiently(partial(bus.publish, [found]))
        told[key].append(number)
        time.sleep(0.02)
    bus.close()


def read(server, seen, stopped):
    bus = KafkaBus(server.options, hold=10)
    while not stopped.is_set():
        for delivery in patiently(lambda: bus.receive("g", limit=20, wait=0.1)):
            number = int(delivery.event.facts["run_id"])
            if number not in seen[delivery.event.key]:
                seen[delivery.event.key].append(number)
            patiently(delivery.ack)
    bus.close()


@pytest.mark.slow
def test_no_event_is_lost_when_kafka_is_killed_and_order_is_kept(own_server):
    told, seen = defaultdict(list), defaultdict(list)
    stopped = threading.Event()
    threads = [
        threading.Thread(target=tell, args=(own_server, 300, told)),
        threading.Thread(target=read, args=(own_server, seen, stopped)),
    ]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(2)
        own_server.kill()
        own_server.start()
    threads[0].join()
    until = time.monotonic() + 120
    while sum(map(len, seen.values())) < 300 and time.monotonic() < until:
        time.sleep(0.05)
    stopped.set()
    threads[1].join()

    assert sum(map(len, told.values())) == 300
    assert seen == told


def test_what_is_no_event_is_put_aside_and_holds_nobody_up(open_bus):
    bus = open_bus()
    bus.publish([event(1)])
    for partition in range(PARTITIONS):
        with cluster.unavailable():
            producer = bus._get_producer()
            producer.send(open_bus.prefix, value=b"\xff\x00 poison", partition=partition)
            producer.send(open_bus.prefix, value=None, key=b"orders", partition=partition)
            producer.flush()
    bus.publish([event(2)])

    assert numbers(drain(bus)) == [1, 2]
    letters = bus.dead("g", limit=100)
    assert len(letters) == 2 * PARTITIONS
    assert {letter.event for letter in letters} == {None}
    assert len({letter.id for letter in letters}) == 2 * PARTITIONS
    bus.close()
    assert drain(open_bus()) == []


def test_attempts_are_counted_over_readers(open_bus):
    open_bus().publish([event(1), event(2)])

    for attempt in (1, 2, 3):
        bus = open_bus(max_attempts=3)
        first, *_ = bus.receive("g")
        assert first.attempt == attempt
        assert first.nack("broken") is (attempt == 3)
        bus.close()

    bus = open_bus()
    assert numbers(drain(bus)) == [2]
    assert [letter.reason for letter in bus.dead("g")] == ["broken"]


def test_a_reader_that_was_too_slow_can_not_end_what_another_one_has(open_bus, monkeypatch):
    monkeypatch.setattr(reader, "_SESSION_MS", 6_000)
    slow, fast = open_bus(hold=6), open_bus(hold=60)
    slow.publish([event(1)])
    (late,) = slow.receive("g")
    # It polls no more, so that its place in the group is given away.
    (taken,) = fast.receive("g", wait=60)

    late.ack()
    assert late.nack("too late") is False

    taken.ack()
    assert drain(fast) == []
    assert fast.dead("g") == []


def test_what_was_not_ended_comes_again_to_the_same_reader(open_bus):
    bus = open_bus()
    bus.publish([event(1), event(2), event(3)])
    first, second, _ = bus.receive("g")
    first.ack()

    again = bus.receive("g")

    assert numbers(d.event for d in again) == [2, 3]
    second.ack()
    bus.acknowledge(again)
    assert drain(bus) == []


def test_what_was_given_back_reaches_its_group_alone(open_bus):
    bus = open_bus(max_attempts=1)
    bus.publish([event(1), event(2)])
    assert numbers(drain(bus, "other")) == [1, 2]
    assert bus.receive("g")[0].nack("broken") is True

    assert bus.requeue("g", bus.dead("g")[0].id) is True

    assert numbers(drain(bus, "g")) == [2, 1]
    assert drain(bus, "other") == []
    assert bus.dead("g") == []


def test_groups_with_names_that_kafka_does_not_allow_are_told_apart(open_bus):
    bus = open_bus(max_attempts=1)
    bus.publish([event(1)])

    for group in ("who reads/1", "who reads:1", "w" * 300):
        bus.receive(group)[0].nack(group[:20])

    assert [letter.reason for letter in bus.dead("who reads/1")] == ["who reads/1"]
    assert [letter.reason for letter in bus.dead("who reads:1")] == ["who reads:1"]


def test_a_connection_says_where_kafka_is(kafka_server):
    servers = {"bootstrap.servers": f"127.0.0.1:{kafka_server.port}", "group.id": "airflow"}
    bus = kafka_bus(Connection("bus", "kafka", extra=servers), prefix=uuid.uuid4().hex)
    bus.publish([event(1)])

    assert numbers(drain(bus)) == [1]
    bus.close()


def test_a_kafka_that_is_away_is_told(monkeypatch):
    monkeypatch.setattr(cluster, "_BOOTSTRAP_MS", 300)
    extra = {"bootstrap.servers": "127.0.0.1:9", "sasl.password": "hidden"}
    bus = kafka_bus(Connection("bus", "kafka", extra=extra))

    with pytest.raises(BusUnavailableError):
        bus.check()
    with pytest.raises(BusUnavailableError) as told:
        bus.publish([event(1)])

    assert "hidden" not in str(told.value)
