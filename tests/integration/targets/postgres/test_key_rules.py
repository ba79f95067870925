"""Look-ups in PostgreSQL: its own types decide what is equal, its own rights who may look."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import run_pipeline
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.engines.targets import parse_target
from airflow_etl_provider.exceptions import (
    EtlError,
    TargetChangedError,
    TargetPermissionError,
    TargetSchemaError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.postgres


class Shop:
    def __init__(self, uri: str, folder: Path) -> None:
        self.uri, self.folder = uri, folder
        self.files = 0

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.uri)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def load(
        self,
        text: str,
        *rules: dict[str, Any],
        uri: str | None = None,
        progress: Callable[[Any], None] | None = None,
        table: str = "orders",
    ) -> list[int]:
        """Append; returns the numbers of the records that were rejected."""
        self.files += 1
        number = self.files
        path = self.folder / f"input-{number}.csv"
        path.write_text(text, encoding="utf-8")
        spec, connections = parse_target(uri or self.uri, table=table)
        pipeline = Pipeline.model_validate(
            {
                "pipeline": "orders",
                "source": {"location": str(path), "format": "csv", "header_rows": 1},
                "target": spec.model_dump(exclude_defaults=True) | {"mode": "append"},
                "rules": list(rules),
                "max_rejected": "none",
                "quarantine": str(self.folder / "quarantine"),
            }
        )
        report = run_pipeline(
            pipeline,
            connections=connections,
            run_id=f"run-{number}",
            clock=lambda: datetime.now(timezone.utc),
            progress=progress,
        )
        assert report.accounted == report.rows_read
        if report.quarantine is None:
            return []
        return [reject.record for reject in read_quarantine(report.quarantine)]


@pytest.fixture
def shop(postgres_server: str, tmp_path: Path) -> Shop:
    return Shop(postgres_server, tmp_path)


UNIQUE = {"column": "k", "unique": True}

ONE = "5f0c3f9e-8e3b-4c57-9f2a-0d7a4f6f1a11"


@pytest.mark.parametrize(
    ("declared", "held", "coming", "rejected"),
    [
        ("text", "'a'", ["a", "A", "a "], [1]),
        ("varchar(3)", "'abc'", ["abc", "abcd", "ab"], [1, 2]),
        ("char(5)", "'ab'", ["ab", "abc"], [1]),
        ("numeric(12,2)", "1.10", ["1.1", "1.10", "1.11"], [1, 2]),
        ("numeric", "1.10", ["1.1", "1.100000000000000001"], [1]),
        ("int2", "7", ["7", "8"], [1]),
        ("int8", "9223372036854775807", ["9223372036854775807", "1"], [1]),
        ("float8", "0.1", ["0.1", "0.2"], [1]),
        ("bool", "true", ["true", "false"], [1]),
        ("date", "'2026-01-02'", ["2026-01-02", "2026-01-03"], [1]),
        ("timestamp(3)", "'2026-01-02 03:04:05.123'", ["2026-01-02 03:04:05.123400"], [1]),
        ("timestamptz", "'2026-01-02 03:04:05+02'", ["2026-01-02 01:04:05+00"], [1]),
        ("time", "'03:04:05'", ["03:04:05", "03:04:06"], [1]),
        ("uuid", f"'{ONE}'", [ONE, ONE.replace("5f0c", "5f0d")], [1]),
        ("kind", "'big'", ["big", "small"], [1]),
        ("short", "'abc'", ["abc", "x"], [1]),
        ("inet", "'10.0.0.1'", ["10.0.0.1", "10.0.0.2"], [1]),
        ("bytea", "'ab'", ["ab", "ac"], [1]),
    ],
)
def test_a_value_is_the_same_as_the_database_has_it(
    shop: Shop, declared: str, held: str, coming: list[str], rejected: list[int]
) -> None:
    shop.execute(
        "CREATE TYPE kind AS ENUM ('small', 'big');"
        "CREATE DOMAIN short AS varchar(5) CHECK (value <> 'never');"
        f"CREATE TABLE orders (n int, k {declared}); INSERT INTO orders VALUES (0, {held})"
    )
    text = "n,k\n" + "".join(f"{n},{value}\n" for n, value in enumerate(coming, 1))
    assert shop.load(text, UNIQUE) == rejected


def test_text_that_ignores_case_is_compared_like_that(shop: Shop) -> None:
    try:
        shop.execute("CREATE EXTENSION citext")
    except psycopg2.Error:
        pytest.skip("this server has no extension citext")
    shop.execute("CREATE TABLE people (mail citext PRIMARY KEY); INSERT INTO people VALUES ('A@b')")
    rule = {"column": "mail", "references": "people.mail"}
    assert shop.load("mail\na@B\nc@d\n", rule) == [2]


@pytest.mark.parametrize("there", ["int2", "int4", "numeric(20,3)", "float8"])
def test_numbers_of_different_types_are_compared_as_numbers(shop: Shop, there: str) -> None:
    shop.execute(f"CREATE TABLE customers (id {there}); INSERT INTO customers VALUES (1), (300)")
    rule = {"column": "customer", "references": "customers.id"}
    assert shop.load("customer\n1\n300\n70000\n", rule) == [3]


def test_what_has_no_equality_is_refused(shop: Shop) -> None:
    shop.execute("CREATE TABLE orders (k jsonb)")
    with pytest.raises(TargetSchemaError, match="'k' is json"):
        shop.load('k\n"{}"\n', UNIQUE)


def test_names_are_found_along_the_search_path_and_quoted_ones_exactly(shop: Shop) -> None:
    shop.execute(
        'CREATE SCHEMA sales; CREATE SCHEMA "Other.One";'
        "CREATE TABLE public.customers (id int); INSERT INTO public.customers VALUES (1);"
        'CREATE TABLE "Other.One"."Group" ("select" int);'
        'INSERT INTO "Other.One"."Group" VALUES (2);'
        "CREATE VIEW sales.seen AS SELECT 3 AS id"
    )
    for reference, known in (
        ("customers.id", 1),
        ('"Other.One".Group.select', 2),
        ("sales.seen.id", 3),
    ):
        rule = {"column": "customer", "references": reference}
        text = "customer\n" + "".join(f"{n}\n" for n in (1, 2, 3))
        rejected = shop.load(text, rule, table=f"sales.to_{known}")
        assert rejected == [n for n in (1, 2, 3) if n != known]


def a_role(shop: Shop, *, temporary: bool) -> str:
    host = urlsplit(shop.uri)
    database = host.path[1:]
    role = f"loader_{database}"
    shop.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT CREATE, USAGE ON SCHEMA public TO {role};"
        + ("" if temporary else f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC;")
        + "CREATE TABLE customers (id int); INSERT INTO customers VALUES (1)"
    )
    return f"postgresql://{role}:pw@{host.hostname}:{host.port}/{database}"


def drop_role(shop: Shop) -> None:
    role = f"loader_{urlsplit(shop.uri).path[1:]}"
    shop.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_role_that_may_not_see_the_other_table_is_told(shop: Shop) -> None:
    uri = a_role(shop, temporary=True)
    try:
        with pytest.raises(TargetPermissionError, match="customers"):
            shop.load(
                "customer\n1\n", {"column": "customer", "references": "customers.id"}, uri=uri
            )
    finally:
        drop_role(shop)


def test_without_temporary_tables_a_table_of_the_transaction_holds_the_keys(shop: Shop) -> None:
    uri = a_role(shop, temporary=False)
    try:
        shop.execute(f"GRANT SELECT ON customers TO {urlsplit(uri).username}")
        rule = {"column": "customer", "references": "customers.id"}
        assert shop.load("customer\n1\n2\n", rule, uri=uri) == [2]
        left = shop.execute("SELECT relname FROM pg_class WHERE relname LIKE '\\_etl\\_keys%'")
        assert left == []
    finally:
        drop_role(shop)


def test_of_two_loads_at_once_with_one_key_the_second_to_publish_runs_again(shop: Shop) -> None:
    shop.execute("CREATE TABLE orders (k int, of text)")
    both = threading.Barrier(2, timeout=60)
    outcome: list[str] = []

    def meet(progress: Any) -> None:
        if progress.stage == "publishing":
            both.wait()

    def one(name: str) -> None:
        text = f"k,of\n1,{name}\n2,{name}\n"
        try:
            shop.load(text, UNIQUE, progress=meet)
            outcome.append("published")
        except TargetChangedError:
            outcome.append("refused")

    threads = [threading.Thread(target=one, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome) == ["published", "refused"]
    assert [k for (k,) in shop.execute("SELECT k FROM orders ORDER BY k")] == [1, 2]


def test_of_two_loads_at_once_into_a_table_that_is_missing_each_key_arrives_once(
    shop: Shop,
) -> None:
    failures: list[EtlError] = []

    def one(name: str) -> None:
        try:
            shop.load(f"k,of\n1,{name}\n2,{name}\n", UNIQUE)
        except EtlError as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(error, TargetChangedError) for error in failures), failures
    assert [k for (k,) in shop.execute("SELECT k FROM orders ORDER BY k")] == [1, 2]


def test_a_lookup_leaves_no_session_and_no_lock(shop: Shop) -> None:
    shop.execute("CREATE TABLE orders (k int); INSERT INTO orders VALUES (1)")
    assert shop.load("k\n1\n2\n", UNIQUE) == [1]
    others = shop.execute(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert others == [(0,)]
