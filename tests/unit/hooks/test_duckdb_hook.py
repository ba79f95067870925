"""The connection type `duckdb` in Airflow's own vocabulary."""

from __future__ import annotations

import json

import pytest

from airflow_etl_provider.hooks.duckdb import DuckDbHook


@pytest.fixture
def hook(tmp_path, monkeypatch):
    connection = {"conn_type": "duckdb", "host": str(tmp_path / "w.duckdb")}
    monkeypatch.setenv("AIRFLOW_CONN_W_HOOK", json.dumps(connection))
    return DuckDbHook(duckdb_conn_id="w_hook")


@pytest.mark.parametrize("autocommit", [True, False])
def test_what_a_statement_wrote_is_there_for_the_next(hook, autocommit):
    hook.run(["create table t (id int)", "insert into t values (1), (2)"], autocommit=autocommit)

    assert hook.get_records("select id from t order by id") == [(1,), (2,)]


def test_rows_can_be_inserted(hook):
    hook.run("create table t (id int, name varchar)")

    hook.insert_rows("t", [(1, "Ada"), (2, "Grace")], target_fields=["id", "name"])

    assert hook.get_first("select count(*) from t") == (2,)


def test_a_file_that_is_not_there_yet_is_no_fault_and_is_not_made(hook, tmp_path):
    answer, message = hook.test_connection()

    assert answer
    assert "the first load creates it" in message
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(monkeypatch, tmp_path):
    path = tmp_path / "missing" / "w.duckdb"
    monkeypatch.setenv(
        "AIRFLOW_CONN_W_FOLDER", json.dumps({"conn_type": "duckdb", "host": str(path)})
    )

    answer, message = DuckDbHook(duckdb_conn_id="w_folder").test_connection()

    assert not answer
    assert "does not exist" in message


def test_a_path_written_as_a_uri_is_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_W_URI", f"duckdb:///{tmp_path}/w.duckdb")

    hook = DuckDbHook(duckdb_conn_id="w_uri")
    hook.run("create table t (id int)")

    assert (tmp_path / "w.duckdb").exists()
    assert hook.get_uri() == f"duckdb:///{tmp_path}/w.duckdb"
