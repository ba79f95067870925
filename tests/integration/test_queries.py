"""Queries as sources: what they give is loaded, and they do nothing but read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timezone

import duckdb
import psycopg2
import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.contracts.source_spec import SourceSpec
from airflow_etl_provider.engines.batch import run_pipeline
from airflow_etl_provider.engines.sources.tables import open_source_table
from airflow_etl_provider.engines.targets.postgres.uri import parse_postgres_uri
from airflow_etl_provider.exceptions import (
    EtlError,
    NotSupportedYetError,
    SourceError,
    SpecificationError,
)

TABLE = "CREATE TABLE orders (id int PRIMARY KEY, state text, amount numeric(8,2))"
ROWS = "INSERT INTO orders VALUES (1, 'new', 1.5), (2, 'paid', 2), (3, 'paid', 3.25)"
SUMS = "SELECT state, count(*) AS orders, max(id) AS newest FROM orders GROUP BY state"


class Shop:
    def __init__(self, connection, run, folder):
        self.connection, self.run, self.folder = connection, run, folder
        self.runs = 0

    def load(self, query, **more):
        pipeline = Pipeline.model_validate(
            {
                "pipeline": "sums",
                "source": {"connection": "shop", "query": query} | more.pop("source", {}),
                "target": {"location": f"{self.folder}/w.duckdb", "table": "sums"}
                | more.pop("target", {}),
            }
            | more
        )
        self.runs += 1
        return run_pipeline(
            pipeline,
            connections=lambda _name: self.connection,
            run_id=f"run {self.runs}",
            base=self.folder,
            clock=lambda: datetime.now(timezone.utc),
        )

    def loaded(self):
        with duckdb.connect(f"{self.folder}/w.duckdb", read_only=True) as connection:
            return connection.sql("SELECT * FROM sums ORDER BY ALL").fetchall()

    def open(self, query):
        spec = SourceSpec(connection="shop", query=query)
        return open_source_table(spec, connections=lambda _name: self.connection, base=None)


@pytest.fixture(params=["duckdb", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def shop(request, tmp_path):
    path = f"{tmp_path}/shop.db"
    connection = Connection("shop", request.param, host=path)
    if request.param == "postgres":
        uri = request.getfixturevalue("postgres_server")
        connection = parse_postgres_uri(uri, name="shop")

    def run(*statements):
        if request.param == "postgres":
            with closing(psycopg2.connect(uri)) as opened, opened, opened.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            return
        opened = sqlite3.connect(path) if request.param == "sqlite" else duckdb.connect(path)
        with closing(opened):
            for statement in statements:
                opened.execute(statement)
            opened.commit()

    run(TABLE, ROWS)
    return Shop(connection, run, tmp_path)


def test_what_a_query_gives_is_loaded_once(shop):
    report = shop.load(SUMS)
    again = shop.load(SUMS)
    shop.run("INSERT INTO orders VALUES (4, 'sent', 1)")
    changed = shop.load(SUMS, target={"mode": "replace"})

    assert (report.rows_loaded, again.status, changed.rows_loaded) == (2, "already_loaded", 3)
    assert shop.loaded() == [("new", 1, 1), ("paid", 2, 3), ("sent", 1, 4)]


def test_rows_that_must_be_compared_are_the_same_in_every_reading(shop):
    random = "SELECT id, CAST(abs(random()) * 1000000 AS int) AS luck FROM orders"

    report = shop.load(random, rules=[{"column": "id", "unique": True}])

    assert (report.rows_loaded, report.rows_quarantined) == (3, 0)


def test_types_are_those_of_the_query(shop):
    with closing(shop.open("SELECT id, amount, amount * 2 AS twice, 'x' AS word FROM orders")) as s:
        kinds = {field.name: field.type.kind for field in s.schema}

    assert kinds["id"] in ("int32", "int64")
    assert kinds["amount"] in ("decimal", "float64")
    assert kinds["word"] == "string"


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM orders",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE orders",
        "CREATE TABLE x AS SELECT 1 AS n",
        "ATTACH 'x.db' AS x",
        "PRAGMA user_version = 7",
        "SELECT FROM WHERE",
        "   ",
        "-- nothing",
        "SELECT 1) AS q; DROP TABLE orders; --",
    ],
)
def test_what_is_no_query_is_refused(shop, query):
    with pytest.raises(SpecificationError):
        shop.load(query)

    assert shop.load("SELECT count(*) AS n FROM orders").rows_loaded == 1


@pytest.mark.postgres
@pytest.mark.parametrize(
    "query",
    [
        "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
        "SELECT * FROM orders FOR UPDATE",
        "SELECT * INTO copied FROM orders",
    ],
)
def test_a_query_that_writes_on_its_way_is_refused(shop, query):
    with pytest.raises(SpecificationError, match=r"source\.query"):
        shop.load(query)


@pytest.mark.postgres
def test_a_function_that_writes_is_refused_by_the_server(shop):
    if shop.connection.kind != "postgres":
        pytest.skip("only PostgreSQL has functions that write")
    shop.run(
        "CREATE FUNCTION eat() RETURNS bigint LANGUAGE sql AS "
        "'WITH d AS (DELETE FROM orders RETURNING 1) SELECT count(*) FROM d'"
    )
    with pytest.raises(EtlError, match="read-only"):
        shop.load("SELECT eat() AS n")

    assert shop.load("SELECT id FROM orders").rows_loaded == 3


def test_files_beside_a_duckdb_file_are_not_read(shop):
    if shop.connection.kind != "duckdb":
        pytest.skip("only DuckDB reads files")
    (shop.folder / "secret.csv").write_text("a\n1\n")

    with pytest.raises(SourceError, match="refused"):
        shop.load(f"SELECT * FROM read_csv('{shop.folder}/secret.csv')")


@pytest.mark.parametrize("query", ["SELECT nothing FROM orders", "SELECT * FROM nowhere"])
def test_what_a_query_reads_and_is_not_there_is_told(shop, query):
    with pytest.raises(SourceError):
        shop.load(query)


def test_two_columns_of_one_name_are_refused(shop):
    with pytest.raises(SpecificationError, match="AS"):
        shop.load("SELECT id AS a, state AS a FROM orders")


def test_a_percent_sign_is_one(shop):
    assert shop.load("SELECT id FROM orders WHERE state LIKE 'p%'").rows_loaded == 2


def test_an_interval_is_cut_out_of_a_query(shop):
    incremental = {"by": "column", "column": "id"}
    query = "SELECT id, state FROM orders"
    shop.load(query, source={"incremental": incremental})
    shop.run("INSERT INTO orders VALUES (4, 'sent', 1)")

    report = shop.load(query, source={"incremental": incremental})

    assert report.rows_loaded == 1
    assert [row[0] for row in shop.loaded()] == [1, 2, 3, 4]


def test_of_mysql_a_view_is_asked_for():
    spec = SourceSpec(connection="shop", query="SELECT 1 AS n")

    with pytest.raises(NotSupportedYetError, match="view"):
        open_source_table(spec, connections=lambda name: Connection(name, "mysql"), base=None)
