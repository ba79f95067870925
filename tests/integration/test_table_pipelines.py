"""Pipelines that read a table: of PostgreSQL, or of a DuckDB file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timezone

import duckdb
import psycopg2
import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, Window, run_pipeline
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.engines.targets.postgres import parse_postgres_uri
from airflow_etl_provider.exceptions import (
    LoadConflictError,
    SourceError,
    SourceNotFoundError,
    SpecificationError,
)

ROWS = [(1, "Ada", "2026-01-01 10:00"), (2, None, "2026-01-02 10:00"), (3, "北京", None)]


class World:
    """A database with the table `people`, and a DuckDB file to load into."""

    def __init__(self, folder, kind="duckdb", uri=None) -> None:
        self.folder, self.kind, self.uri = folder, kind, uri
        self.runs = 0

    def execute(self, statement, *values):
        file = str(self.folder / "source.db")
        if self.kind == "duckdb":
            with closing(duckdb.connect(file)) as connection:
                connection.execute(statement.replace("%s", "?"), list(values) or None)
            return
        if self.kind == "sqlite":
            with closing(sqlite3.connect(file)) as connection:
                connection.execute(statement.replace("%s", "?"), values)
                connection.commit()
            return
        with closing(psycopg2.connect(self.uri)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            connection.commit()

    def connections(self, name):
        if name == "source" and self.kind == "postgres":
            return parse_postgres_uri(self.uri, name=name)
        if name == "source" and self.kind == "sqlite":
            # As the URI sqlite:////folder/source.db gives it.
            return Connection(name, "sqlite", schema=str(self.folder / "source.db"))
        if name == "bucket":
            return Connection(name, "aws")
        return Connection(name, "duckdb", host=str(self.folder / f"{name}.db"))

    def pipeline(self, *, source=None, target=None, **more):
        return Pipeline.model_validate(
            {
                "pipeline": "people",
                "source": {"connection": "source", "table": "people"} | (source or {}),
                "target": {"connection": "warehouse", "table": "copied"} | (target or {}),
                "quarantine": str(self.folder / "quarantine"),
            }
            | more
        )

    def run(self, *, window=None, **more):
        self.runs += 1
        return run_pipeline(
            self.pipeline(**more),
            connections=self.connections,
            run_id=f"run {self.runs}",
            base=self.folder,
            window=window,
            options=EngineOptions(threads=1, scratch=self.folder),
            clock=lambda: datetime.now(timezone.utc),
        )

    def copied(self, columns="id"):
        with closing(duckdb.connect(str(self.folder / "warehouse.db"))) as connection:
            rows = connection.execute(f"SELECT {columns} FROM copied ORDER BY ALL").fetchall()
            return [row[0] if len(row) == 1 else row for row in rows]


@pytest.fixture(params=["duckdb", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def world(request, tmp_path):
    made = World(
        tmp_path,
        request.param,
        request.getfixturevalue("postgres_server") if request.param == "postgres" else None,
    )
    made.execute("CREATE TABLE people (id bigint, name text, seen timestamp)")
    for row in ROWS:
        made.execute("INSERT INTO people VALUES (%s, %s, %s)", *row)
    return made


def test_a_table_is_loaded_with_its_types_and_counted_by_its_database(world):
    report = world.run()

    assert (report.status, report.rows_read, report.rows_loaded) == ("done", 3, 3)
    of = "VARCHAR" if world.kind == "sqlite" else "TIMESTAMP"  # SQLite has text
    assert world.copied("id, name, typeof(seen)") == [
        (1, "Ada", of),
        (2, None, of),
        (3, "北京", of),
    ]


def test_the_same_rows_are_the_same_load_and_others_are_another(world):
    replaced = {"target": {"mode": "replace"}}
    assert world.run(**replaced).status == "done"
    assert world.run(**replaced).status == "already_loaded"

    world.execute("UPDATE people SET name = 'Ada L.' WHERE id = 1")
    assert world.run(**replaced).status == "done"
    world.execute("INSERT INTO people VALUES (2, NULL, '2026-01-02 10:00')")
    assert world.run(**replaced).status == "done"
    assert world.run(**replaced).status == "already_loaded"

    assert world.copied("id, name") == [(1, "Ada L."), (2, None), (2, None), (3, "北京")]


def test_what_does_not_convert_is_rejected_with_the_whole_row(world):
    mapping = {
        "contract": "people",
        "target": {"fields": {"id": "int64", "name": "int64"}},
        "columns": {
            "id": {"from": "id", "convert": "cast"},
            "name": {"from": "name", "convert": "cast"},
        },
    }
    world.execute("UPDATE people SET name = '77' WHERE id = 1")

    report = world.run(mapping=mapping)

    assert (report.status, report.rows_loaded, report.rows_quarantined) == (
        "done_with_rejects",
        2,
        1,
    )
    (reject,) = read_quarantine(report.quarantine)
    assert "北京" in reject.raw.decode()
    assert '"id":3' in reject.raw.decode().replace(" ", "")


def test_a_unique_key_reads_the_rows_twice_and_the_same(world):
    world.execute("INSERT INTO people VALUES (1, 'again', '2026-01-05 10:00')")
    keyed = {"target": {"mode": "merge", "key": ["id"], "latest_by": "seen"}}

    report = world.run(**keyed)

    assert (report.rows_read, report.rows_loaded, report.rows_deduplicated) == (4, 3, 1)
    assert world.copied("id, name")[0] == (1, "again")


def day(number):
    def at(n):
        return datetime(2026, 1, n, tzinfo=timezone.utc)

    return Window(at(number), at(number + 1))


def test_an_interval_is_cut_out_by_the_database_and_rows_without_a_time_are_rejected(world):
    if world.kind == "sqlite":
        pytest.skip("SQLite has no type for times")
    daily = {"source": {"incremental": {"by": "data_interval", "column": "seen"}}}
    world.execute(
        "INSERT INTO people WITH RECURSIVE g(n) AS (SELECT 4 UNION ALL SELECT n + 1 FROM g "
        "WHERE n < 999) SELECT n, 'x', CAST('2025-07-01' AS timestamp) FROM g"
    )

    report = world.run(window=day(1), **daily)

    assert (report.rows_read, report.rows_loaded, report.rows_quarantined) == (2, 1, 1)
    assert world.run(window=day(2), **daily).rows_loaded == 1
    assert world.run(window=day(2), **daily).status == "already_loaded"
    assert world.copied() == [1, 2]


def test_an_interval_whose_rows_have_changed_is_loaded_anew_where_that_is_asked_for(world):
    if world.kind == "sqlite":
        pytest.skip("SQLite has no type for times")
    daily = {"source": {"incremental": {"by": "data_interval", "column": "seen"}}}
    world.execute("DELETE FROM people WHERE seen IS NULL")
    world.run(window=day(1), target={"load_columns": True, "on_reload": "replace_load"}, **daily)
    world.execute("INSERT INTO people VALUES (9, 'late', '2026-01-01 23:59:59')")

    again = world.run(
        window=day(1), target={"load_columns": True, "on_reload": "replace_load"}, **daily
    )

    assert again.rows_loaded == 2
    assert world.copied() == [1, 9]
    world.execute("INSERT INTO people VALUES (10, 'later', '2026-01-01 23:59:59')")
    with pytest.raises(LoadConflictError):
        world.run(window=day(1), target={"load_columns": True, "on_reload": "stop"}, **daily)


def test_a_run_goes_on_from_the_highest_value_that_was_loaded(world):
    grown = {
        "source": {"incremental": {"by": "column", "column": "id"}},
        "target": {"mode": "merge", "key": ["id"]},
    }
    assert world.run(**grown).rows_loaded == 3
    for number in range(4, 8):
        world.execute("INSERT INTO people VALUES (%s, 'new', NULL)", number)

    report = world.run(**grown)

    assert report.rows_read == 5  # the highest one is read again
    assert world.copied() == [1, 2, 3, 4, 5, 6, 7]


def test_a_table_and_a_file_are_joined(world):
    (world.folder / "cities.csv").write_text("person,city\n1,Turin\n2,Zug\n")

    report = run_select(world)

    assert report.select.rows_in == {"people": 3, "cities": 2}
    assert world.copied("id, city") == [(1, "Turin"), (2, "Zug")]


def run_select(world):
    pipeline = Pipeline.model_validate(
        {
            "pipeline": "joined",
            "inputs": {
                "people": {"connection": "source", "table": "people"},
                "cities": {"location": "cities.csv", "fields": {"person": "int64"}},
            },
            "select": "SELECT p.id, c.city FROM people p JOIN cities c ON p.id = c.person",
            "target": {"connection": "warehouse", "table": "copied"},
        }
    )
    return run_pipeline(
        pipeline,
        connections=world.connections,
        run_id="joined",
        base=world.folder,
        options=EngineOptions(threads=1, quarantine_home=world.folder / "quarantine"),
        clock=lambda: datetime.now(timezone.utc),
    )


def test_a_view_is_read_as_a_table_is(world):
    world.execute("CREATE VIEW named AS SELECT id, name FROM people WHERE name IS NOT NULL")

    assert world.run(source={"table": "named"}).rows_loaded == 2


def test_a_duckdb_file_is_not_read_and_written_at_once(tmp_path):
    world = World(tmp_path)
    world.execute("CREATE TABLE people (id bigint)")

    with pytest.raises(SpecificationError, match="reads and writes duckdb://"):
        world.run(target={"connection": "source"})


def test_what_is_no_table_is_told(world):
    with pytest.raises(SourceNotFoundError, match="nobody"):
        world.run(source={"table": "nobody"})
    with pytest.raises(SpecificationError):
        world.run(source={"connection": "bucket"})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"table": "t"}, "source.connection: is missing"),
        ({"table": "t", "connection": "c", "location": "a.csv"}, "`location` are given"),
        ({"table": "t", "connection": "c", "format": "csv"}, "belongs to files"),
        ({"table": "t", "connection": "c", "null_values": ["-"]}, "belongs to files"),
        (
            {"table": "t", "connection": "c", "incremental": {"by": "new_files"}},
            "write column or data_interval",
        ),
        ({}, "needs `location`"),
    ],
)
def test_a_source_that_can_not_be_is_refused(source, words):
    with pytest.raises(SpecificationError, match=words):
        Pipeline(pipeline="p", source=source, target={"location": "a.csv", "mode": "replace"})


def test_times_of_sqlite_are_converted_by_the_contract(tmp_path):
    world = World(tmp_path, "sqlite")
    world.execute("CREATE TABLE people (id integer, seen text)")
    for row in ((1, "2026-01-01 10:00:00"), (2, "2026-01-02 10:00:00"), (3, "soon")):
        world.execute("INSERT INTO people VALUES (%s, %s)", *row)
    mapping = {
        "contract": "people",
        "target": {"fields": {"id": "int64", "seen": "timestamp"}},
        "columns": {
            "id": {"from": "id"},
            "seen": {"from": "seen", "convert": {"parse_timestamp": ["%Y-%m-%d %H:%M:%S"]}},
        },
    }
    daily = {"incremental": {"by": "data_interval", "column": "seen"}}

    report = world.run(window=day(2), source=daily, mapping=mapping)

    assert (report.rows_read, report.rows_loaded) == (3, 1)
    assert (report.rows_filtered, report.rows_quarantined) == (1, 1)
    assert world.copied() == [2]


def test_what_sqlite_holds_beside_what_was_declared_is_loaded_as_it_is(tmp_path):
    world = World(tmp_path, "sqlite")
    world.execute("CREATE TABLE people (id integer, whole int, truth boolean, big numeric, raw)")
    world.execute("INSERT INTO people VALUES (1, 5, 1, 9007199254740993, x'00ff')")
    world.execute("INSERT INTO people VALUES (2, 'five', 0, 1.5, NULL)")

    world.run()

    assert world.copied("whole, truth, big, raw") == [
        ("5", True, "9007199254740993", b"\x00\xff"),
        ("five", False, "1.5", None),
    ]


def test_what_is_no_sqlite_file_is_told(tmp_path):
    (tmp_path / "source.db").write_text("no database, but long enough to be looked at" * 50)

    with pytest.raises(SourceError, match=r"SQLITE_NOTADB|DatabaseError"):
        World(tmp_path, "sqlite").run()


def test_text_of_sqlite_in_another_encoding_is_told(tmp_path):
    world = World(tmp_path, "sqlite")
    world.execute("CREATE TABLE people (name text)")
    world.execute("INSERT INTO people VALUES (CAST(x'c328' AS text))")

    with pytest.raises(SourceError, match="can't be read"):
        world.run()
