"""Connections to URIs and back."""

from __future__ import annotations

import psycopg2.extensions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.engines.targets.postgres.uri import (
    parse_postgres_uri,
    postgres_uri,
    server_of,
)
from airflow_etl_provider.exceptions import SpecificationError

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(host=TEXT, login=TEXT, password=TEXT, database=TEXT, port=st.integers(1, 65535))
def test_libpq_reads_what_we_write(host, login, password, database, port) -> None:
    connection = Connection("c", "postgres", host, port, login, password, database)
    read = psycopg2.extensions.parse_dsn(postgres_uri(connection))
    assert (read["host"], read["user"], read["password"]) == (host, login, password)
    assert (read["dbname"], read["port"]) == (database, str(port))
    assert read["application_name"] == "airflow_etl_provider"


@given(login=TEXT, password=TEXT, database=TEXT)
def test_a_written_uri_is_read_again(login, password, database) -> None:
    connection = Connection("c", "postgres", "h", 5433, login, password, database)
    again = parse_postgres_uri(postgres_uri(connection), name="c")
    assert (again.host, again.port, again.login) == ("h", 5433, login)
    assert (again.password, again.schema) == (password, database)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("postgresql://u:p%40%2Fw@db.local:5433/shop", ("db.local", 5433, "u", "p@/w", "shop")),
        ("postgres://db.local", ("db.local", None, None, None, None)),
        ("postgresql://u@[::1]:5433/shop", ("::1", 5433, "u", None, "shop")),
        ("postgresql:///shop?host=/run/pg&user=u", ("/run/pg", None, "u", None, "shop")),
        ("postgresql://%2Frun%2Fpg/shop", ("/run/pg", None, None, None, "shop")),
        ("postgresql://", (None, None, None, None, None)),
    ],
)
def test_uris_as_people_write_them(uri: str, expected: tuple) -> None:
    read = parse_postgres_uri(uri)
    assert (read.host, read.port, read.login, read.password, read.schema) == expected


def test_what_libpq_knows_is_passed_on() -> None:
    read = parse_postgres_uri("postgresql://h/d?sslmode=verify-full&sslrootcert=/ca.pem")
    assert read.extra == {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}
    assert "sslmode=verify-full" in postgres_uri(read)


@pytest.mark.parametrize(
    "uri", ["mysql://u:secret@h/d", "postgresql://u:secret@h/d#x", "postgresql://u:secret@h:port/d",
            "postgresql://u:secret@h/d?x", "postgresql://u:secret@[::1/d"]
)  # fmt: skip
def test_what_is_no_uri_is_refused_without_repeating_it(uri: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        parse_postgres_uri(uri)
    assert "secret" not in str(caught.value)


def test_an_extra_that_postgresql_does_not_know_is_an_error() -> None:
    connection = Connection("c", "postgres", extra={"ssl_mode": "require"})
    with pytest.raises(SpecificationError, match="'ssl_mode'"):
        postgres_uri(connection)


def test_extras_of_airflows_own_hook_are_left_out() -> None:
    connection = Connection("c", "postgres", extra={"cursor": "dictcursor", "iam": False})
    assert "cursor" not in postgres_uri(connection)
    with pytest.raises(SpecificationError, match="IAM"):
        postgres_uri(Connection("c", "postgres", extra={"iam": True}))


def test_what_is_shown_holds_neither_login_nor_password() -> None:
    connection = Connection("c", "postgres", "h", 5433, "login", "password", "shop")
    assert server_of(connection) == "postgresql://h:5433/shop"
