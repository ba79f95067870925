"""Airflow connections as the core sees them."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection as AirflowConnection

from airflow_etl_provider.exceptions import ConnectionNotFoundError, SpecificationError
from airflow_etl_provider.hooks.connections import find_airflow_connection, to_core_connection


def test_every_part_is_carried_over(monkeypatch):
    given = {
        "conn_type": "postgres",
        "host": "db",
        "port": 5432,
        "login": "me",
        "password": "hunter2-and-more",
        "schema": "shop",
        "extra": {"sslmode": "require"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_PARTS", json.dumps(given))

    found = find_airflow_connection("parts")

    assert (found.kind, found.host, found.port) == ("postgres", "db", 5432)
    assert (found.login, found.password, found.schema) == ("me", "hunter2-and-more", "shop")
    assert found.extra == {"sslmode": "require"}
    assert "hunter2" not in repr(found)


def test_a_connection_that_nobody_defined_is_a_mistake_of_the_specification():
    with pytest.raises(ConnectionNotFoundError, match="AIRFLOW_CONN_NOBODY_DEFINED_IT"):
        find_airflow_connection("nobody_defined_it")


@pytest.mark.parametrize("extra", ["{broken hunter2", '["hunter2"]'])
def test_an_extra_that_is_no_object_is_refused_without_being_shown(extra):
    with pytest.raises(SpecificationError, match="not a JSON object") as refused:
        to_core_connection(AirflowConnection(conn_id="c", conn_type="fs", extra=extra))

    assert "hunter2" not in str(refused.value)
