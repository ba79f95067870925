"""What PostgreSQL refuses: errors of our own classes, without a secret or a row's value."""

from __future__ import annotations

import logging
import traceback
from dataclasses import replace
from urllib.parse import quote

import psycopg2
import pyarrow as pa
import pytest

from airflow_etl_provider.contracts.pipeline import TargetSpec
from airflow_etl_provider.engines.targets import open_target
from airflow_etl_provider.engines.targets.base import WriteSpec
from airflow_etl_provider.engines.targets.postgres import PostgresTarget, parse_postgres_uri
from airflow_etl_provider.exceptions import (
    TargetAuthError,
    TargetDataError,
    TargetMissingError,
    TargetPermissionError,
    TargetUnavailableError,
)
from airflow_etl_provider.operators.batch import NEEDS_A_PERSON

pytestmark = pytest.mark.postgres

ROWS = pa.table({"id": pa.array([1], pa.int64()), "v": pa.array(["hush-hush"])})


def connecting(warehouse, **changed) -> PostgresTarget:
    return PostgresTarget(replace(parse_postgres_uri(warehouse.uri), **changed), table="t")


def everything(error: BaseException) -> str:
    """What a log would show of an error, chained ones included."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


def test_a_wrong_password_is_an_error_of_login(warehouse) -> None:
    wrong = "s3c/@:r3t"
    with pytest.raises(TargetAuthError) as caught:
        connecting(warehouse, password=wrong).schema()
    assert wrong not in everything(caught.value)
    assert quote(wrong, safe="") not in everything(caught.value)


def test_an_unknown_user_is_an_error_of_login(warehouse) -> None:
    with pytest.raises(TargetAuthError):
        connecting(warehouse, login="nobody here").schema()


def test_a_missing_database_is_named(warehouse) -> None:
    with pytest.raises(TargetMissingError, match="no such database"):
        connecting(warehouse, schema="no such database").schema()


@pytest.mark.parametrize("changed", [{"port": 1}, {"host": "no-such-host.invalid"}])
def test_a_server_that_is_not_there_is_unavailable(warehouse, changed: dict) -> None:
    with pytest.raises(TargetUnavailableError) as caught:
        connecting(warehouse, **changed).schema()
    assert "correct" not in everything(caught.value)


def test_a_server_without_tls_is_unavailable_where_tls_is_required(warehouse) -> None:
    with pytest.raises(TargetUnavailableError, match="SSL"):
        connecting(warehouse, extra={"sslmode": "require"}).schema()


def test_a_missing_schema_is_not_created(warehouse) -> None:
    with pytest.raises(TargetMissingError, match="'nowhere' does not exist"):
        warehouse.run("nowhere.t", ROWS, schema=warehouse.fields(id="int64", v="string"))
    assert warehouse.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'nowhere'") == [(0,)]


@pytest.fixture
def reader(warehouse):
    """The same database for a role that owns nothing."""
    warehouse.sql("CREATE ROLE reader LOGIN PASSWORD 'pw'; CREATE TABLE t (id bigint, v text)")
    yield type(warehouse)(warehouse.uri.replace("postgres:correct%20horse", "reader:pw"))
    warehouse.sql("DROP OWNED BY reader; DROP ROLE reader")


def test_a_role_that_may_not_create_the_ledger_is_told_what_to_grant(reader) -> None:
    with pytest.raises(TargetPermissionError, match="GRANT CREATE ON SCHEMA"):
        reader.run("t", ROWS)


def test_a_role_that_may_not_insert_is_told_the_table(warehouse, reader) -> None:
    warehouse.run("t", ROWS)
    warehouse.sql("GRANT SELECT, INSERT, UPDATE ON _etl_loads TO reader")
    with pytest.raises(TargetPermissionError, match="permission denied for table t"):
        reader.run("t", ROWS, load=reader.load_id("b"))
    warehouse.sql("GRANT INSERT ON t TO reader")
    reader.run("t", ROWS, load=reader.load_id("b"))
    with pytest.raises(TargetPermissionError):
        reader.run("t", ROWS, load=reader.load_id("c"), mode="replace")


def test_a_read_only_session_is_an_error_of_permission(warehouse) -> None:
    database = warehouse.uri.rsplit("/")[-1]
    warehouse.sql(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with pytest.raises(TargetPermissionError, match="25006"):
        warehouse.run("t", ROWS)


@pytest.mark.parametrize("mode", ["append", "replace", "merge"])
@pytest.mark.parametrize(
    ("definition", "code"),
    [
        ("id bigint PRIMARY KEY, v varchar(3)", "22001"),
        ("id bigint PRIMARY KEY, v text CHECK (v <> 'hush-hush')", "23514"),
        ("id bigint PRIMARY KEY, v text REFERENCES other", "23503"),
        ("id bigint PRIMARY KEY, v text REFERENCES other DEFERRABLE INITIALLY DEFERRED", "23503"),
        ("id bigint PRIMARY KEY, v jsonb", "22P02"),
        ("id bigint PRIMARY KEY, v inet", "22P02"),
    ],
)
def test_errors_hold_codes_and_names_but_no_values(
    warehouse, caplog, mode: str, definition: str, code: str
) -> None:
    caplog.set_level(logging.DEBUG)
    warehouse.sql(f"CREATE TABLE other (v text PRIMARY KEY); CREATE TABLE t ({definition})")
    with pytest.raises(TargetDataError, match=f"SQLSTATE {code}") as caught:
        warehouse.run("t", ROWS, mode=mode, key=("id",))
    assert "hush" not in everything(caught.value) + caplog.text
    assert warehouse.sql("SELECT count(*) FROM t") == [(0,)]
    assert warehouse.target("t").ledger() == []


def test_a_double_key_names_its_constraint(warehouse) -> None:
    warehouse.sql("CREATE TABLE t (id bigint, v text CONSTRAINT only_once UNIQUE)")
    with pytest.raises(TargetDataError, match="constraint 'only_once'") as caught:
        warehouse.run("t", pa.concat_tables([ROWS, ROWS]))
    assert "hush" not in everything(caught.value)


def test_a_trigger_that_raises_row_values_is_redacted(warehouse) -> None:
    warehouse.sql(
        "CREATE TABLE t (id bigint, v text); "
        "CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''not %'', new.v; END'; "
        "CREATE TRIGGER c BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION complain()"
    )
    with pytest.raises(TargetDataError, match="P0001") as caught:
        warehouse.run("t", ROWS)
    assert "hush" not in everything(caught.value)


@pytest.mark.parametrize("value", ["nul\0nul"])
def test_a_nul_character_names_its_column(warehouse, value: str) -> None:
    with pytest.raises(TargetDataError, match="column 'v'"):
        warehouse.run("t", pa.table({"v": [value]}))


@pytest.mark.parametrize(("kind", "value"), [("jsonb", '"hush\\u0000"'), ("text", "hush\0")])
def test_a_nul_character_is_told_with_what_helps(warehouse, kind: str, value: str) -> None:
    warehouse.sql(f"CREATE TABLE t (v {kind})")
    with pytest.raises(TargetDataError, match="a text holds a NUL character or") as caught:
        warehouse.run("t", pa.table({"v": [value]}))
    assert "(`replace`)" in caught.value.hint
    assert "UTF8" not in caught.value.hint
    assert "hush" not in everything(caught.value)


def test_a_lock_that_others_hold_is_waited_for_no_longer_than_told(warehouse) -> None:
    warehouse.run("t", ROWS)
    blocker = psycopg2.connect(warehouse.uri)
    blocker.cursor().execute("LOCK TABLE t IN SHARE MODE")
    target = warehouse.target("t", lock_timeout=0.05)
    with (
        target.begin(
            load=warehouse.load_id("b"), schema=target.schema(), write=WriteSpec("append")
        ) as session,
        pytest.raises(TargetUnavailableError, match="lock_timeout"),
    ):
        warehouse.write_all(session, ROWS)
    blocker.close()


def test_a_statement_that_takes_too_long_is_stopped(warehouse) -> None:
    warehouse.run("t", ROWS)
    blocker = psycopg2.connect(warehouse.uri)
    blocker.cursor().execute("LOCK TABLE t IN SHARE MODE")
    target = warehouse.target("t", statement_timeout=1)
    with (
        target.begin(
            load=warehouse.load_id("b"), schema=target.schema(), write=WriteSpec("append")
        ) as session,
        pytest.raises(TargetUnavailableError, match="statement_timeout"),
    ):
        warehouse.write_all(session, ROWS)
    blocker.close()


MODES = pytest.mark.parametrize("mode", ["append", "replace", "replace_partition", "merge"])


@MODES
@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout"])
def test_a_pipeline_says_how_long_to_wait_and_publishes_nothing_after_that(
    warehouse, mode: str, setting: str
) -> None:
    warehouse.sql("CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    warehouse.run("t", ROWS)
    before = warehouse.sql("SELECT * FROM t ORDER BY id")
    spec = TargetSpec.model_validate(
        {
            "connection": "warehouse",
            "table": "t",
            "mode": mode,
            "key": "id",
            "partition_by": "id",
            setting: "1 second",
        }
    )
    target = open_target(
        spec, connections=lambda _: parse_postgres_uri(warehouse.uri), base=None, pipeline="p"
    )
    blocker = psycopg2.connect(warehouse.uri)
    blocker.cursor().execute("LOCK TABLE t IN SHARE MODE")

    def load() -> None:
        write = WriteSpec(mode, key=("id",), partition_by=("id",))
        spec = {"load": warehouse.load_id("b"), "schema": target.schema(), "write": write}
        with target.begin(**spec) as session:
            warehouse.write_all(session, ROWS)
            session.publish(warehouse.publication(ROWS.num_rows))

    with pytest.raises(TargetUnavailableError, match=setting):
        load()
    blocker.close()
    assert not issubclass(TargetUnavailableError, NEEDS_A_PERSON)
    assert warehouse.sql("SELECT * FROM t ORDER BY id") == before
    assert [entry.load_id for entry in target.ledger()] == ["a" * 32]


def test_the_roles_own_settings_do_not_change_a_load(warehouse) -> None:
    database = warehouse.uri.rsplit("/")[-1]
    warehouse.sql(
        f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'; "
        f"ALTER DATABASE {database} SET timezone = 'Asia/Kolkata'; "
        f"ALTER DATABASE {database} SET datestyle = 'SQL, DMY'; "
        f"ALTER DATABASE {database} SET standard_conforming_strings = off; "
        f"ALTER DATABASE {database} SET client_encoding = 'LATIN1'"
    )
    rows = pa.table({"at": pa.array([0], pa.timestamp("us", tz="UTC")), "v": ["ż\\'"]})
    warehouse.run("t", rows)
    assert warehouse.sql("SELECT extract(epoch FROM at)::int FROM t") == [(0,)]
    assert warehouse.sql("SELECT encode(convert_to(v, 'UTF8'), 'hex') FROM t") == [("c5bc5c27",)]
    assert warehouse.target("t").ledger()[0].published_at.endswith("+00:00")


def test_nothing_that_is_shown_holds_the_password(warehouse, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    target = warehouse.target("t")
    warehouse.run("t", ROWS)
    shown = f"{target!r} {target.name} {parse_postgres_uri(warehouse.uri)!r} {caplog.text}"
    assert "correct" not in shown
    assert target.name.endswith("/t")
    assert target.quarantine_home is None
