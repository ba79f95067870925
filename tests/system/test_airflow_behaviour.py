"""What a retry, a clear, a backfill, a kill means for the target: with a real scheduler.

One Airflow for the module. Tables are in PostgreSQL, since runs overlap. A task is stopped at a
known place by a lock that the test holds on its table.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import psycopg2
import pytest

from tests.system.airflow_server import AirflowServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import PostgresCluster

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]

DAGS = """
from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, task

from airflow_etl_provider.operators.batch import BatchPipelineOperator

HERE = Path(__file__).parent
DAYS = {"by": "data_interval", "column": "at"}


def pipeline(name, location, *, source=None, **target):
    return {
        "pipeline": name,
        "source": {"location": location, "format": "csv"} | (source or {}),
        "target": {"connection": "warehouse", "table": name} | target,
    }


def daily(dag_id, **options):
    return DAG(
        dag_id,
        schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        end_date=datetime(2026, 1, 3, tzinfo=timezone.utc),
        **{"catchup": False, "max_active_runs": 3} | options,
    )


def load(spec, **options):
    options = {"retries": 1, "retry_delay": timedelta(0)} | options
    return BatchPipelineOperator(task_id="load", pipeline=spec, **options)


with daily("caught_up", catchup=True):
    load(
        pipeline(
            "caught_up",
            "caught_up.csv",
            source={"incremental": DAYS},
            mode="append",
            load_columns=True,
            on_reload="replace_load",
        ),
        outlets=[Asset("caught_up")],
    )

with daily("merged"):
    load(
        pipeline(
            "merged",
            "versions.csv",
            source={"incremental": DAYS},
            mode="merge",
            key=["id"],
            latest_by="at",
        )
    )

with daily("replaced"):
    load(pipeline("replaced", "days.csv", source={"incremental": DAYS}, mode="replace"))

with daily("stopped"):
    load(pipeline("stopped", "stopped.csv", source={"incremental": DAYS}), retries=2)

with DAG("twice", schedule=None):
    load(pipeline("twice", "days.csv"), retries=3, retry_delay=timedelta(seconds=3))

with DAG("mapped", schedule=None):

    @task
    def files():
        return sorted(str(path) for path in HERE.glob("store_*.csv"))

    BatchPipelineOperator.partial(
        task_id="load", pipeline=pipeline("mapped", "overridden.csv")
    ).expand(source_location=files())

for dag_id in ("killed", "frozen", "marked_failed", "marked_success", "cleared"):
    with DAG(dag_id, schedule=None):
        load(pipeline(dag_id, "days.csv"))

with DAG("timed_out", schedule=None):
    load(pipeline("timed_out", "days.csv"), retries=0, execution_timeout=timedelta(seconds=5))
"""

DAYS = "id,at\n1,2026-01-01 10:00:00\n2,2026-01-02 10:00:00\n3,2026-01-03 10:00:00\n"

VERSIONS = """id,at,version
1,2026-01-01 10:00:00,first
1,2026-01-02 10:00:00,second
1,2026-01-03 10:00:00,third
"""

HELD = ("killed", "frozen", "marked_failed", "marked_success", "cleared", "timed_out")
"""Tables that are there before, so that a lock on them holds a load."""

PASSWORD = "correct horse"


class World:
    """Airflow and the database that it loads into."""

    def __init__(self, airflow: AirflowServer, uri: str) -> None:
        self.airflow, self.uri = airflow, uri

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.uri)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()

    def rows(self, table: str, columns: str = "id") -> list[Any]:
        found = self.query(f"SELECT {columns} FROM {table} ORDER BY {columns}")
        return [row[0] if len(row) == 1 else row for row in found]

    def loads(self, table: str) -> int:
        """Published loads of a table, as its ledger has them."""
        sql = "SELECT count(*) FROM _etl_loads WHERE status = 'published' AND pipeline = %s"
        return int(self.query(sql, table)[0][0])

    @contextmanager
    def held(self, *tables: str) -> Iterator[psycopg2.extensions.connection]:
        """Hold loads of tables where they begin to write, until the block ends."""
        with closing(psycopg2.connect(self.uri)) as connection, connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield connection
            connection.rollback()

    def waits(self, table: str) -> bool:
        """Whether a load of the table waits for our lock."""
        sql = (
            "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted "
            "AND l.relation = CAST(%s AS regclass) AND a.application_name LIKE 'etl %%'"
        )
        return bool(self.query(sql, table))

    def started(self, dag_id: str) -> tuple[str, psutil.Process]:
        """Trigger a DAG whose table is held; returns when its task waits there."""
        run_id = self.airflow.trigger(dag_id)
        return run_id, self.waiting(dag_id, run_id)

    def waiting(self, dag_id: str, run_id: str) -> psutil.Process:
        self.airflow.wait_until(lambda: self.waits(dag_id), f"the load of {dag_id} waits")
        return psutil.Process(self.airflow.task(dag_id, run_id)["pid"])


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, postgres_cluster: PostgresCluster
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("behaviour")
    with closing(psycopg2.connect(postgres_cluster.uri("postgres"))) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("DROP DATABASE IF EXISTS behaviour WITH (FORCE)")
            cursor.execute("CREATE DATABASE behaviour")
    uri = postgres_cluster.uri("behaviour")
    with closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
        for table in HELD:
            cursor.execute(f"CREATE TABLE {table} (id bigint, at timestamp)")
        connection.commit()
    connection_of_ours = {
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": postgres_cluster.port,
        "login": "postgres",
        "password": PASSWORD,
        "schema": "behaviour",
    }
    airflow = AirflowServer(
        folder,
        dags=DAGS,
        environment={
            "AIRFLOW_CONN_WAREHOUSE": json.dumps(connection_of_ours),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(folder / "lineage.jsonl"), "append": True}
            ),
        },
    )
    for name, text in (
        ("days", DAYS),
        ("caught_up", DAYS),
        ("stopped", DAYS),
        ("versions", VERSIONS),
        ("store_b", "id\n2\n"),
        ("store_c", "id\n3\n"),
    ):
        write(airflow, name, text)
    try:
        airflow.start()
        airflow.unpause(
            "caught_up", "merged", "replaced", "stopped", "twice", "mapped", *HELD
        )
        yield World(airflow, uri)
    finally:
        airflow.stop()


def write(airflow: AirflowServer, name: str, text: str) -> None:
    (airflow.dags / f"{name}.csv").write_text(text, encoding="utf-8")
