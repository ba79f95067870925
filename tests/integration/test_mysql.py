"""MySQL and MariaDB as sources, on a real server: types, rights, discovery, pipelines."""

from __future__ import annotations

from contextlib import closing
from datetime import date, datetime, timezone
from decimal import Decimal

import duckdb
import pytest

from airflow_etl_provider.agents.discovery.scan import discover
from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.contracts.profile import NotRead
from airflow_etl_provider.contracts.source_spec import SourceSpec
from airflow_etl_provider.engines.batch import run_pipeline
from airflow_etl_provider.engines.sources.tables import open_source_table
from airflow_etl_provider.engines.sources.tables.listing import list_tables
from airflow_etl_provider.exceptions import SourceError, SourceNotFoundError

VALUES = """
CREATE TABLE v (
  id bigint unsigned PRIMARY KEY, tiny tinyint(1), small smallint unsigned, medium mediumint,
  plain int unsigned, exact decimal(12,3), wide decimal(50,2), single float, twice double,
  day date, moment datetime(6), instant timestamp NULL, clock time, y year,
  word varchar(20), kind enum('a','b'), several set('x','y'), raw varbinary(8), flags bit(3)
)
"""
ROW = """
INSERT INTO v VALUES (18446744073709551615, -1, 65535, -8388608, 4294967295, 12345.678,
  123456789012345678901234567890123456789012345678.25, 1.5, 2.25, '2026-01-31',
  '2026-01-31 12:34:56.789012', '2026-07-01 10:00:00', '-100:30:00', 2026, '北京 é 😀', 'b', 'x,y',
  x'00ff', b'101')
"""


class Shop:
    def __init__(self, server):
        self.server = server
        self.database = server.database()

    def execute(self, *statements):
        self.server.execute(self.database, *statements)

    def connection(self, _name="shop", **other):
        return self.server.connection(self.database, **other)

    def open(self, table, **other):
        spec = SourceSpec(connection="shop", table=table)
        return open_source_table(
            spec, connections=lambda name: self.connection(name, **other), base=None
        )

    def read(self, table):
        with closing(self.open(table)) as source, duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            scan = source.scan(source.inputs[0])
            rows = connection.sql(f"SELECT * FROM {scan.relation(connection)}").fetchall()
            assert scan.account(rows_seen=len(rows)).balanced
            scan.close()
            return source.schema, rows


@pytest.fixture
def shop(mariadb_server):
    return Shop(mariadb_server)


def test_values_arrive_as_what_they_are(shop):
    shop.execute("SET time_zone = '+00:00'", VALUES, ROW, "INSERT INTO v (id) VALUES (1)")

    schema, rows = shop.read("v")

    assert {f.name: str(f.type) for f in schema} == {
        "id": "decimal(20,0)", "tiny": "int16", "small": "int32", "medium": "int32",
        "plain": "int64", "exact": "decimal(12,3)", "wide": "string", "single": "float32",
        "twice": "float64", "day": "date", "moment": "timestamp", "instant": "timestamptz",
        "clock": "string", "y": "int16", "word": "string", "kind": "string",
        "several": "string", "raw": "binary", "flags": "decimal(20,0)",
    }  # fmt: skip
    empty, full = sorted(rows)
    assert full == (
        Decimal(18446744073709551615), -1, 65535, -8388608, 4294967295, Decimal("12345.678"),
        "123456789012345678901234567890123456789012345678.25", 1.5, 2.25, date(2026, 1, 31),
        datetime.fromisoformat("2026-01-31 12:34:56.789012"),
        datetime(2026, 7, 1, 10, tzinfo=timezone.utc), "-100:30:00", 2026, "北京 é 😀", "b", "x,y",
        b"\x00\xff", Decimal(5),
    )  # fmt: skip
    assert empty[1:] == (None,) * 18


def test_a_date_that_is_none_is_an_error_that_names_the_column(shop):
    shop.execute(
        "SET sql_mode = ''", "CREATE TABLE t (day date)", "INSERT INTO t VALUES ('0000-00-00')"
    )
    with closing(shop.open("t")) as source, pytest.raises(SourceError, match=r"'day'.*0000-00-00"):
        list(source.batches())


def test_tables_and_views_are_listed_without_those_of_the_server(shop):
    shop.execute(
        "CREATE TABLE orders (id int)", "CREATE VIEW newest AS SELECT * FROM orders",
        "CREATE TABLE _etl_ledger (id int)", "CREATE TABLE `se``lect` (id int)",
    )  # fmt: skip

    assert [table.name for table in list_tables(shop.connection())] == [
        "newest", "orders", "se`lect",
    ]  # fmt: skip


