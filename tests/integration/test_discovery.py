"""Profiles of real files and tables, good and bad ones."""

from __future__ import annotations

import gzip
import json
import os
import random
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace

import duckdb
import psycopg2
import pytest

from airflow_etl_provider.agents.discovery.discover import profile_dataset
from airflow_etl_provider.agents.discovery.grouping import group_names, pattern_of
from airflow_etl_provider.agents.discovery.scan import discover
from airflow_etl_provider.cli import main
from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.profile import DatasetProfile, NotRead
from airflow_etl_provider.contracts.source_spec import SourceSpec
from airflow_etl_provider.engines.sources.delimited import source as delimited
from airflow_etl_provider.engines.sources.delimited.source import DelimitedSource
from airflow_etl_provider.engines.sources.listing import list_below
from airflow_etl_provider.engines.targets.postgres.uri import parse_postgres_uri

ORDERS = (
    "order_id;email;amount;ordered;state\n"
    "1;a@example.com;1.234,50;13/01/2026;new\n"
    "2;b@example.com;5,00;02/02/2026;new\n"
    "3;c@example.com;N/A;03/02/2026;paid\n"
    "4;d@example.com;7,25;;paid\n"
)


def no_connection(name):
    raise AssertionError(f"nobody asked for {name}")


def profile(path, **options):
    spec = SourceSpec(location=str(path))
    return profile_dataset(spec, connections=no_connection, **options)


def fields(found):
    return {field.name: field for field in found.fields}


def test_a_file_is_measured_and_understood(tmp_path):
    (tmp_path / "orders.csv").write_text(ORDERS)

    found = profile(tmp_path / "orders.csv")
    by_name = fields(found)

    assert (found.format, found.rows, found.rejected, found.margin) == ("csv", 4, 0, 0.0)
    assert found.dialect is not None
    assert (found.dialect["delimiter"], found.dialect["encoding"]) == (";", "utf-8")
    assert found.keys == (("order_id",), ("email",))
    amount, ordered = by_name["amount"], by_name["ordered"]
    assert (str(amount.type), amount.format) == ("decimal(12,2)", "1.234,5")
    assert (amount.minimum, amount.maximum) == ("5", "1234.5")
    assert (amount.null_words, amount.null_share) == ({"N/A": 1}, 0.25)
    assert (str(ordered.type), ordered.format, ordered.null_share) == ("date", "%d/%m/%Y", 0.25)
    assert (ordered.minimum, ordered.maximum) == ("2026-01-13", "2026-02-03")
    assert by_name["state"].top == (("new", 2), ("paid", 2))
    assert (by_name["order_id"].minimum, by_name["order_id"].maximum) == ("1", "4")


def test_a_measurement_is_no_key(tmp_path):
    (tmp_path / "x.csv").write_text("town,lon\n" + "".join(f"t{n % 9},{n}.25\n" for n in range(20)))

    assert profile(tmp_path / "x.csv").keys == ()


def test_nothing_of_a_personal_column_is_told(tmp_path):
    (tmp_path / "orders.csv").write_text(ORDERS)

    found = profile(tmp_path / "orders.csv")

    email = fields(found)["email"]
    assert (email.semantic_type, email.personal) == ("email", True)
    assert "example.com" not in json.dumps(found.to_dict())


def test_many_rows_are_counted_exactly_and_looked_at_by_sample(tmp_path):
    with (tmp_path / "many.csv").open("w") as file:
        file.write("id,half\n")
        file.writelines(f"{n},{n % 2 or ''}\n" for n in range(50_000))

    found = profile(tmp_path / "many.csv", sample=1000)
    by_name = fields(found)

    assert (found.rows, found.looked_at) == (50_000, 1000)
    assert found.margin == pytest.approx(0.98 / 1000**0.5)
    assert by_name["half"].null_share == 0.5
    assert (by_name["id"].minimum, by_name["id"].maximum) == ("0", "49999")
    assert (found.keys, by_name["id"].distinct) == ((("id",),), 50_000)


