"""Discovery in a real Airflow: what changed starts DAGs, and ends the sensors that wait."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg2
import pytest

from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import DecisionRecord
from airflow_etl_provider.metadata.sql import SqlStore
from tests.system.airflow_server import AirflowServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import PostgresCluster

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]

DAGS = """
from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, AssetAlias, task

from airflow_etl_provider.operators.discovery import DataDiscoveryOperator
from airflow_etl_provider.sensors.dataset import DatasetFreshnessSensor, SchemaChangeSensor

MOVED = AssetAlias("catalog_moved")
ORDERS = "data/orders.csv"

with DAG("look", schedule=None):
    DataDiscoveryOperator(task_id="load", locations=["data/"], outlets=[MOVED])

with DAG("strict", schedule=None):
    DataDiscoveryOperator(task_id="load", locations=["data/"], fail_on_drift="breaking")

with DAG("moved", schedule=MOVED):

    @task(task_id="load", inlets=[MOVED])
    def names(*, inlet_events=None):
        return [event.extra["rows"] for event in inlet_events[MOVED]]

    names()

with DAG("waits", schedule=None):
    SchemaChangeSensor(task_id="load", dataset=ORDERS, effect="breaking", poke_interval=1)

with DAG("fresh", schedule=None):
    DatasetFreshnessSensor(
        task_id="load", dataset=ORDERS, max_age=timedelta(hours=1), poke_interval=1
    )
"""


@dataclass
class World:
    airflow: AirflowServer
    store: SqlStore
    orders: Path

    def write(self, header: str) -> None:
        rows = [f"{n},{'paid' if n % 3 else 'new'},{n % 7}.5" for n in range(300)]
        self.orders.write_text("\n".join([header, *rows, ""]))

    def run(self, dag_id: str) -> str:
        """Start a run and wait for its end; returns its task's state."""
        run = self.airflow.trigger(dag_id)
        return str(self.airflow.task_in(dag_id, run, "success", "failed")["state"])


@pytest.fixture(scope="module")
def world(
    postgres_cluster: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with closing(psycopg2.connect(postgres_cluster.uri("postgres"))) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("CREATE DATABASE discovery_metadata")
            cursor.execute("CREATE DATABASE discovery_store")
    folder = tmp_path_factory.mktemp("discovery")
    uri = postgres_cluster.uri("discovery_store")
    store = SqlStore(uri)
    migrate(store.engine)
    airflow = AirflowServer(
        folder,
        dags=DAGS,
        metadata=postgres_cluster.uri("discovery_metadata"),
        environment={"AIRFLOW_CONN_ETL_METADATA_DEFAULT": uri},
    )
    (airflow.dags / "data").mkdir()
    airflow.start()
    airflow.start_triggerer()
    airflow.unpause("look", "strict", "moved", "waits", "fresh")
    yield World(airflow, store, airflow.dags / "data" / "orders.csv")
    airflow.stop()
    store.close()


def test_a_change_starts_a_dag_and_ends_the_sensors_that_wait_for_it(world):
    airflow = world.airflow
    world.write("id,state,price")
    fresh = airflow.trigger("fresh")
    airflow.task_in("fresh", fresh, "deferred")

    assert world.run("look") == "success"

    # The first look is an update, and no change.
    assert airflow.task_in("fresh", fresh, "success", "failed")["state"] == "success"
    (run,) = airflow.finished("moved")
    assert (run["state"], run["run_type"]) == ("success", "asset_triggered")
    waits = airflow.trigger("waits")
    airflow.task_in("waits", waits, "deferred")

    world.write("id,status,price")
    assert world.run("look") == "success"

    assert airflow.task_in("waits", waits, "success", "failed")["state"] == "success"
    (decision,) = world.store.find(Query(DecisionRecord)).items
    assert [c["kind"] for c in decision.evidence["changes"]] == ["column_renamed"]
    assert len(airflow.finished("moved", runs=2)) == 2
    events = airflow.api("GET", "assets/events", source_dag_id="look")["asset_events"]
    assert [event["extra"]["changes"] for event in events] == [0, 1]
    assert events[0]["extra"]["new"] is True


def test_a_task_fails_for_what_breaks_where_that_is_wanted(world):
    world.write("id,state,price")
    assert world.run("look") == "success"
    assert world.run("strict") == "success"

    world.write("id,state")

    assert world.run("strict") == "failed"
    assert "change(s) that make it fail (breaking) were found" in world.airflow.log("strict")
    # It was written down all the same.
    assert world.run("strict") == "success"
