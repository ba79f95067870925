"""What a retry, a clear, a backfill, a kill means for the target: with a real scheduler.

One Airflow for the module. Tables are in PostgreSQL, since runs overlap. A task is stopped at a
known place by a lock that the test holds on its table.
"""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import psycopg2
import pytest

from tests.system.airflow_server import AirflowServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import PostgresCluster

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]

DAGS = """
from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, task

from airflow_etl_provider.decorators.on_event import on_event
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


APPENDED = {"mode": "append", "load_columns": True, "on_reload": "replace_load"}

with daily("caught_up", catchup=True):
    load(
        pipeline("caught_up", "days.csv", source={"incremental": DAYS}, **APPENDED),
        outlets=[Asset("caught_up")],
    )

with daily("reloaded"):
    load(pipeline("reloaded", "reloaded.csv", source={"incremental": DAYS}, **APPENDED))

with daily("by_hand"):
    load(pipeline("by_hand", "days.csv", source={"incremental": DAYS}))

with daily("stopped"):
    load(pipeline("stopped", "stopped.csv", source={"incremental": DAYS}), retries=2)

with daily("merged"):
    keyed = {"mode": "merge", "key": ["id"], "latest_by": "at"}
    load(pipeline("merged", "versions.csv", source={"incremental": DAYS}, **keyed))

with daily("replaced"):
    load(pipeline("replaced", "days.csv", source={"incremental": DAYS}, mode="replace"))

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

with DAG("lost", schedule=None):
    load(pipeline("lost", "days.csv"), retries=0)


@on_event("load_failed", pipeline="lost", dag_id="told")
def note(event):
    with (HERE / "told.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\\n")


with DAG("timed_out", schedule=None):
    load(pipeline("timed_out", "days.csv"), retries=0, execution_timeout=timedelta(seconds=30))

with DAG("twice", schedule=None):
    load(pipeline("twice", "days.csv"), retries=5, retry_delay=timedelta(seconds=2))


def fail_after_another_load(context, result=None):
    # As if the worker died right after the commit, and another run was quicker than its retry.
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.engines.batch import run_pipeline
    from airflow_etl_provider.hooks.connections import find_airflow_connection

    if context["ti"].try_number > 1:
        return
    run_pipeline(
        Pipeline.model_validate(pipeline("overtaken", "newer.csv", mode="replace")),
        connections=find_airflow_connection,
        run_id="another",
        base=HERE,
        clock=lambda: datetime.now(timezone.utc),
    )
    raise RuntimeError("gone")


with DAG("overtaken", schedule=None):
    load(pipeline("overtaken", "days.csv", mode="replace"), post_execute=fail_after_another_load)
"""

DAYS = "id,at\n1,2026-01-01 10:00:00\n2,2026-01-02 10:00:00\n3,2026-01-03 10:00:00\n"

VERSIONS = """id,at,version
1,2026-01-01 10:00:00,first
1,2026-01-02 10:00:00,second
1,2026-01-03 10:00:00,third
"""

HELD = (
    "timed_out",
    "lost",
    "killed",
    "frozen",
    "marked_failed",
    "marked_success",
    "cleared",
    "twice",
)
"""Tables that are there before, so that a lock on them holds a load."""

PASSWORD = "correct horse"


