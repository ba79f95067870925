"""Connections in the environment mean to the command what they mean to Airflow."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection as AirflowConnection
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.cli.connections import find_connection, read_connection
from airflow_etl_provider.exceptions import ConnectionNotFoundError, SpecificationError
from airflow_etl_provider.hooks.connections import to_core_connection

text = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8
)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9.-]{0,10}", fullmatch=True)


def as_airflow_reads(name: str, uri: str) -> object:
    return to_core_connection(AirflowConnection.from_uri(uri, conn_id=name))


@given(
    kind=st.sampled_from(["postgres", "duckdb", "aws", "fs", "google_cloud_platform"]),
    host=st.none() | names,
    login=st.none() | text,
    password=st.none() | text,
    schema=st.none() | text,
    port=st.none() | st.integers(1, 65535),
    extra=st.none() | st.dictionaries(names, text, max_size=3),
)
def test_a_uri_that_airflow_writes_is_read_as_airflow_reads_it(
    kind, host, login, password, schema, port, extra
):
    written = AirflowConnection(
        conn_id="c",
        conn_type=kind,
        host=host,
        login=login,
        password=password,
        schema=schema,
        port=port if host else None,
        extra=json.dumps(extra) if extra else None,
    ).get_uri()

    ours = read_connection("c", written, variable="AIRFLOW_CONN_C")

    assert ours == as_airflow_reads("c", written)
    assert ours.password == (password if login is not None or password else None)


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://me:p%40ss@db.example.com:5432/shop?sslmode=require",
        "postgres://me@%2Fvar%2Frun%2Fpostgresql/shop",
        "duckdb:////data/warehouse.duckdb",
        "duckdb:///relative.duckdb",
        "duckdb://%2Fdata%2Fwarehouse.duckdb",
        "http://https%3A%2F%2Fexample.com/",
        "aws://?region_name=eu-central-1",
        "fs:///?path=%2Fdata",
        "google-cloud-platform://?extra__project=x",
        "aws://?__extra__=%7B%22a%22%3A+%7B%22b%22%3A+1%7D%7D",
        "postgres://Host.With.Case/db",
    ],
)
def test_uris_that_people_write_are_read_as_airflow_reads_them(uri):
    assert read_connection("c", uri, variable="V") == as_airflow_reads("c", uri)


def test_json_is_read_as_airflow_reads_it():
    given_json = json.dumps(
        {
            "conn_type": "postgres",
            "host": "db",
            "port": "5432",
            "login": "me",
            "password": "s3cret",
            "schema": "shop",
            "extra": {"sslmode": "require"},
        }
    )

    ours = read_connection("c", given_json, variable="V")

    assert ours == to_core_connection(AirflowConnection.from_json(given_json, conn_id="c"))


@pytest.mark.parametrize(
    "broken", ["{not json s3cret", "s3cret", "://s3cret", "postgres://u:s3cret@h:port/d"]
)
def test_what_is_no_connection_is_refused_without_being_shown(broken):
    with pytest.raises(SpecificationError) as refused:
        read_connection("c", broken, variable="AIRFLOW_CONN_C")

    assert "AIRFLOW_CONN_C" in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_a_missing_connection_says_where_to_define_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AIRFLOW_HOME", "AIRFLOW_CONN_WAREHOUSE"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(ConnectionNotFoundError, match="AIRFLOW_CONN_WAREHOUSE"):
        find_connection("warehouse")


def test_the_environment_is_asked_before_airflow(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "duckdb:////data/w.duckdb")

    assert find_connection("warehouse").host == "/data/w.duckdb"