def test_of_a_large_file_rows_are_taken_from_places_all_over(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "LARGE", 100_000)
    monkeypatch.setattr(delimited, "DRAWN_SLICE", 1024)
    with (tmp_path / "large.csv").open("w") as file:
        file.write("id,word\n")
        file.writelines(f'{n},"word, {n % 7}"\n' for n in range(50_000))

    found = profile(tmp_path / "large.csv", sample=1000)
    by_name = fields(found)

    assert (found.rows, found.looked_at) == (50_000, 1000)
    assert str(by_name["id"].type) == "int64"
    assert (by_name["id"].minimum, by_name["id"].maximum) == ("0", "49999")
    assert {value for value, _ in by_name["word"].top} == {f"word, {n}" for n in range(7)}
    # Not from the beginning alone, and no piece of a line among them.
    assert len(by_name["word"].patterns) == 1


def test_a_large_file_of_long_records_is_read_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "LARGE", 100_000)
    monkeypatch.setattr(delimited, "DRAWN_SLICE", 1024)
    (tmp_path / "x.csv").write_text("a,b\n" + "".join(f"{n},{'x' * 5000}\n" for n in range(100)))

    found = profile(tmp_path / "x.csv", sample=50)

    assert (found.rows, found.looked_at) == (100, 50)


def test_several_files_are_one_dataset(tmp_path):
    for day in range(1, 4):
        (tmp_path / f"sales_2026-01-0{day}.csv").write_text(f"id,n\n{day},1\n{day + 10},2\n")

    (found,) = discover(str(tmp_path), connections=no_connection)

    assert isinstance(found, DatasetProfile)
    assert (found.name, found.inputs, found.rows) == (str(tmp_path / "sales_*.csv"), 3, 6)
    assert found.keys == (("id",),)


