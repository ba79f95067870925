"""The tables `etl_*`: fresh, upgraded and downgraded ones are the same; who comes twice is safe."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.exceptions import MetadataSchemaError, MetadataUnavailableError
from airflow_etl_provider.metadata.migrate import (
    VERSION_TABLE,
    downgrade,
    migrate,
    migration_sql,
    state_of,
)
from airflow_etl_provider.metadata.records import RunRecord
from airflow_etl_provider.metadata.retention import clean
from airflow_etl_provider.metadata.sql import SqlStore
from airflow_etl_provider.metadata.sql.engine import engine_for
from airflow_etl_provider.metadata.tables import METADATA

REVISIONS = ("0001", "0002", "0003")


def shape(engine, *, schema=None):
    """All that a database says of our tables."""
    found = inspect(engine)
    tables = {}
    for name in sorted(found.get_table_names(schema=schema)):
        if name == VERSION_TABLE:
            continue
        tables[name] = {
            "columns": [
                (c["name"], str(c["type"]), c["nullable"], c["default"])
                for c in found.get_columns(name, schema=schema)
            ],
            "key": found.get_pk_constraint(name, schema=schema),
            "unique": found.get_unique_constraints(name, schema=schema),
            "indexes": sorted(
                (i["name"], str(i["column_names"]), str(i.get("expressions")), i["unique"])
                for i in found.get_indexes(name, schema=schema)
            ),
        }
    return tables


def test_a_fresh_database_gets_all_tables_and_is_current(empty_metadata):
    assert state_of(empty_metadata).condition == "missing"

    state = migrate(empty_metadata)

    assert (state.condition, state.revision) == ("current", REVISIONS[-1])
    assert set(shape(empty_metadata)) == set(METADATA.tables)


@pytest.mark.parametrize("start", REVISIONS)
def test_an_upgrade_gives_the_tables_of_a_fresh_database(empty_metadata, start):
    migrate(empty_metadata)
    fresh = shape(empty_metadata)
    downgrade(empty_metadata, to="base")
    assert shape(empty_metadata) == {}

    assert migrate(empty_metadata, to=start).revision == start
    assert migrate(empty_metadata).condition == "current"

    assert shape(empty_metadata) == fresh


@pytest.mark.parametrize("back_to", REVISIONS[:-1])
def test_a_downgrade_gives_the_tables_of_that_revision_and_goes_forward_again(
    empty_metadata, back_to
):
    migrate(empty_metadata, to=back_to)
    then = shape(empty_metadata)
    migrate(empty_metadata)
    fresh = shape(empty_metadata)

    state = downgrade(empty_metadata, to=back_to)

    assert (state.condition, state.revision) == ("behind", back_to)
    assert shape(empty_metadata) == then
    migrate(empty_metadata)
    assert shape(empty_metadata) == fresh


def test_an_upgrade_keeps_what_is_in_the_tables(empty_metadata):
    migrate(empty_metadata, to="0001")
    with empty_metadata.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO etl_lease (name, holder, token, taken_at, expires_at) VALUES "
                "('orders', 'a', 3, '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
            )
        )

    migrate(empty_metadata)

    with empty_metadata.connect() as connection:
        assert connection.execute(text("SELECT name, token FROM etl_lease")).all() == [
            ("orders", 3)
        ]


def test_migrating_again_changes_nothing(empty_metadata):
    migrate(empty_metadata)
    before = shape(empty_metadata)

    assert migrate(empty_metadata).condition == "current"
    assert shape(empty_metadata) == before


def test_tables_of_a_newer_package_are_left_alone(empty_metadata):
    migrate(empty_metadata)
    with empty_metadata.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    assert state_of(empty_metadata).condition == "ahead"
    with pytest.raises(MetadataSchemaError, match="9999"):
        migrate(empty_metadata)
    with pytest.raises(MetadataSchemaError, match="newer"):
        downgrade(empty_metadata, to="0001")


def test_several_that_migrate_at_once_make_the_tables_once(empty_metadata):
    url = empty_metadata.url.render_as_string(hide_password=False)
    program = (
        "import sys; from airflow_etl_provider.metadata.migrate import migrate; "
        "from airflow_etl_provider.metadata.sql.engine import engine_for; "
        "print(migrate(engine_for(sys.argv[1])).condition)"
    )

    def run(_):
        return subprocess.run(
            [sys.executable, "-c", program, url], capture_output=True, text=True, check=False
        )

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(run, range(4)))

    assert [(d.returncode, d.stdout.strip()) for d in done] == [(0, "current")] * 4, done
    assert set(shape(empty_metadata)) == set(METADATA.tables)


def test_the_statements_can_be_run_by_a_person(empty_metadata):
    if empty_metadata.dialect.name == "sqlite":
        pytest.skip("SQLite's file belongs to whoever runs the command")
    statements = migration_sql(empty_metadata)
    assert "correct horse" not in statements

    with empty_metadata.begin() as connection:
        connection.exec_driver_sql(statements)

    by_hand = shape(empty_metadata)
    assert state_of(empty_metadata).condition == "current"
    assert migration_sql(empty_metadata) == ""
    downgrade(empty_metadata, to="base")
    migrate(empty_metadata)
    assert shape(empty_metadata) == by_hand


@pytest.mark.postgres
def test_a_schema_of_its_own_is_filled_and_no_other(postgres_server):
    engine = engine_for(postgres_server)
    with engine.begin() as connection:
        connection.execute(text('CREATE SCHEMA "Airflow meta"'))

    migrate(engine, schema="Airflow meta", to="0001")
    migrate(engine, schema="Airflow meta")

    assert set(shape(engine, schema="Airflow meta")) == set(METADATA.tables)
    assert shape(engine) == {}
    assert state_of(engine, schema="Airflow meta").condition == "current"
    assert state_of(engine).condition == "missing"
    engine.dispose()


@pytest.mark.postgres
def test_a_role_that_may_not_create_is_told_so(postgres_server):
    admin = engine_for(postgres_server)
    with admin.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS etl_reader"))
        connection.execute(text("CREATE ROLE etl_reader LOGIN PASSWORD 'secret reader'"))
        connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    reader = engine_for(admin.url.set(username="etl_reader", password="secret reader"))

    with pytest.raises(Exception, match="refuses this user") as told:
        migrate(reader)

    assert "secret reader" not in str(told.value)
    assert state_of(admin).condition == "missing"
    reader.dispose()
    admin.dispose()


def test_a_database_that_is_not_there_is_told_without_the_password():
    engine = engine_for("postgresql://etl:hidden@127.0.0.1:9/etl")

    with pytest.raises(MetadataUnavailableError, match=r"127\.0\.0\.1") as told:
        state_of(engine)

    assert "hidden" not in str(told.value)


@pytest.mark.postgres
def test_the_role_of_the_docs_may_do_what_a_task_does_and_no_more(postgres_server):
    page = Path(__file__).parents[3] / "docs" / "metadata.md"
    (statements,) = re.findall(r"```sql\n(CREATE ROLE.*?)```", page.read_text(), re.DOTALL)
    admin = engine_for(postgres_server)
    migrate(admin)
    with admin.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS etl_task")
        connection.exec_driver_sql(statements)
        connection.exec_driver_sql("CREATE TABLE secrets (value text)")
    engine = engine_for(admin.url.set(username="etl_task", password="..."))
    store = SqlStore(engine)
    now = store.now()

    store.record([RunRecord("r", "r", "orders", "load", "done", now, now)])
    facts = {"run_id": "r", "code": "x"}
    store.append_events([new_event("load_failed", key="orders", at=now, facts=facts)])
    assert store.take_lease("orders", holder="a", duration=timedelta(minutes=1)) is not None
    assert clean(engine, now=now + timedelta(days=900), days={"event": 1})[0].records == 1
    assert state_of(engine).condition == "current"
    with pytest.raises(Exception, match="permission denied"), engine.connect() as connection:
        connection.execute(text("SELECT * FROM secrets"))

    engine.dispose()
    with admin.begin() as connection:
        connection.exec_driver_sql("DROP OWNED BY etl_task")
        connection.exec_driver_sql("DROP ROLE etl_task")
    admin.dispose()
