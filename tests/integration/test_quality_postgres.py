"""What is PostgreSQL's own about a check: odd values, rights, snapshots, who else is there."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from airflow_etl_provider.contracts.quality import QualityCheck
from airflow_etl_provider.engines.batch import EngineOptions
from airflow_etl_provider.engines.quality import check_quality
from airflow_etl_provider.engines.targets import parse_target
from airflow_etl_provider.exceptions import SourceError, TargetPermissionError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.quality import QualityReport

pytestmark = pytest.mark.postgres


def execute(uri: str, sql: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(uri)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def check(uri: str, folder: Path, *rules: dict[str, Any], **more: Any) -> QualityReport:
    spec, connections = parse_target(uri, table="things")
    return check_quality(
        QualityCheck.model_validate(
            {"check": "c", "connection": spec.connection, "table": "things", "rules": list(rules)}
            | more
        ),
        connections=connections,
        run_id="run",
        options=EngineOptions(quarantine_home=folder / "quarantine"),
        clock=lambda: datetime.now(timezone.utc),
    )


@pytest.mark.parametrize(
    ("declared", "values", "rule", "violations"),
    [
        ("timestamptz", "('infinity'), ('-infinity'), (NULL)", {"not_null": True}, 1),
        ("date", "('infinity'), ('0044-03-15 BC'), (NULL)", {"not_null": True}, 1),
        ("timestamp", "('20000-01-01'), ('0044-03-15 BC')", {"unique": True}, 0),
        ("numeric", "(1.5), (12345678901234567890), (NULL)", {"between": [0, 2]}, 1),
        ("numeric(5,1)", "(1.5), (2.5)", {"in_set": ["1.5"]}, 1),
        ("char(4)", "('ab'), ('abcd')", {"length": [2, 2]}, 1),
        ("citizen", "('a'), ('abc')", {"length": [1, 1]}, 1),
        ("mood", "('sad'), ('ok')", {"in_set": ["ok"]}, 1),
        ("inet", "('10.0.0.1'), ('::1')", {"matches": "ipv4"}, 1),
        ("float8", "('NaN'), ('Infinity'), (1)", {"between": [0, 2]}, 2),
        ("interval", "('1 day'), (NULL)", {"not_null": True}, 1),
        ("bytea", r"('\x00ff'), (NULL)", {"not_null": True}, 1),
        ("numeric(6,2)[]", "('{1.5,2}'), (NULL)", {"not_null": True}, 1),
        ("point", "('(1,2)'), (NULL)", {"not_null": True}, 1),
    ],
)
def test_odd_values_are_read(
    postgres_server: str,
    tmp_path: Path,
    declared: str,
    values: str,
    rule: dict[str, Any],
    violations: int,
) -> None:
    execute(
        postgres_server,
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN citizen AS varchar(9);"
        f"CREATE TABLE things (v {declared}); INSERT INTO things VALUES {values}",
    )
    report = check(postgres_server, tmp_path, {"column": "v"} | rule)
    assert [one.violations for one in report.rules] == [violations]


def test_a_number_that_no_type_of_ours_holds_is_told_without_the_number(
    postgres_server: str, tmp_path: Path
) -> None:
    execute(postgres_server, "CREATE TABLE things (v numeric); INSERT INTO things VALUES ('NaN')")
    with pytest.raises(SourceError) as failure:
        check(postgres_server, tmp_path, {"column": "v", "not_null": True})
    assert "NaN" not in str(failure.value)


def test_who_may_not_read_is_told(postgres_server: str, tmp_path: Path) -> None:
    database = postgres_server.rpartition("/")[2]
    role = f"reader_{database}"
    execute(postgres_server, f"CREATE TABLE things (v int); CREATE ROLE {role} LOGIN PASSWORD 'pw'")
    try:
        uri = postgres_server.replace("postgres:correct%20horse", f"{role}:pw")
        with pytest.raises(TargetPermissionError, match="things"):
            check(uri, tmp_path, {"column": "v", "not_null": True})
    finally:
        execute(postgres_server, f"DROP ROLE {role}")


def test_a_check_needs_no_more_than_to_read(postgres_server: str, tmp_path: Path) -> None:
    execute(
        postgres_server,
        "CREATE TABLE things (v int); INSERT INTO things VALUES (1), (1);"
        "ALTER DATABASE "
        + postgres_server.rpartition("/")[2]
        + " SET default_transaction_read_only = on",
    )
    report = check(postgres_server, tmp_path, {"column": "v", "unique": True})
    assert report.rows_violating == 1


def test_a_condition_on_a_time_is_left_to_the_database(
    postgres_server: str, tmp_path: Path
) -> None:
    execute(
        postgres_server,
        "CREATE TABLE things (v int, at timestamptz);"
        "INSERT INTO things SELECT i, timestamptz '2026-01-01 00:00Z' + i * interval '1 hour' "
        "FROM generate_series(0, 47) t(i)",
    )
    where = "at >= '2026-01-02T00:00:00+00:00' and v <> 30"
    report = check(postgres_server, tmp_path, {"column": "v", "not_null": True}, where=where)
    # A day was read; of it our own engine left one row out.
    assert (report.rows_checked, report.rows_filtered) == (23, 1)


def test_a_check_leaves_no_session(postgres_server: str, tmp_path: Path) -> None:
    execute(postgres_server, "CREATE TABLE things (v int); CREATE TABLE t (id int)")
    check(postgres_server, tmp_path, {"column": "v", "references": "t.id"})
    others = execute(
        postgres_server,
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert others == [(0,)]
