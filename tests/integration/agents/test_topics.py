"""Topics of a real Kafka: what is in them, how it is written, and nothing is disturbed."""

from __future__ import annotations

import json
import struct
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from airflow_etl_provider.agents.discovery.scan import discover
from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.profile import DatasetProfile, NotRead

pytestmark = pytest.mark.kafka

AVRO = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        },
        {"name": "lines", "type": {"type": "array", "items": "string"}},
    ],
}


class Shop:
    """Topics of one test, which begin with a word of its own."""

    def __init__(self, server):
        self.server = server
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        self.extra = {}

    def fill(self, topic, messages, *, partitions=1, key=None):
        name = self.prefix + topic
        admin = KafkaAdminClient(**self.server.options)
        admin.create_topics({name: {"num_partitions": partitions}}, wait_for_metadata=True)
        admin.close()
        producer = KafkaProducer(**self.server.options)
        for number, message in enumerate(messages):
            producer.send(name, value=message, key=key, partition=number % partitions)
        producer.flush()
        producer.close(timeout=10)
        return name

    def connection(self, name):
        servers = ",".join(self.server.options["bootstrap_servers"])
        return Connection(name, "kafka", extra={"bootstrap.servers": servers, **self.extra})

    def look(self, place="events", **options):
        include = [f"{self.prefix}*"]
        return list(discover(place, connections=self.connection, include=include, **options))


@pytest.fixture
def shop(kafka_server):
    return Shop(kafka_server)


def orders(count):
    return [json.dumps({"id": n, "email": f"u{n}@example.com"}).encode() for n in range(count)]


def test_all_topics_are_looked_at(shop):
    first = shop.fill("orders", orders(200), partitions=3, key=b"k")
    second = shop.fill("words", [b"one two", b"three"])

    found = shop.look()

    assert [one.name for one in found] == [f"events/{first}", f"events/{second}"]
    jsons, texts = found
    assert (jsons.kind, jsons.format, jsons.rows, jsons.inputs) == ("topic", "json", 200, 3)
    assert [(f.name, str(f.type), f.personal) for f in jsons.fields] == [
        ("id", "int64", False),
        ("email", "string", True),
    ]
    assert jsons.dialect["key_format"] == "text"
    assert sorted(jsons.dialect["offsets"]) == ["0", "1", "2"]
    assert (texts.format, [f.name for f in texts.fields]) == ("text", ["value"])


def test_of_a_long_topic_the_newest_are_looked_at(shop):
    name = shop.fill("orders", orders(3000), partitions=2)

    (found,) = shop.look(f"events/{name}", sample=500)

    assert (found.rows, found.counted, found.looked_at) == (3000, False, 500)
    assert found.margin > 0
    assert int(found.fields[0].minimum) == 2500


def test_what_is_no_value_and_no_json_is_told(shop):
    name = shop.fill("orders", [*orders(100), None, b"{broken"], key=b"k")

    (found,) = shop.look(f"events/{name}")

    assert found.format == "json"
    assert any("tombstones" in note for note in found.notes)
    assert any("are not json" in note for note in found.notes)
    assert found.rejected == 1


def test_an_empty_topic_and_a_binary_one_are_no_trouble(shop):
    empty = shop.fill("empty", [])
    binary = shop.fill("binary", [b"\xff\xfe\x00\x01"] * 3)

    found = {one.location: one for one in shop.look()}

    assert (found[empty].format, found[empty].rows, found[empty].fields) == ("none", 0, ())
    assert (found[binary].format, found[binary].rows) == ("binary", 3)


def test_a_topic_that_is_not_there_is_named(shop):
    (found,) = shop.look("events/nowhere")

    assert isinstance(found, NotRead)
    assert found.code == "source_not_found"


def test_a_cluster_that_is_away_is_named():
    away = Connection("events", "kafka", extra={"bootstrap.servers": "127.0.0.1:1"})

    (found,) = discover("events", connections=lambda _name: away)

    assert isinstance(found, NotRead)
    assert "events" in found.reason


@pytest.fixture
def registry():
    """A schema registry that knows schema 7, to who logs in."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            allowed = self.headers["Authorization"] == "Basic dTpw"
            known = self.path == "/schemas/ids/7"
            self.send_response(200 if allowed and known else 404 if allowed else 401)
            self.end_headers()
            if allowed and known:
                self.wfile.write(json.dumps({"schema": json.dumps(AVRO)}).encode())

        def log_message(self, *_args):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def avro(number):
    return b"\0" + struct.pack(">I", number) + b"\x02\x00rest"


def test_fields_of_avro_are_those_of_the_registry(shop, registry):
    shop.extra = {
        "schema.registry.url": registry,
        "schema.registry.basic.auth.user.info": "u:p",
    }
    name = shop.fill("orders", [avro(7)] * 4)

    (found,) = shop.look(f"events/{name}")

    assert isinstance(found, DatasetProfile)
    assert (found.format, found.rows) == ("avro", 4)
    assert [(f.name, str(f.type), f.nullable) for f in found.fields] == [
        ("id", "int64", False),
        ("note", "string", True),
        ("at", "timestamptz", False),
        ("price", "decimal(9,2)", False),
        ("lines", "json", False),
    ]


def test_a_registry_that_sends_elsewhere_is_not_followed(shop, registry):
    went = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            went.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"{registry}{self.path}")
            self.end_headers()

        def log_message(self, *_args):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shop.extra = {
        "schema.registry.url": f"http://127.0.0.1:{server.server_port}",
        "schema.registry.basic.auth.user.info": "u:p",
    }
    name = shop.fill("orders", [avro(7)])

    (found,) = shop.look(f"events/{name}")

    server.shutdown()
    server.server_close()
    assert went == ["/schemas/ids/7"]
    assert found.fields == ()
    assert any("302" in note for note in found.notes)


@pytest.mark.parametrize("extra", ["no registry", "wrong login"])
def test_without_a_registry_that_answers_the_reason_is_a_note(shop, registry, extra):
    if extra == "wrong login":
        shop.extra = {"schema.registry.url": registry}
    name = shop.fill("orders", [avro(7)])

    (found,) = shop.look(f"events/{name}")

    assert (found.format, found.fields) == ("avro", ())
    assert any("schema registry" in note for note in found.notes)


def test_no_group_and_no_offset_is_left_behind(shop):
    name = shop.fill("orders", orders(10))
    admin = KafkaAdminClient(**shop.server.options)
    try:
        before = admin.list_groups()
        shop.look(f"events/{name}")

        assert admin.list_groups() == before
    finally:
        admin.close()