def test_broken_records_are_counted_apart(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3\n4,5\n6,7,8\n")

    found = profile(tmp_path / "x.csv")

    assert (found.rows, found.rejected) == (2, 2)


def test_a_reading_that_loses_records_is_done_again_with_care(tmp_path, monkeypatch):
    """An unterminated quote makes the fast reader drop records without a word."""
    lines = [f'{n},"word {n}"' for n in range(5000)]
    lines[2000] = '2000,"word'
    (tmp_path / "x.csv").write_text("a,b\n" + "\n".join(lines) + "\n")
    careful = []
    scan = DelimitedSource.scan
    monkeypatch.setattr(
        DelimitedSource,
        "scan",
        lambda self, input, *, careful_=careful, careful=False: (
            careful_.append(careful),
            scan(self, input, careful=careful),
        )[1],
    )

    found = profile(tmp_path / "x.csv")

    assert found.rows + found.rejected == 5000
    assert found.rows >= 4990


def test_parquet_keeps_its_types(tmp_path):
    path = tmp_path / "x.parquet"
    duckdb.sql(
        "SELECT 1::INT AS id, [1, 2] AS tags, {'e': 'ana@example.com and more'} AS who, "
        "DATE '2026-01-01' AS day"
    ).write_parquet(str(path))

    found = profile(path)
    by_name = fields(found)

    assert found.format == "parquet"
    assert [str(field.stored) for field in found.fields] == [
        "int32",
        "array<int32>",
        "struct<e: string>",
        "date",
    ]
    assert by_name["who"].personal
    assert (by_name["day"].minimum, by_name["tags"].minimum) == ("2026-01-01", None)


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_table_is_profiled_by_its_connection(tmp_path, kind):
    path = tmp_path / f"shop.{kind}"
    if kind == "sqlite":
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE orders (id INTEGER, paid TEXT)")
            database.execute("INSERT INTO orders VALUES (1, 'ja'), (2, 'nein')")
    else:
        with duckdb.connect(str(path)) as database:
            database.execute("CREATE TABLE orders (id INTEGER, paid TEXT)")
            database.execute("INSERT INTO orders VALUES (1, 'ja'), (2, 'nein')")

    (found,) = discover(
        "shop",
        connections=lambda name: Connection(name, kind, host=str(path)),
        tables=["orders"],
    )

    assert isinstance(found, DatasetProfile)
    assert (found.name, found.format, found.rows) == ("shop/orders", "table", 2)
    assert str(fields(found)["paid"].type) == "bool"


SHOP = """
CREATE SCHEMA sales;
CREATE TABLE sales.orders (id INT PRIMARY KEY, email TEXT, day DATE) PARTITION BY RANGE (id);
CREATE TABLE sales.orders_1 PARTITION OF sales.orders FOR VALUES FROM (0) TO (100);
INSERT INTO sales.orders VALUES (1, 'a@example.com', '2026-01-01'), (2, 'b@example.com', NULL);
CREATE VIEW newest AS SELECT * FROM sales.orders WHERE id > 1;
CREATE TABLE "Reserved ""select"" x" ("order" INT, "ünï.cödé" TEXT);
CREATE TABLE public._etl_loads (id INT);
CREATE TABLE secret (id INT);
CREATE ROLE reader LOGIN PASSWORD 'reader';
GRANT USAGE ON SCHEMA sales TO reader;
GRANT SELECT ON sales.orders, newest, "Reserved ""select"" x" TO reader;
"""


@pytest.fixture
def shop(postgres_server):
    """A database with odd names, a partitioned table, and one that the role may not read."""
    with closing(psycopg2.connect(postgres_server)) as admin, admin, admin.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS reader")
        cursor.execute(SHOP)
    yield lambda name: replace(
        parse_postgres_uri(postgres_server), name=name, login="reader", password="reader"
    )
    with closing(psycopg2.connect(postgres_server)) as admin, admin, admin.cursor() as cursor:
        cursor.execute("DROP OWNED BY reader; DROP ROLE reader")


def test_all_tables_of_a_database_are_profiled_and_the_forbidden_one_is_named(shop):
    found = {one.name: one for one in discover("shop", connections=shop)}

    assert list(found) == [
        'shop/"Reserved ""select"" x"',
        "shop/newest",
        "shop/secret",
        "shop/sales.orders",
    ]
    orders = found["shop/sales.orders"]
    assert isinstance(orders, DatasetProfile)
    assert (orders.rows, orders.keys) == (2, (("id",), ("email",)))
    assert fields(orders)["email"].personal
    assert fields(orders)["day"].null_share == 0.5
    secret = found["shop/secret"]
    assert isinstance(secret, NotRead)
    assert secret.code in ("target_permission", "source_permission", "target_error", "source_error")


def test_patterns_choose_among_the_tables(shop):
    found = discover("shop", connections=shop, include=["*.orders", "*e*"], exclude=["*secret"])

    assert [one.name for one in found] == [
        'shop/"Reserved ""select"" x"',
        "shop/newest",
        "shop/sales.orders",
    ]


def test_a_table_that_goes_away_during_the_scan_is_named(shop, postgres_server):
    scan = discover("shop", connections=shop, at_once=1)
    next(scan)
    with closing(psycopg2.connect(postgres_server)) as admin, admin, admin.cursor() as cursor:
        cursor.execute("DROP VIEW newest")

    gone, *_, orders = scan

    assert isinstance(gone, NotRead)
    assert "newest" in gone.reason
    assert isinstance(orders, DatasetProfile)


def test_whoever_stops_listening_is_not_kept_waiting(tmp_path):
    for name in "abcdefgh":
        (tmp_path / f"{name}.csv").write_text("a,b\n1,2\n")

    scan = discover(str(tmp_path), connections=no_connection, at_once=3)
    first = next(scan)
    scan.close()

    assert first.name.endswith("a.csv")
    assert not [t for t in threading.enumerate() if t.name.startswith("etl-discover")]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_tables_and_views_of_a_file_are_listed(tmp_path, kind):
    path = tmp_path / f"shop.{kind}"
    sql = (
        "CREATE TABLE b (id INTEGER); CREATE TABLE _etl_loads (id INTEGER);"
        "CREATE VIEW a AS SELECT * FROM b; INSERT INTO b VALUES (1), (2)"
    )
    if kind == "sqlite":
        with closing(sqlite3.connect(path)) as database:
            database.executescript(sql)
    else:
        with duckdb.connect(str(path)) as database:
            database.execute(sql)

    found = discover("shop", connections=lambda name: Connection(name, kind, host=str(path)))

    assert [(one.name, one.rows) for one in found] == [
        ("shop/a", 2),
        ("shop/b", 2),
    ]


@pytest.mark.parametrize(
    ("connection", "code"),
    [
        (Connection("shop", "sqlite", host="/nowhere/x.db"), "source_not_found"),
        (Connection("shop", "ftp", host="x"), "bad_specification"),
        (Connection("shop", "postgres", host="127.0.0.1", port=1), "target_unavailable"),
    ],
)
def test_a_place_that_can_not_be_reached_is_named(connection, code):
    (found,) = discover("shop", connections=lambda _name: connection)

    assert isinstance(found, NotRead)
    assert found.code == code


def test_one_broken_dataset_does_not_stop_the_others(tmp_path):
    (tmp_path / "good.csv").write_text("a,b\n1,2\n")
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 20_000)
    (tmp_path / "cut.csv.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "no.parquet").write_text("no")

    found = {
        one.name.rpartition("/")[2]: one
        for one in discover(str(tmp_path), connections=no_connection)
    }

    assert isinstance(found["good.csv"], DatasetProfile)
    cut, no = found["cut.csv.gz"], found["no.parquet"]
    assert isinstance(cut, NotRead)
    assert isinstance(no, NotRead)
    assert (cut.code, no.code) == ("source_format", "source_format")
    assert "cut off" in cut.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_that_one_may_not_read_is_named(tmp_path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    (tmp_path / "x.csv").chmod(0)

    (found,) = discover(str(tmp_path), connections=no_connection)

    assert isinstance(found, NotRead)


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"a,b,c\n", 0),
        ("id,näme\n1,Zoë\n".encode() + "2,André\n".encode("latin-1") + b"3,x\n", 3),
        (b'id,"a""; DROP TABLE x; --","select",ID,id\n1,2,3,4,5\n', 1),
        (b"a,b\n1,\x002\n3,4\n", 1),
        (b"a,b\n" + b"x" * 20_000_000 + b",1\n2,3\n", 1),
        (",".join(f"c{n}" for n in range(1500)).encode() + b"\n" + b"1," * 1499 + b"2\n", 1),
        (random.Random(1).randbytes(50_000), None),
    ],
    ids=["header", "mixed", "hostile", "nul", "long", "wide", "binary"],
)
def test_bad_files_are_no_crash(tmp_path, content, rows):
    (tmp_path / "x.csv").write_bytes(content)

    (found,) = discover(str(tmp_path / "x.csv"), connections=no_connection)

    assert isinstance(found, DatasetProfile)
    assert rows is None or found.rows == rows


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "x.csv").touch()

    (found,) = discover(str(tmp_path / "x.csv"), connections=no_connection)

    assert isinstance(found, NotRead)
    assert "is empty" in found.reason


