"""`airflow-etl metadata`: migrate, clean, reconcile and doctor, as an operator runs them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from airflow_etl_provider.cli import main
from airflow_etl_provider.metadata.migrate import downgrade, state_of
from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import LoadRecord, RunRecord
from airflow_etl_provider.metadata.sql import SqlStore
from airflow_etl_provider.metadata.sql.engine import engine_for
from airflow_etl_provider.metadata.tables import METADATA

PIPELINE = """\
pipeline: orders
source: { location: orders.csv, format: csv }
target: { connection: warehouse, table: orders }
mapping:
  contract: orders
  target: { fields: { id: int64 } }
  columns: { id: { from: id, convert: parse_int } }
max_rejected: none
"""


@pytest.fixture
def place(tmp_path, monkeypatch, empty_metadata):
    """A folder with a pipeline, and a metadata store that the environment names."""
    (tmp_path / "orders.yaml").write_text(PIPELINE)
    (tmp_path / "notes.yaml").write_text("no: pipeline\n")
    (tmp_path / "orders.csv").write_text("id\n1\nbad\n")
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE",
        json.dumps({"conn_type": "duckdb", "host": str(tmp_path / "warehouse.duckdb")}),
    )
    url = empty_metadata.url
    if url.get_backend_name() == "sqlite":
        connection = {"conn_type": "sqlite", "host": url.database}
    else:
        connection = {
            "conn_type": "postgres",
            "host": url.host,
            "port": url.port,
            "login": url.username,
            "password": url.password,
            "schema": url.database,
        }
    monkeypatch.setenv("AIRFLOW_CONN_ETL_METADATA_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__ETL__QUARANTINE", str(tmp_path / "q"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(capsys, *words):
    code = main(["metadata", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_migrate_makes_the_tables_of_the_connection(place, empty_metadata, capsys):
    assert command(capsys, "migrate", "--dry-run")[0] == 0
    assert state_of(empty_metadata).condition == "missing"

    code, _, said = command(capsys, "migrate")

    assert (code, state_of(empty_metadata).condition) == (0, "current")
    assert "Migrated" in said
    assert "current" in command(capsys, "migrate")[2]
    found = json.loads(command(capsys, "migrate", "--json")[1])
    assert found["after"]["condition"] == "current"


def test_a_run_of_the_command_is_recorded(place, empty_metadata, capsys):
    command(capsys, "migrate")

    assert main(["run", "orders.yaml"]) == 3

    (run,) = SqlStore(empty_metadata).find(Query(RunRecord)).items
    assert (run.pipeline, run.status, run.rows_loaded) == ("orders", "done_with_rejects", 1)


def test_a_run_that_fails_is_recorded_and_one_without_tables_goes_on(
    place, empty_metadata, capsys, caplog
):
    assert main(["run", "orders.yaml"]) == 3
    assert "reconcile" in caplog.text

    command(capsys, "migrate")
    (place / "orders.csv").unlink()
    assert main(["run", "orders.yaml"]) == 1
    (run,) = SqlStore(empty_metadata).find(Query(RunRecord)).items
    assert (run.status, run.error_code) == ("failed", "source_not_found")


def test_reconcile_writes_what_was_not_recorded(place, empty_metadata, capsys):
    assert main(["run", "orders.yaml"]) == 3
    command(capsys, "migrate")

    code, out, said = command(capsys, "reconcile", ".", "--sweep", "--json")

    assert code == 0, said
    done = json.loads(out)
    assert (done["loads"], done["runs"], done["failed"]) == (1, 1, {})
    assert len(SqlStore(empty_metadata).find(Query(LoadRecord)).items) == 1


def test_reconcile_goes_on_after_a_pipeline_that_can_not_be_asked(place, capsys):
    command(capsys, "migrate")
    (place / "other.yaml").write_text(
        PIPELINE.replace("pipeline: orders", "pipeline: other").replace("warehouse", "nowhere")
    )
    main(["run", "orders.yaml"])

    code, out, _ = command(capsys, "reconcile", ".", "--json")

    assert code == 1
    assert list(json.loads(out)["failed"]) == ["other.yaml"]


def test_clean_asks_before_it_takes_anything_away(place, empty_metadata, capsys):
    command(capsys, "migrate")
    old = datetime.now(timezone.utc) - timedelta(days=500)
    store = SqlStore(empty_metadata)
    store.record([RunRecord("old", "old", "orders", "load", "done", old, old)])

    assert command(capsys, "clean")[0] == 2
    code, out, _ = command(capsys, "clean", "--dry-run", "--json", "--tables", "run")
    assert (code, json.loads(out)[0]["records"]) == (0, 1)
    assert command(capsys, "clean", "--yes", "--days", "run:900")[0] == 0
    assert store.get(RunRecord, "old") is not None

    assert command(capsys, "clean", "--yes")[0] == 0
    assert store.get(RunRecord, "old") is None
    assert command(capsys, "clean", "--yes", "--tables", "nothing")[0] == 2


def test_the_doctor_is_content_where_all_is_well(place, capsys):
    command(capsys, "migrate")

    code, out, said = command(capsys, "doctor", ".", "--json")

    assert code == 0, said
    levels = {finding["about"]: finding["level"] for finding in json.loads(out)}
    assert levels["metadata tables"] == levels["connection warehouse"] == "ok"


def test_the_doctor_names_what_is_wrong_and_what_to_do(place, empty_metadata, capsys, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE")
    monkeypatch.setenv("AIRFLOW__ETL__QUARANTINE", "/proc/no/such/place")
    command(capsys, "migrate")
    downgrade(empty_metadata, to="0001")

    code, out, _ = command(capsys, "doctor", ".", "--json")

    assert code == 1
    wrong = {f["about"]: f["advice"] for f in json.loads(out) if f["level"] == "problem"}
    assert set(wrong) == {"quarantine", "metadata tables", "connection warehouse"}
    assert all(wrong.values())


def test_the_doctor_sees_a_role_with_too_many_and_too_few_rights(
    place, empty_metadata, capsys, monkeypatch
):
    if empty_metadata.dialect.name == "sqlite":
        pytest.skip("SQLite knows no roles")
    command(capsys, "migrate")
    with empty_metadata.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS etl_task")
        connection.exec_driver_sql("CREATE ROLE etl_task LOGIN PASSWORD 'task'")
    url = empty_metadata.url.set(username="etl_task", password="task")
    words = ("doctor", "--json", "--url", url.render_as_string(hide_password=False))

    def level():
        found = json.loads(command(capsys, *words)[1])
        return {f["about"]: f["level"] for f in found}.get("rights", "none")

    assert json.loads(command(capsys, *words)[1])
    with empty_metadata.begin() as connection:
        connection.exec_driver_sql("GRANT SELECT ON etl_alembic_version, etl_run TO etl_task")
    assert level() == "problem"
    with empty_metadata.begin() as connection:
        connection.exec_driver_sql(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO etl_task"
        )
        connection.exec_driver_sql("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO etl_task")
    assert level() == "ok"
    SqlStore(engine_for(url)).record(
        [
            RunRecord(
                "a",
                "a",
                "o",
                "load",
                "done",
                datetime.now(timezone.utc),
                datetime.now(timezone.utc),
            )
        ]
    )
    with empty_metadata.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE secrets (value text)")
        connection.exec_driver_sql("GRANT SELECT ON secrets TO etl_task")
    assert level() == "warning"
    with empty_metadata.begin() as connection:
        connection.exec_driver_sql("DROP OWNED BY etl_task")
        connection.exec_driver_sql("DROP ROLE etl_task")


def test_no_secret_of_a_location_gets_into_the_tables(place, empty_metadata, capsys, caplog):
    command(capsys, "migrate")
    secret = "hunter2-and-more"

    main(["load", f"s3://bucket/orders.csv?X-Amz-Signature={secret}", "duckdb:///w.duckdb"])
    main(["load", "orders.csv", f"postgresql://me:{secret}@127.0.0.1:9/db", "--table", "orders"])

    with empty_metadata.connect() as connection:
        everything = [
            str(connection.execute(table.select()).all()) for table in METADATA.sorted_tables
        ]
    assert secret not in "".join(everything)
    assert secret not in caplog.text
    # The second is recorded all the same: its password is part of no location.
    (run,) = SqlStore(empty_metadata).find(Query(RunRecord)).items
    assert run.error_code == "target_unavailable"


def test_parameters_of_a_url_are_in_no_message(place, capsys):
    url = "postgresql://me:hunter2@127.0.0.1:9/db?sslpassword=hunter3"

    for action in (("migrate",), ("doctor",)):
        code, out, said = command(capsys, *action, "--url", url)
        assert code == 1
        assert "127.0.0.1:9/db" in out + said
        assert "hunter" not in out + said
