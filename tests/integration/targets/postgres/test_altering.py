"""Columns that are added and widened by a load: in its transaction, and fair to everybody else."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import psycopg2
import pyarrow as pa
import pytest

from airflow_etl_provider.contracts.schema import Field
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.targets.base import WriteSpec
from airflow_etl_provider.engines.targets.postgres import altering
from airflow_etl_provider.exceptions import (
    TargetChangedError,
    TargetPermissionError,
    TargetSchemaError,
    TargetUnavailableError,
)

pytestmark = pytest.mark.postgres

EXTRA = Field("extra", parse_type("string"))
WIDE = Field("n", parse_type("int64"))


def rows(*, start: int = 100, count: int = 3) -> pa.Table:
    return pa.table(
        {
            "id": pa.array(range(start, start + count), pa.int64()),
            "n": pa.array([3_000_000_000] * count, pa.int64()),
            "extra": ["x"] * count,
        }
    )


@pytest.fixture
def table(warehouse):
    warehouse.sql("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
    warehouse.sql("INSERT INTO t VALUES (1, 1)")
    return warehouse


def begin(warehouse, load_id: str = "b", *, mode: str = "append", target=None, **changes: object):
    write = WriteSpec(mode, key=("id",), **({"add_columns": (EXTRA,)} | changes))
    return (target or warehouse.target("t")).begin(
        load=warehouse.load_id(load_id),
        schema=warehouse.fields(id="int64", n="int64", extra="string"),
        write=write,
    )


def columns(warehouse) -> list[tuple]:
    return warehouse.sql(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )


def test_a_column_is_seen_together_with_its_rows_or_not_at_all(table) -> None:
    with begin(table) as session:
        table.write_all(session, rows())
        assert columns(table) == [("id", "bigint"), ("n", "bigint")]
    assert columns(table) == [("id", "bigint"), ("n", "bigint")]
    with begin(table) as session:
        session.publish(table.publication(table.write_all(session, rows())))
    assert columns(table)[2:] == [("extra", "text")]
    assert table.sql("SELECT count(*), count(extra) FROM t") == [(4, 3)]


@pytest.mark.slow
def test_a_kill_between_alter_and_commit_leaves_the_old_table(table) -> None:
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("altering_child.py")), table.uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "altered\n"
    child.kill()
    child.communicate()
    # Waits until the server has noticed, since the dead transaction has the table.
    assert table.sql("SELECT * FROM t") == [(1, 1)]
    with begin(table) as session:
        session.publish(table.publication(table.write_all(session, rows())))
    assert table.sql("SELECT count(extra) FROM t") == [(3,)]


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_two_loads_that_add_the_same_column_at_once_both_come_through(table, mode: str) -> None:
    sessions = [begin(table, load_id, mode=mode) for load_id in ("b", "c")]
    for number, session in enumerate(sessions):
        table.write_all(session, rows(start=100 * (number + 1)))
    publishers = [
        threading.Thread(target=session.publish, args=(table.publication(3),))
        for session in sessions
    ]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    assert table.sql("SELECT count(*), count(extra) FROM t") == [(7, 6)]


def test_a_column_that_somebody_added_with_another_type_stops_the_load(table) -> None:
    with begin(table) as session:
        taken = table.write_all(session, rows())
        table.sql("ALTER TABLE t ADD COLUMN extra integer")
        with pytest.raises(TargetChangedError, match=r"column 'extra' \(integer\) meanwhile"):
            session.publish(table.publication(taken))
    assert table.sql("SELECT * FROM t") == [(1, 1, None)]


def test_a_table_that_somebody_makes_meanwhile_lets_the_load_run_again(warehouse) -> None:
    with begin(warehouse, add_columns=()) as session:
        warehouse.sql("CREATE TABLE t (id integer, n text, extra text)")
        with pytest.raises(TargetChangedError, match=r"(?s)created meanwhile.*Run again"):
            warehouse.write_all(session, rows())
    assert warehouse.sql("SELECT * FROM t") == []


def test_grants_views_and_foreign_keys_survive(table) -> None:
    table.sql(
        "DROP ROLE IF EXISTS etl_reader; CREATE ROLE etl_reader; GRANT SELECT ON t TO etl_reader;"
        "CREATE VIEW v AS SELECT * FROM t;"
        "CREATE TABLE child (t_id bigint REFERENCES t); INSERT INTO child VALUES (1)"
    )
    try:
        with begin(table) as session:
            session.publish(table.publication(table.write_all(session, rows())))
        assert table.sql("SELECT * FROM v ORDER BY id LIMIT 1") == [(1, 1)]
        assert table.sql("SELECT has_table_privilege('etl_reader', 't', 'SELECT')") == [(True,)]
        assert table.sql("SELECT count(*) FROM child JOIN t ON t.id = t_id") == [(1,)]
    finally:
        table.sql("DROP TABLE child; DROP VIEW v; DROP TABLE t; DROP ROLE etl_reader")


def test_readers_come_through_while_a_long_query_keeps_the_column_out(
    table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(altering, "LOCK_TRY", 20)
    long = psycopg2.connect(table.uri)
    long.cursor().execute("SELECT * FROM t")
    with begin(table) as session:
        taken = table.write_all(session, rows())
        publisher = threading.Thread(target=session.publish, args=(table.publication(taken),))
        publisher.start()
        for _ in range(20):
            table.sql("SET lock_timeout = '5s'; SELECT count(*) FROM t")
        assert publisher.is_alive()
        long.close()
        publisher.join()
    assert columns(table)[2:] == [("extra", "text")]


def test_a_table_that_is_never_free_ends_the_load_after_the_lock_timeout(table) -> None:
    long = psycopg2.connect(table.uri)
    long.cursor().execute("SELECT * FROM t")
    with begin(table, target=table.target("t", lock_timeout=0.1)) as session:
        taken = table.write_all(session, rows())
        with pytest.raises(TargetUnavailableError, match="55P03"):
            session.publish(table.publication(taken))
    long.close()
    assert columns(table) == [("id", "bigint"), ("n", "bigint")]


@pytest.fixture
def narrow(warehouse):
    warehouse.sql("CREATE TABLE t (id bigint PRIMARY KEY, n integer, extra text)")
    warehouse.sql("INSERT INTO t VALUES (1, 1)")
    return warehouse


WIDEN = {"add_columns": (), "widen_columns": (WIDE,)}


@pytest.mark.parametrize("mode", ["append", "replace", "merge"])
def test_a_column_is_widened_with_its_rows(narrow, mode: str) -> None:
    with begin(narrow, mode=mode, **WIDEN) as session:
        session.publish(narrow.publication(narrow.write_all(session, rows())))
    assert columns(narrow)[1] == ("n", "bigint")
    assert narrow.sql("SELECT max(n) FROM t") == [(3_000_000_000,)]


def test_a_column_that_a_view_uses_is_refused_before_the_first_row(narrow) -> None:
    narrow.sql("CREATE VIEW v AS SELECT n FROM t")
    with pytest.raises(TargetSchemaError, match="have to be bigint, but a view uses it"):
        begin(narrow, **WIDEN)


def test_a_large_table_is_not_written_again(narrow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(altering, "REWRITE_LIMIT", 0)
    with pytest.raises(TargetSchemaError, match=r"ALTER TABLE .* TYPE bigint"):
        begin(narrow, **WIDEN)
    narrow.sql("ALTER TABLE t ALTER COLUMN extra TYPE varchar(3)")
    longer = {"add_columns": (), "widen_columns": (Field("extra", parse_type("string(9)")),)}
    with begin(narrow, **longer) as session:
        small = rows().set_column(1, "n", pa.array([1, 2, 3], pa.int64()))
        session.publish(narrow.publication(narrow.write_all(session, small)))
    assert columns(narrow)[2] == ("extra", "character varying(9)")


def test_who_is_not_the_owner_is_told_before_the_first_row(table) -> None:
    table.sql("DROP ROLE IF EXISTS etl_loader; CREATE ROLE etl_loader LOGIN PASSWORD 'x'")
    table.sql("GRANT ALL ON t TO etl_loader; GRANT ALL ON SCHEMA public TO etl_loader")
    try:
        table.sql("ALTER TABLE IF EXISTS _etl_loads OWNER TO etl_loader")
        parts = psycopg2.extensions.parse_dsn(table.uri)
        uri = psycopg2.extensions.make_dsn(**(parts | {"user": "etl_loader", "password": "x"}))
        other = type(table)(_uri_of(uri))
        with pytest.raises(TargetPermissionError, match="only its owner may alter it"):
            begin(other)
    finally:
        table.sql("DROP OWNED BY etl_loader; DROP ROLE etl_loader")


def _uri_of(dsn: str) -> str:
    parts = psycopg2.extensions.parse_dsn(dsn)
    host = parts["host"].replace("/", "%2F")
    return (
        f"postgresql://{parts['user']}:{parts['password']}@{host}:{parts['port']}/{parts['dbname']}"
    )