class World:
    """Airflow and the database that it loads into."""

    def __init__(self, airflow: AirflowServer, uri: str, metadata: str) -> None:
        self.airflow, self.uri, self.metadata = airflow, uri, metadata

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

    def recorded(self, dag_id: str) -> list[tuple[str, int, int]]:
        """What the metadata database says of a DAG's runs: status, try and rows, oldest first."""
        with closing(psycopg2.connect(self.metadata)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT status, try_number, rows_loaded FROM etl_run WHERE dag_id = %s "
                "ORDER BY started_at",
                (dag_id,),
            )
            return cursor.fetchall()

    def failures(self, dag_id: str) -> list[tuple[str, int]]:
        """What the metadata database says of a DAG's failures: code and try."""
        with closing(psycopg2.connect(self.metadata)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT code, try_number FROM etl_failure WHERE dag_id = %s ORDER BY at", (dag_id,)
            )
            return cursor.fetchall()

    def watches(self) -> bool:
        """Whether the watcher of a DAG that waits for an event has begun."""
        with closing(psycopg2.connect(self.metadata)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM etl_event WHERE kind = 'watcher_started'")
            return cursor.fetchone() is not None

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

    def sessions(self, table: str) -> int:
        """Database sessions of loads of a table, wherever they are."""
        sql = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE application_name LIKE 'etl %%' AND query LIKE %s"
        )
        return int(self.query(sql, f'%"{table}"%')[0][0])

    def held_run(self, dag_id: str) -> HeldRun:
        """Trigger a DAG whose table is held; returns when its task waits there."""
        run_id = self.airflow.trigger(dag_id)
        self.airflow.wait_until(lambda: self.waits(dag_id), f"the load of {dag_id} waits")
        return HeldRun(dag_id, run_id, psutil.Process(self.airflow.task(dag_id, run_id)["pid"]))


@dataclass(frozen=True)
class HeldRun:
    """A run whose task waits for a lock, with the process that does."""

    dag_id: str
    run_id: str
    process: psutil.Process

    @property
    def ended(self) -> bool:
        return not self.process.is_running() or self.process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, postgres_cluster: PostgresCluster
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("behaviour")
    with closing(psycopg2.connect(postgres_cluster.uri("postgres"))) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            for database in ("behaviour", "behaviour_metadata"):
                cursor.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
                cursor.execute(f"CREATE DATABASE {database}")
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
        metadata=postgres_cluster.uri("behaviour_metadata"),
        environment={
            "AIRFLOW_CONN_WAREHOUSE": json.dumps(connection_of_ours),
            # Tasks record over the API: they have no connection to the metadata database.
            "AIRFLOW__ETL__TASK_SECRET": "only for tests, and long enough for a task",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
            "AIRFLOW__CORE__PARALLELISM": "6",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(folder / "lineage.jsonl"), "append": True}
            ),
        },
    )
    for name, text in (
        ("days", DAYS),
        ("reloaded", DAYS),
        ("stopped", DAYS),
        ("newer", "id,at\n9,2026-01-09 10:00:00\n"),
        ("versions", VERSIONS),
        ("store_b", "id\n2\n"),
        ("store_c", "id\n3\n"),
    ):
        write(airflow, name, text)
    try:
        airflow.start()
        # Of all processes the triggerer alone has credentials of the metadata database.
        airflow.start_triggerer(
            AIRFLOW_CONN_ETL_METADATA_DEFAULT=json.dumps(
                connection_of_ours | {"schema": "behaviour_metadata"}
            )
        )
        for dag in airflow.api("GET", "dags")["dags"]:
            if dag["dag_id"] != "caught_up":
                airflow.unpause(dag["dag_id"])
        # Watchers of a DAG that was unpaused start when its file is parsed once more.
        airflow.parse("told")
        made = World(airflow, uri, postgres_cluster.uri("behaviour_metadata"))
        airflow.wait_until(made.watches, "the watcher of events has started")
        yield made
    finally:
        airflow.stop()


