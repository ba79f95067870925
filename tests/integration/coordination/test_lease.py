"""A lease is one's own while it is renewed; a zombie that lost it is kept out by the target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import psycopg2
import pytest

from airflow_etl_provider.coordination.lease import hold_lease
from airflow_etl_provider.exceptions import LeaseTakenError, MetadataUnavailableError
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import LeaseRecord
from airflow_etl_provider.metadata.sql import SqlStore


@pytest.fixture
def store(empty_metadata):
    migrate(empty_metadata)
    return SqlStore(empty_metadata)


def test_a_lease_is_held_renewed_and_given_back(store):
    with hold_lease(store, "orders", holder="a", duration=0.6) as held:
        time.sleep(1.2)  # twice as long as it holds without being renewed
        assert not held.lost
        with (
            pytest.raises(LeaseTakenError, match="orders"),
            hold_lease(store, "orders", holder="b"),
        ):
            pass
    with hold_lease(store, "orders", holder="b") as taken:
        assert taken.token > held.token


def test_one_waits_for_the_other(store):
    entered = threading.Event()
    leave = threading.Event()

    def first():
        with hold_lease(store, "orders", holder="a"):
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(30)
    threading.Timer(0.2, leave.set).start()
    with hold_lease(store, "orders", holder="b", wait=30) as held:
        assert held.token == 2
    thread.join()


def test_it_is_given_back_when_the_work_fails(store):
    with pytest.raises(ZeroDivisionError), hold_lease(store, "orders", holder="a"):
        raise ZeroDivisionError

    with hold_lease(store, "orders", holder="b"):
        pass


def test_who_loses_it_is_told(store):
    told = threading.Event()
    with hold_lease(store, "orders", holder="a", duration=0.3, on_lost=told.set) as held:
        (record,) = store.find(Query(LeaseRecord)).items
        store.release_lease(record)
        assert told.wait(30)
        assert held.lost


def test_a_store_that_is_away_stops_nobody():
    class Away:
        def take_lease(self, *_, **__):
            raise MetadataUnavailableError("away")

    with hold_lease(Away(), "orders", holder="a") as held:
        assert held.token is None
        assert not held.lost


LOAD = """
import json, sys, time
from datetime import datetime, timezone
from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.coordination.lease import hold_lease
from airflow_etl_provider.engines.batch import run_pipeline
from airflow_etl_provider.exceptions import EtlError
from airflow_etl_provider.metadata.sql import SqlStore
from airflow_etl_provider.engines.targets.postgres.uri import parse_postgres_uri

holder, store, target, source, pause = sys.argv[1:]
pipeline = Pipeline.model_validate({
    "pipeline": "orders",
    "source": {"location": source, "format": "csv"},
    "target": {"connection": "warehouse", "table": "orders", "mode": "merge", "key": ["id"]},
})

def progress(now):
    # The target has handed out its epoch, all rows are staged, and nothing is published yet.
    if pause == "pause" and now.stage == "publishing":
        print("ready", flush=True)
        sys.stdin.readline()

with hold_lease(SqlStore(store), "pipeline orders", holder=holder, duration=1.5, wait=60):
    try:
        report = run_pipeline(
            pipeline,
            connections=lambda name: parse_postgres_uri(target, name=name),
            run_id=holder,
            clock=lambda: datetime.now(timezone.utc),
            progress=progress,
        )
        print("done", report.rows_loaded, flush=True)
    except EtlError as error:
        print("refused", error.code, flush=True)
"""


@pytest.mark.postgres
def test_a_zombies_late_write_is_refused_by_the_target(postgres_server, tmp_path):
    store = SqlStore(f"sqlite:///{tmp_path}/metadata.db")
    migrate(store.engine)
    url = f"sqlite:///{tmp_path}/metadata.db"
    with closing(psycopg2.connect(postgres_server)) as connection:
        connection.cursor().execute("CREATE TABLE orders (id bigint PRIMARY KEY)")
        connection.commit()
    (tmp_path / "orders.csv").write_text("id\n1\n2\n")

    def load(holder, source, pause):
        return subprocess.Popen(
            [sys.executable, "-c", LOAD, holder, url, postgres_server, str(source), pause],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    zombie = load("a", tmp_path / "orders.csv", "pause")
    assert zombie.stdout.readline().strip() == "ready"
    os.kill(zombie.pid, signal.SIGSTOP)
    # Its lease runs out while it sleeps; the successor has the same load to do.
    successor = load("b", tmp_path / "orders.csv", "go")
    outcome, _ = successor.communicate(timeout=120)
    os.kill(zombie.pid, signal.SIGCONT)
    late, _ = zombie.communicate("\n", timeout=120)

    with closing(psycopg2.connect(postgres_server)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM orders ORDER BY id")
        rows = cursor.fetchall()
    assert outcome.split() == ["done", "2"]
    # By its epoch, or because the successor ended its session, which stood in the way.
    assert late.split() in (["refused", "fenced"], ["refused", "target_unavailable"])
    assert rows == [(1,), (2,)]
