"""Large tables are read in part: what is told of them is near, and said to be an estimate."""

from __future__ import annotations

from dataclasses import replace

import psycopg2
import pytest

from airflow_etl_provider.agents.discovery.drift.compare import compare_profiles
from airflow_etl_provider.agents.discovery.scan import discover
from airflow_etl_provider.contracts.profile import DatasetProfile, NotRead
from airflow_etl_provider.engines.sources.tables.postgres_size import Size, choose_sample
from airflow_etl_provider.engines.targets.postgres import client as clients
from airflow_etl_provider.engines.targets.postgres.uri import parse_postgres_uri

ROWS = 60_000
ORDERS = f"""
CREATE TABLE orders (id int PRIMARY KEY, customer int, state text, note text);
INSERT INTO orders SELECT n, n % 5000, (ARRAY['new','paid','sent'])[n % 3 + 1],
  CASE WHEN n % 4 > 0 THEN 'note ' || n END FROM generate_series(1, {ROWS}) n;
"""


@pytest.fixture
def shop(postgres_server):
    connection = replace(parse_postgres_uri(postgres_server), name="shop")

    def run(sql):
        with psycopg2.connect(postgres_server) as opened, opened.cursor() as cursor:
            cursor.execute(sql)

    run(ORDERS)
    run("ANALYZE orders")
    return connection, run


def look(connection, **options):
    return list(discover("shop", connections=lambda _name: connection, **options))


def test_of_a_large_table_a_part_is_read(shop):
    connection, _ = shop

    (found,) = look(connection, sample=5000)
    by_name = {field.name: field for field in found.fields}

    assert not found.counted
    assert found.rows == pytest.approx(ROWS, rel=0.1)
    assert found.looked_at == 5000
    assert 0 < found.margin < 0.02
    assert by_name["note"].null_share == pytest.approx(0.25, abs=0.03)
    assert by_name["customer"].distinct == pytest.approx(5000, rel=0.15)
    assert by_name["state"].distinct == 3
    assert by_name["id"].distinct == found.rows
    assert found.keys == (("id",),)
    assert found.primary_key == ("id",)


def test_all_of_it_is_read_when_that_is_asked_for_or_costs_little(shop):
    connection, _ = shop

    (exact,) = look(connection, sample=5000, exact=True)
    (small,) = look(connection, sample=20_000)

    assert (exact.rows, exact.counted) == (small.rows, small.counted) == (ROWS, True)


def test_a_partitioned_table_is_as_large_as_its_parts(shop):
    connection, run = shop
    run(
        "DROP TABLE orders; CREATE TABLE days (id int, day int) PARTITION BY RANGE (day);"
        "CREATE TABLE d1 PARTITION OF days FOR VALUES FROM (0) TO (5);"
        "CREATE TABLE d2 PARTITION OF days FOR VALUES FROM (5) TO (10);"
        f"INSERT INTO days SELECT n, n % 10 FROM generate_series(1, {ROWS}) n; ANALYZE days"
    )

    (found,) = look(connection, sample=2000)

    assert (found.name, found.counted) == ("shop/days", False)
    assert found.rows == pytest.approx(ROWS, rel=0.1)


def test_a_table_that_nobody_analyzed_is_read_in_part_too(shop):
    connection, run = shop
    run("DROP TABLE orders;" + ORDERS)

    (found,) = look(connection, sample=2000)

    assert not found.counted
    assert found.rows == pytest.approx(ROWS, rel=0.2)


def test_a_view_is_read_whole(shop):
    connection, run = shop
    run("CREATE VIEW paid AS SELECT * FROM orders WHERE state = 'paid'")

    found = {one.name: one for one in look(connection, sample=2000)}

    assert (found["shop/paid"].rows, found["shop/paid"].counted) == (ROWS // 3, True)


def test_two_looks_at_the_same_large_table_do_not_differ(shop):
    connection, run = shop
    (was,) = look(connection, sample=5000)
    run("CREATE TABLE again AS SELECT * FROM orders ORDER BY random(); DROP TABLE orders;"
        "ALTER TABLE again RENAME TO orders; ALTER TABLE orders ADD PRIMARY KEY (id);"
        "ANALYZE orders")  # fmt: skip
    (now,) = look(connection, sample=5000)

    assert [change.message for change in compare_profiles(was, now)] == []


def test_a_server_is_connected_to_once_for_many_tables(shop, monkeypatch):
    connection, run = shop
    run("".join(f"CREATE TABLE t{n} AS SELECT {n} AS n;" for n in range(8)))
    connected = []
    connect = clients._connect
    monkeypatch.setattr(clients, "_connect", lambda to: connected.append(to) or connect(to))

    found = look(connection, at_once=2)

    assert len(found) == 9
    # One lists the tables, and each of the threads has one.
    assert len(connected) <= 3


def test_a_table_that_fails_does_not_spoil_the_others(shop):
    connection, run = shop
    run("CREATE VIEW broken AS SELECT 1 / (id - 7) AS n FROM orders")
    run("CREATE TABLE z AS SELECT 1 AS n")

    found = {one.name: one for one in look(connection, at_once=1)}

    assert isinstance(found["shop/broken"], NotRead)
    assert isinstance(found["shop/z"], DatasetProfile)
    assert isinstance(found["shop/orders"], DatasetProfile)


def test_of_a_very_large_table_pages_are_drawn():
    sample = choose_sample(Size(pages=1_000_000, rows=60_000_000), 20_000)
    wide = choose_sample(Size(pages=1_000_000, rows=2_000_000), 20_000)

    assert (sample.method, sample.pages, sample.percent) == ("SYSTEM", 2000, 0.2)
    assert sample.total(120_000) == 60_000_000
    # Rows of one page may be alike.
    assert sample.independent(20_000) == 2000
    assert (wide.pages, wide.independent(20_000)) == (13_000, 13_000)


def test_what_a_database_says_of_a_table_is_told(shop):
    connection, run = shop
    run("COMMENT ON TABLE orders IS 'All orders'; COMMENT ON COLUMN orders.note IS 'By hand'")

    (found,) = look(connection)
    by_name = {field.name: field for field in found.fields}

    assert (found.description, by_name["note"].description) == ("All orders", "By hand")
    assert (by_name["id"].required, by_name["note"].required) == (True, False)


def test_a_declaration_that_changes_is_told_as_it_stands(shop):
    connection, run = shop
    run("ALTER TABLE orders ALTER state SET NOT NULL")
    (was,) = look(connection)
    run("ALTER TABLE orders ALTER state DROP NOT NULL")
    (now,) = look(connection)

    (loosened,), (tightened,) = compare_profiles(was, now), compare_profiles(now, was)

    assert (loosened.kind, loosened.effect) == ("nullability_changed", "breaking")
    assert (tightened.kind, tightened.effect) == ("nullability_changed", "compatible")