def write(airflow: AirflowServer, name: str, text: str) -> None:
    (airflow.dags / f"{name}.csv").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def interrupted(world: World) -> dict[str, HeldRun]:
    """Tasks to which something happened while they waited; all of them are over now."""
    airflow = world.airflow
    with world.held(*HELD):
        runs = {dag_id: world.held_run(dag_id) for dag_id in HELD if dag_id != "twice"}
        frozen = runs["frozen"].process
        processes = (frozen.parent(), frozen)
        for process in processes:
            process.suspend()
        runs["killed"].process.kill()
        runs["lost"].process.kill()
        airflow.clear("cleared", runs["cleared"].run_id)
        airflow.mark("marked_failed", runs["marked_failed"].run_id, "failed")
        airflow.mark("marked_success", runs["marked_success"].run_id, "success")
        for dag_id in ("marked_failed", "marked_success", "timed_out"):
            # While the table is still held: nothing but the signal can have ended them.
            airflow.wait_until(lambda run=runs[dag_id]: run.ended, f"{dag_id} has ended")
            airflow.wait_until(lambda name=dag_id: not world.sessions(name), f"{dag_id} let go")
            # The process is gone before the scheduler has heard how it ended.
            airflow.wait_until(
                lambda run=runs[dag_id]: (
                    airflow.task(run.dag_id, run.run_id)["state"] in ("success", "failed")
                ),
                f"{dag_id} has a final state",
            )
        for dag_id in ("killed", "cleared", "frozen"):
            airflow.wait_until(
                lambda run=runs[dag_id]: airflow.task(run.dag_id, run.run_id)["try_number"] == 2,
                f"{dag_id} is tried again",
            )
    for dag_id in ("killed", "cleared", "frozen"):
        airflow.finished(dag_id)
    for process in processes:
        process.resume()
    airflow.wait_until(lambda: runs["frozen"].ended, "what was frozen has ended")
    return runs


@pytest.mark.parametrize("dag_id", ["killed", "frozen", "cleared"])
def test_its_runs_are_recorded_over_the_api_without_credentials_of_a_database(
    world, interrupted, dag_id
):
    assert world.recorded(dag_id)[-1] == ("done", 2, 3)
    assert all(status != "running" for status, _, _ in world.recorded(dag_id)[1:])


def test_a_run_whose_worker_was_killed_is_ended_by_the_scheduler(world, interrupted):
    airflow = world.airflow
    airflow.finished("lost")

    def recorded() -> list[tuple[str, int, int]]:
        return [run for run in world.recorded("lost") if run[0] != "running"]

    assert airflow.wait_until(recorded, "the run of the lost worker is ended") == [("failed", 1, 0)]
    assert world.failures("lost") == [("worker_lost", 1)]


def test_a_dag_that_waits_for_an_event_runs_when_it_happened(world, interrupted):
    ((run,),) = [world.airflow.finished("told")]

    assert (run["state"], run["run_type"]) == ("success", "asset_triggered")
    (line,) = (world.airflow.dags / "told.jsonl").read_text().splitlines()
    event = json.loads(line)
    assert (event["kind"], event["pipeline"]) == ("load_failed", "lost")
    assert event["facts"]["code"] == "worker_lost"


@pytest.mark.parametrize("dag_id", ["killed", "frozen", "cleared"])
def test_an_attempt_that_was_cut_off_is_tried_again_and_loads_once(world, interrupted, dag_id):
    run_id = interrupted[dag_id].run_id

    task = world.airflow.task(dag_id, run_id)
    assert (task["state"], task["try_number"]) == ("success", 2)
    assert world.rows(dag_id) == [1, 2, 3]
    assert world.loads(dag_id) == 1


def test_the_report_is_the_successors_not_that_of_the_process_that_woke_up(world, interrupted):
    report = world.airflow.report("frozen", interrupted["frozen"].run_id)

    assert (report["status"], report["rows_loaded"]) == ("done", 3)
    assert "Failed to report terminal task state" in world.airflow.log("frozen")


@pytest.mark.parametrize(
    ("dag_id", "state"),
    [("marked_failed", "failed"), ("marked_success", "success"), ("timed_out", "failed")],
)
def test_a_task_that_is_stopped_lets_go_and_publishes_nothing(world, interrupted, dag_id, state):
    task = world.airflow.task(dag_id, interrupted[dag_id].run_id)

    assert (task["state"], task["try_number"]) == (state, 1)
    assert world.rows(dag_id) == []
    assert world.loads(dag_id) == 0