def test_names_that_are_patterns_mean_themselves(tmp_path):
    (tmp_path / "a[1]*.csv").write_text("a\n1\n")

    (found,) = discover(str(tmp_path), connections=no_connection)

    assert isinstance(found, DatasetProfile)
    assert found.rows == 1


def test_files_are_grouped_by_what_is_counted_in_their_names(tmp_path):
    for name in (
        "orders_2026-01-01.csv.gz",
        "orders_2026-01-02.csv.gz",
        "customers.parquet",
        "lake/day=1/part-0.parquet",
        "lake/day=2/part-0.parquet",
        "_etl/hidden.csv",
        ".git/x.csv",
        "README.md",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    assert group_names(list_below(tmp_path)) == [
        "customers.parquet",
        "lake/day=*/part-*.parquet",
        "orders_*.csv.gz",
    ]


def test_a_pattern_keeps_suffixes():
    assert pattern_of("x/v2_2026-01-01T10:00.csv.gz") == "x/v*.csv.gz"


def test_the_command_prints_json_and_says_what_it_could_not_read(tmp_path, capsys):
    (tmp_path / "orders.csv").write_text(ORDERS)

    code = main(["discover", str(tmp_path / "orders.csv"), str(tmp_path / "none.csv"), "--json"])

    said = capsys.readouterr()
    good, bad = json.loads(said.out)["datasets"]
    assert code == 1
    assert good["rows"] == 4
    assert good["fields"][1]["semantic_type"] == "email"
    assert good["keys"] == [["order_id"], ["email"]]
    assert bad["problem"]["code"] == "source_not_found"
    assert "none.csv" in said.err


def test_the_command_shows_what_is_personal(tmp_path, capsys):
    (tmp_path / "orders.csv").write_text(ORDERS)

    assert main(["discover", str(tmp_path)]) == 0

    said = capsys.readouterr().out
    assert "PERSONAL" in said
    assert "written %d/%m/%Y" in said
    assert "example.com" not in said