def test_all_tables_are_discovered_and_the_forbidden_one_is_named(shop):
    shop.execute(
        "CREATE TABLE orders (id int PRIMARY KEY, email varchar(50) COMMENT 'To whom') "
        "COMMENT 'All orders'",
        "INSERT INTO orders VALUES (1, 'a@example.com'), (2, 'b@example.com')",
        "CREATE TABLE secret (id int)",
        "CREATE USER IF NOT EXISTS reader@'127.0.0.1' IDENTIFIED BY 'reads only'",
        f"GRANT SELECT ON {shop.database}.orders TO reader@'127.0.0.1'",
        f"GRANT INSERT ON {shop.database}.secret TO reader@'127.0.0.1'",
    )
    login = {"login": "reader", "password": "reads only"}

    found = list(discover("shop", connections=lambda name: shop.connection(name, **login)))

    orders, secret = found
    assert (orders.name, orders.rows, orders.primary_key) == ("shop/orders", 2, ("id",))
    assert [field.personal for field in orders.fields] == [False, True]
    assert [field.required for field in orders.fields] == [True, False]
    assert (orders.description, orders.fields[1].description) == ("All orders", "To whom")
    assert isinstance(secret, NotRead)
    assert "forbidden" in secret.reason


def test_of_a_large_table_the_server_draws_rows(shop):
    shop.execute(
        "CREATE TABLE n AS WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t "
        "WHERE i < 40000) SELECT i, i % 10 AS digit FROM t",
        "ANALYZE TABLE n",
    )

    def look(**options):
        (found,) = discover("shop", connections=shop.connection, sample=2000, **options)
        return found

    part, again, whole = look(), look(), look(exact=True)

    assert (part.counted, part.looked_at) == (False, 2000)
    assert part.rows == pytest.approx(40_000, rel=0.1)
    assert part.fields[1].distinct == 10
    assert again.rows == part.rows
    assert (whole.counted, whole.rows) == (True, 40_000)


def test_a_pipeline_reads_a_table_and_leaves_out_what_the_filter_says(shop, tmp_path):
    shop.execute(
        "CREATE TABLE orders (id int PRIMARY KEY, state varchar(9), day date)",
        "INSERT INTO orders VALUES (1, 'new', '2026-01-01'), (2, 'paid', '2026-01-02'), "
        "(3, NULL, '2026-01-03')",
    )
    pipeline = Pipeline.model_validate(
        {
            "pipeline": "orders",
            "source": {"connection": "shop", "table": "orders"},
            "target": {"location": f"{tmp_path}/w.duckdb", "table": "orders"},
            "filter": "day >= date '2026-01-02'",
        }
    )

    def run(name):
        return run_pipeline(
            pipeline,
            connections=shop.connection,
            run_id=name,
            base=tmp_path,
            clock=lambda: datetime.now(timezone.utc),
        )

    report, again = run("first"), run("second")

    assert (report.rows_loaded, report.rows_filtered) == (2, 1)
    assert again.status == "already_loaded"
    with duckdb.connect(f"{tmp_path}/w.duckdb") as connection:
        rows = connection.sql("SELECT id, state FROM orders ORDER BY id").fetchall()
    assert rows == [(2, "paid"), (3, None)]


@pytest.mark.parametrize(
    ("other", "kind", "words"),
    [
        ({"password": "wrong-hunter2"}, SourceError, "forbidden"),
        ({"port": 1}, SourceError, "failed to connect"),
        ({"schema": "nowhere"}, SourceNotFoundError, "no such table or database"),
    ],
)
def test_what_is_wrong_with_a_connection_is_told_without_its_secrets(shop, other, kind, words):
    with pytest.raises(kind, match=words) as failure:
        shop.open("orders", **other)

    assert "hunter2" not in str(failure.value)
    assert shop.server.PASSWORD not in str(failure.value)


def test_a_reading_is_stopped_from_another_thread(shop):
    shop.execute(
        "CREATE TABLE n AS WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t "
        "WHERE i < 60000) SELECT i FROM t",
        "CREATE VIEW slow AS SELECT a.i FROM n a WHERE SLEEP(0.001 * (a.i > 11000)) = 0",
    )
    with closing(shop.open("n")) as source:
        source._table = type(source._table)("slow")
        source._count = 60_000
        source.rereads = False
        batches = source.batches()
        next(batches)
        source.interrupt()
        with pytest.raises(SourceError, match=r"error 1317|failed"):
            list(batches)


def test_without_a_driver_the_way_to_get_it_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pymysql", None)
    at = Connection("shop", "mysql", host="127.0.0.1")

    with pytest.raises(Exception, match=r"airflow-etl-provider\[mysql\]"):
        list_tables(at)