@pytest.fixture(scope="module")
def caught_up(world: World) -> list[dict[str, Any]]:
    """The runs of a DAG that has caught up."""
    world.airflow.unpause("caught_up")
    return world.airflow.finished("caught_up", runs=3)


def test_a_catch_up_loads_each_interval_once_whatever_runs_at_once(world, caught_up):
    assert [run["state"] for run in caught_up] == ["success"] * 3
    assert world.rows("caught_up") == [1, 2, 3]
    assert world.loads("caught_up") == 3


def test_the_assets_events_tell_how_many_rows(world, caught_up):
    events = world.airflow.api("GET", "assets/events", source_dag_id="caught_up")["asset_events"]

    first = [event["extra"] for event in events if event["extra"]["status"] == "done"]
    assert [(extra["rows_read"], extra["rows_loaded"]) for extra in first] == [(3, 1)] * len(
        caught_up
    )


def test_a_cleared_run_finds_its_load_done(world, caught_up):
    run_id = caught_up[0]["dag_run_id"]
    before = world.airflow.report("caught_up", run_id)

    world.airflow.clear("caught_up", run_id)
    world.airflow.finished("caught_up", runs=3)

    report = world.airflow.report("caught_up", run_id)
    assert report["status"] == "already_loaded"
    assert report["load_id"] == before["load_id"]
    assert report["run_id"] != before["run_id"]
    assert world.rows("caught_up") == [1, 2, 3]


def test_a_cleared_run_loads_its_interval_anew_when_the_file_has_changed(world):
    airflow = world.airflow
    run_id = airflow.trigger("reloaded", **interval(1))
    airflow.finished("reloaded")
    assert world.rows("reloaded") == [1]

    write(airflow, "reloaded", DAYS + "11,2026-01-01 11:00:00\n")
    airflow.clear("reloaded", run_id)
    airflow.finished("reloaded")

    assert airflow.report("reloaded", run_id)["rows_loaded"] == 2
    assert world.rows("reloaded") == [1, 11]
    assert world.loads("reloaded") == 1


def test_an_append_that_would_double_rows_fails_at_once(world):
    airflow = world.airflow
    run_id = airflow.trigger("stopped", **interval(1))
    airflow.finished("stopped")

    write(airflow, "stopped", DAYS + "11,2026-01-01 11:00:00\n")
    airflow.clear("stopped", run_id)
    airflow.finished("stopped")

    task = airflow.task("stopped", run_id)
    assert (task["state"], task["try_number"]) == ("failed", 2)
    assert airflow.report("stopped", run_id)["error"]["code"] == "load_conflict"
    assert world.rows("stopped") == [1]


def test_a_backfill_in_any_order_leaves_the_newest_of_each_key(world):
    world.airflow.backfill("merged", backwards=True, max_active_runs=3)

    runs = world.airflow.finished("merged", runs=3)
    assert [run["state"] for run in runs] == ["success"] * 3
    assert world.rows("merged", "id, version") == [(1, "third")]
    assert world.loads("merged") == 3


def test_a_reversed_backfill_of_replace_leaves_the_oldest_interval(world):
    world.airflow.backfill("replaced", backwards=True, max_active_runs=1)

    world.airflow.finished("replaced", runs=3)
    assert world.rows("replaced") == [1]


def test_two_runs_of_one_load_at_once_load_it_once(world):
    airflow = world.airflow
    with world.held("twice"):
        first = world.held_run("twice")
        second = airflow.trigger("twice")
        airflow.task_in("twice", first.run_id, "up_for_retry")
    airflow.finished("twice", runs=2)

    statuses = [airflow.report("twice", run_id)["status"] for run_id in (first.run_id, second)]
    assert sorted(statuses) == ["already_loaded", "done"]
    assert world.rows("twice") == [1, 2, 3]


