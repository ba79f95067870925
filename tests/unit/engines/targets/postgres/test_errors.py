"""SQLSTATE to classes of ours, and what is kept of a message."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_etl_provider.engines.targets.postgres.errors import (
    translate_connect_error,
    translate_error,
)
from airflow_etl_provider.exceptions import (
    TargetAuthError,
    TargetDataError,
    TargetError,
    TargetMissingError,
    TargetPermissionError,
    TargetSchemaError,
    TargetUnavailableError,
)


def error(state: str | None, **details: str) -> SimpleNamespace:
    return SimpleNamespace(
        sqlstate=state,
        details=[(f"PG_DIAG_{key}".encode(), value.encode()) for key, value in details.items()],
    )


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("28P01", TargetAuthError),
        ("42501", TargetPermissionError),
        ("25006", TargetPermissionError),
        ("3D000", TargetMissingError),
        ("3F000", TargetMissingError),
        ("42P01", TargetMissingError),
        ("42703", TargetSchemaError),
        ("42804", TargetSchemaError),
        ("0A000", TargetSchemaError),
        ("08006", TargetUnavailableError),
        ("57P01", TargetUnavailableError),
        ("53100", TargetUnavailableError),
        ("40001", TargetUnavailableError),
        ("40P01", TargetUnavailableError),
        ("55P03", TargetUnavailableError),
        ("22003", TargetDataError),
        ("23505", TargetDataError),
        ("P0001", TargetDataError),
        ("XX000", TargetError),
        (None, TargetUnavailableError),
    ],
)
def test_each_class_of_sqlstate_has_a_class_of_ours(state: str | None, kind: type) -> None:
    found = translate_error(error(state), doing="the rows for", where="t")
    assert type(found) is kind
    assert state is None or f"SQLSTATE {state}" in str(found)


@pytest.mark.parametrize(
    ("doing", "said"),
    [
        ("the ledger of", "was lost while PostgreSQL handled the ledger of db/t."),
        ("a staging table for", "was lost while PostgreSQL handled a staging table for db/t."),
        ("to commit on", "was lost while PostgreSQL was to commit on db/t."),
    ],
)
def test_a_lost_connection_says_at_what(doing: str, said: str) -> None:
    assert said in str(translate_error(error(None), doing=doing, where="db/t"))


@pytest.mark.parametrize("state", ["22P02", "22001", "23505", "23514", "P0001", "XX000", "99999"])
def test_nothing_that_may_quote_a_row_is_kept(state: str) -> None:
    refused = error(
        state,
        MESSAGE_PRIMARY='bad "secret"',
        MESSAGE_DETAIL="Key (id)=(secret) already exists.",
        MESSAGE_HINT="secret",
        CONTEXT='COPY t, line 7, column v: "secret"',
        INTERNAL_QUERY="secret",
        CONSTRAINT_NAME="only_once",
        TABLE_NAME="t",
    )
    found = str(translate_error(refused, doing="the rows for", where="t", columns=["v"]))
    assert "secret" not in found
    assert "constraint 'only_once'" in found
    assert "column 'v'" in found


def test_a_column_is_named_only_if_it_is_one_of_the_loads() -> None:
    refused = error("22003", CONTEXT="COPY t, line 7, column 4711")
    assert "4711" not in str(translate_error(refused, doing="x", where="t", columns=["v"]))


def test_messages_that_name_objects_are_kept() -> None:
    refused = error("42501", MESSAGE_PRIMARY="permission denied for table t")
    assert "permission denied for table t" in str(translate_error(refused, doing="x", where="y"))


def test_a_refused_connect_does_not_repeat_the_password() -> None:
    found = translate_connect_error(
        'IO: [libpq] Failed to connect: odd server says "hush"', where="w", secrets=["hush"]
    )
    assert isinstance(found, TargetUnavailableError)
    assert "hush" not in str(found)
