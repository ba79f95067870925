"""A load that waits for somebody else's lock can be stopped, and first loads can begin at once."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import run_pipeline
from airflow_etl_provider.engines.targets.postgres import parse_postgres_uri
from airflow_etl_provider.engines.targets.postgres.catalog import Place
from airflow_etl_provider.engines.targets.postgres.client import PostgresClient
from airflow_etl_provider.engines.targets.postgres.ledger import PostgresLedger
from airflow_etl_provider.exceptions import EtlError

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.postgres

WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"


def wait_until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def waits(warehouse) -> bool:
    return bool(warehouse.sql(WAITING, psycopg2.extensions.parse_dsn(warehouse.uri)["dbname"]))


@pytest.mark.parametrize("mode", ["append", "replace"], ids=["while writing", "while publishing"])
def test_a_load_that_waits_for_a_lock_stops_when_it_is_told_to(warehouse, tmp_path, mode) -> None:
    warehouse.sql("CREATE TABLE t (id bigint)")
    (tmp_path / "a.csv").write_text("id\n1\n")
    pipeline = Pipeline.model_validate(
        {
            "pipeline": "p",
            "source": {"location": "a.csv"},
            "target": {"connection": "w", "table": "t", "mode": mode},
        }
    )
    told, errors = threading.Event(), []

    def load() -> None:
        try:
            run_pipeline(
                pipeline,
                connections=lambda name: parse_postgres_uri(warehouse.uri, name=name),
                run_id="r",
                base=tmp_path,
                clock=lambda: datetime.now(timezone.utc),
                cancel=told.is_set,
            )
        except EtlError as error:
            errors.append(error)

    with closing(psycopg2.connect(warehouse.uri)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=load)
        thread.start()
        wait_until(lambda: waits(warehouse))
        told.set()
        thread.join(60)
        # The table is locked still.
        assert not thread.is_alive()

    assert len(errors) == 1
    assert warehouse.sql("SELECT * FROM t") == []
    assert warehouse.sql("SELECT * FROM _etl_loads WHERE status = 'published'") == []


def test_first_loads_of_two_tables_of_a_schema_may_begin_at_once(warehouse) -> None:
    connection = parse_postgres_uri(warehouse.uri)
    failures: list[BaseException] = []

    def client() -> PostgresClient:
        return PostgresClient(connection, where="w", timeouts={})

    def ledger(table: str) -> PostgresLedger:
        return PostgresLedger(Place(schema="public", table=table, may_use_temporary=True))

    def begin_second() -> None:
        try:
            with closing(client()) as second:
                second.start()
                ledger("b").ensure(second)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            failures.append(error)

    with closing(client()) as first:
        first.start()
        ledger("a").ensure(first)
        thread = threading.Thread(target=begin_second)
        thread.start()
        wait_until(lambda: waits(warehouse))
        first.commit()
        thread.join(60)

    assert failures == []