def test_a_retry_puts_nothing_over_what_another_load_has_replaced_since(world):
    run_id = world.airflow.trigger("overtaken")
    world.airflow.finished("overtaken")

    assert world.airflow.task("overtaken", run_id)["try_number"] == 2
    assert world.airflow.report("overtaken", run_id)["status"] == "already_loaded"
    assert world.rows("overtaken") == [9]

    world.airflow.clear("overtaken", run_id)
    world.airflow.finished("overtaken")

    assert world.airflow.report("overtaken", run_id)["status"] == "done"
    assert world.rows("overtaken") == [1, 2, 3]


def test_a_map_index_that_means_another_file_after_a_clear_loads_no_file_twice(world):
    airflow = world.airflow
    run_id = airflow.trigger("mapped")
    airflow.finished("mapped")
    assert world.rows("mapped") == [2, 3]

    write(airflow, "store_a", "id\n1\n")
    airflow.clear("mapped", run_id, "files", downstream=True)
    airflow.finished("mapped")

    reports = [airflow.report("mapped", run_id, map_index=index) for index in range(3)]
    assert [report["status"] for report in reports] == ["done", "already_loaded", "already_loaded"]
    assert world.rows("mapped") == [1, 2, 3]

    airflow.clear("mapped", run_id, ["load", 0])
    airflow.finished("mapped")

    assert airflow.report("mapped", run_id, map_index=0)["status"] == "already_loaded"
    assert world.rows("mapped") == [1, 2, 3]


def test_a_run_by_hand_takes_the_interval_before_its_date_and_fails_without_one(world):
    airflow = world.airflow
    with_date = airflow.trigger("by_hand", logical_date="2026-01-02T12:00:00Z")
    without = airflow.trigger("by_hand")
    airflow.finished("by_hand", runs=2)

    assert airflow.task("by_hand", with_date)["state"] == "success"
    assert world.rows("by_hand") == [1]
    task = airflow.task("by_hand", without)
    assert (task["state"], task["try_number"]) == ("failed", 1)
    report = airflow.report("by_hand", without)
    assert (report["status"], report["error"]["code"]) == ("failed", "bad_specification")


def events(world: World, dag_id: str, kind: str) -> list[dict[str, Any]]:
    """OpenLineage's events of a DAG's task."""
    lines = (world.airflow.folder / "lineage.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [e for e in found if e["eventType"] == kind and e["job"]["name"] == f"{dag_id}.load"]


def test_openlineage_is_told_of_columns_and_rows(world, caught_up):
    event = events(world, "caught_up", "COMPLETE")[0]

    (output,) = event["outputs"]
    port = psycopg2.extensions.parse_dsn(world.uri)["port"]
    assert output["namespace"] == f"postgres://127.0.0.1:{port}"
    assert output["name"] == "behaviour.public.caught_up"
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 1
    lineage = output["facets"]["columnLineage"]
    assert lineage["fields"]["id"]["inputFields"][0]["field"] == "id"
    assert lineage["dataset"][0]["field"] == "at"
    assert event["inputs"][0]["name"] == str(world.airflow.dags / "days.csv")
    assert event["run"]["facets"]["etl_load"]["rowsFiltered"] == 2


def test_openlineage_is_told_of_failures_and_never_of_a_secret(world, interrupted):
    event = events(world, "marked_failed", "FAIL")[-1]

    facets = event["run"]["facets"]
    assert facets["etl_load"]["errorCode"] == "cancelled"
    assert "told to stop" in facets["errorMessage"]["message"]
    assert PASSWORD not in (world.airflow.folder / "lineage.jsonl").read_text()


def interval(day: int) -> dict[str, str]:
    """What a run of one day of January 2026 is triggered with."""
    start, end = (f"2026-01-{at:02}T00:00:00Z" for at in (day, day + 1))
    return {"logical_date": end, "data_interval_start": start, "data_interval_end": end}
