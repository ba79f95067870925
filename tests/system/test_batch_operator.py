"""The operator in a real Airflow: its own home, real tasks, real retries."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

if TYPE_CHECKING:
    from pathlib import Path

ROW_VALUE = "zanzibar-7731"
"""A value of a rejected row: it must be in no log."""

PASSWORD = "hunter2-and-more"

DAGS = """
from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Asset

from airflow_etl_provider.operators.batch import BatchPipelineOperator

HERE = Path(__file__).parent


def mend(context):
    (HERE / "late.csv").write_text("id,name\\n1,Ada\\n")


def operator(task_id, **arguments):
    return BatchPipelineOperator(task_id=task_id, **arguments)


def pipeline(name, location, **more):
    return {
        "pipeline": name,
        "source": {"location": location, "format": "csv"} | more.pop("source", {}),
        "target": {"connection": "warehouse", "table": name} | more.pop("target", {}),
    } | more


with DAG("plain", schedule=None):
    operator("load", pipeline="people.yaml", outlets=[Asset("people")])

with DAG("mapped", schedule=None):
    BatchPipelineOperator.partial(
        task_id="load", pipeline=pipeline("mapped", "overridden.csv")
    ).expand(source_location=["one.csv", "two.csv"])

with DAG("late", schedule=None):
    operator(
        "load",
        pipeline=pipeline("late", "late.csv"),
        retries=1,
        retry_delay=timedelta(0),
        on_retry_callback=mend,
    )

with DAG("no_interval", schedule="@daily"):
    operator(
        "load",
        pipeline=pipeline(
            "no_interval",
            "one.csv",
            source={"incremental": {"by": "data_interval", "column": "at"}},
        ),
        retries=3,
        retry_delay=timedelta(0),
    )

with DAG("over_budget", schedule=None):
    contract = {
        "contract": "over_budget",
        "target": {"fields": {"id": "int64"}},
        "columns": {"id": {"from": "id", "convert": "parse_int"}},
    }
    operator(
        "load",
        pipeline=pipeline("over_budget", "people.csv", mapping=contract, max_rejected=0),
        retries=3,
    )

with DAG("secret", schedule=None):
    operator("load", pipeline=pipeline("secret", "https://me:PASSWORD@example.com/a.csv"))

with DAG("configured", schedule=None):
    operator("load", pipeline=pipeline("configured", "one.csv"), retries=3)

with DAG("slow", schedule=None):
    operator("load", pipeline=pipeline("slow", "big.csv"), progress_every=0)
"""

PIPELINE = """
pipeline: people
source: { location: "{{ dag.dag_id }}/../people.csv", format: csv }
target: { connection: warehouse, table: people }
mapping:
  contract: people
  target: { fields: { id: int64, name: string } }
  columns: { id: { from: id, convert: parse_int }, name: { from: name } }
"""

RUNS = """
import os
import sys

from airflow.dag_processing.dagbag import DagBag

bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
assert not bag.import_errors, bag.import_errors
for dag_id in sys.argv[1:]:
    bag.get_dag(dag_id).test()
"""


class Airflow:
    """A home of its own with the DAGs above and a DuckDB file to load into."""

    def __init__(self, folder: Path) -> None:
        self.home, self.dags = folder / "home", folder / "dags"
        self.warehouse = folder / "warehouse.duckdb"
        for path in (self.home, self.dags, self.dags / "plain"):
            path.mkdir()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        connection = {
            "conn_type": "duckdb",
            "host": str(self.warehouse),
            "password": PASSWORD,
        }
        self.environment = inherited | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_WAREHOUSE": json.dumps(connection),
            "AIRFLOW_CONN_ETL_METADATA_DEFAULT": json.dumps(
                {"conn_type": "sqlite", "host": str(self.home / "airflow.db")}
            ),
        }
        self.write("shell_dags.py", DAGS.replace("PASSWORD", PASSWORD))
        self.write("people.yaml", PIPELINE)
        self.write("people.csv", f"id,name\n1,Ada\n{ROW_VALUE},Grace\n3,Edsger\n")
        self.write("one.csv", "id,at\n1,2026-01-01\n")
        self.write("two.csv", "id,at\n2,2026-01-01\n3,2026-01-01\n")

    def write(self, name: str, text: str) -> None:
        (self.dags / name).write_text(text, encoding="utf-8")

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *words],
            env=self.environment | environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.home / "airflow.db") as database:
            return database.execute(sql, values).fetchall()

    def reports(self, dag_id: str) -> list[dict[str, Any]]:
        found = self.query(
            "select value from xcom where dag_id = ? and key = 'return_value' "
            "order by dag_run_id, map_index",
            dag_id,
        )
        return [json.loads(value) for (value,) in found]

    def outcome(self, dag_id: str) -> list[tuple[str, int]]:
        return self.query(
            "select state, try_number from task_instance where dag_id = ? order by run_id", dag_id
        )

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return sorted(connection.table(table).fetchall())


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    airflow = Airflow(tmp_path_factory.mktemp("airflow"))
    migrated = airflow.start("-m", "airflow", "db", "migrate")
    output, _ = migrated.communicate()
    assert migrated.returncode == 0, output
    return airflow


@pytest.fixture(scope="module")
def log(airflow: Airflow) -> str:
    """All DAGs run once, `plain` twice; what they logged."""
    dags = ["plain", "plain", "mapped", "late", "no_interval", "over_budget", "secret"]
    process = airflow.start("-c", RUNS, *dags)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def test_the_report_comes_back_as_xcom(airflow, log):
    report = airflow.reports("plain")[0]

    assert report["status"] == "done_with_rejects"
    assert (report["rows_read"], report["rows_loaded"], report["rows_quarantined"]) == (3, 2, 1)
    assert airflow.rows("people") == [(1, "Ada"), (3, "Edsger")]


def test_the_same_load_in_another_run_is_already_loaded(airflow, log):
    first, again = airflow.reports("plain")

    assert again["status"] == "already_loaded"
    assert again["load_id"] == first["load_id"]
    assert again["run_id"] != first["run_id"]


def test_the_assets_event_tells_how_many_rows(airflow, log):
    extras = [json.loads(extra) for (extra,) in airflow.query("select extra from asset_event")]

    assert [extra["rows_loaded"] for extra in extras] == [2, 2]
    assert [extra["status"] for extra in extras] == ["done_with_rejects", "already_loaded"]


def test_every_run_is_recorded_in_the_metadata_database(airflow, log):
    runs = airflow.query(
        "select pipeline, status, dag_id, task_id, rows_read, rows_loaded, rows_quarantined, "
        "error_code from etl_run"
    )

    # In which order Airflow runs mapped tasks is its own affair.
    assert sorted(runs, key=str) == sorted(
        [
            ("people", "done_with_rejects", "plain", "load", 3, 2, 1, None),
            ("people", "already_loaded", "plain", "load", 3, 2, 1, None),
            ("mapped", "done", "mapped", "load", 1, 1, 0, None),
            ("mapped", "done", "mapped", "load", 2, 2, 0, None),
            ("late", "done", "late", "load", 1, 1, 0, None),
            ("no_interval", "failed", "no_interval", "load", 0, 0, 0, "bad_specification"),
            ("over_budget", "failed", "over_budget", "load", 3, 0, 1, "too_many_rejected"),
        ],
        key=str,
    )
    assert ROW_VALUE not in str(airflow.query("select * from etl_failure, etl_run"))


def test_what_led_to_a_run_and_what_it_led_to_is_recorded(airflow, log):
    def names(sql):
        return [name for (name,) in airflow.query(sql)]

    assert names("select name from etl_pipeline where dag_id = 'plain'") == ["people"]
    assert names("select version from etl_pipeline_version where pipeline = 'people'") == [1]
    assert "warehouse/people" in names("select name from etl_dataset")
    assert names("select code from etl_failure where dag_id = 'late'") == ["source_not_found"]
    assert names("select distinct name from etl_metric where name like '%rows_per%'") == [
        "rows_per_second"
    ]
    assert len(names("select id from etl_load where pipeline = 'people'")) == 1
    assert names("select status from etl_quarantine where pipeline = 'over_budget'") == [
        "not_published"
    ]
    assert names("select kind from etl_event where pipeline = 'over_budget' order by sequence") == [
        "run_started",
        "quarantine_written",
        "load_failed",
        "run_finished",
    ]


def test_a_task_with_rejected_rows_links_to_them(airflow, log):
    links = airflow.query(
        "select dag_id, value from xcom where key = 'etl_quarantine_link' order by timestamp"
    )

    urls = {dag_id: json.loads(value) for dag_id, value in links}
    assert urls["plain"].endswith("/tasks/load/xcom")
    assert urls["mapped"] == ""


def test_each_mapped_task_loads_its_own_file(airflow, log):
    reports = airflow.reports("mapped")

    assert [report["rows_loaded"] for report in reports] == [1, 2]
    assert reports[0]["load_id"] != reports[1]["load_id"]
    assert len(airflow.rows("mapped")) == 3


def test_a_retry_finds_what_came_late(airflow, log):
    assert airflow.outcome("late") == [("success", 2)]
    assert airflow.rows("late") == [(1, "Ada")]


def test_a_run_without_an_interval_fails_at_once_and_says_what_to_do(airflow, log):
    assert airflow.outcome("no_interval") == [("failed", 1)]
    assert "CronDataIntervalTimetable" in log


def test_over_the_budget_no_retry_is_used_up_and_the_report_is_kept(airflow, log):
    assert airflow.outcome("over_budget") == [("failed", 1)]
    (report,) = airflow.reports("over_budget")
    assert (report["status"], report["error"]["code"]) == ("failed", "too_many_rejected")
    assert report["rows_loaded"] == 0


def test_a_secret_in_the_specification_is_refused(airflow, log):
    assert airflow.outcome("secret") == [("failed", 1)]
    assert "holds a password" in log


def test_a_wrong_setting_fails_at_once_and_says_which(airflow, log):
    process = airflow.start("-c", RUNS, "configured", AIRFLOW__ETL__THREADS="many")
    output, _ = process.communicate()
    assert "[etl] threads of Airflow's configuration is 'many'" in output, output
    assert airflow.outcome("configured") == [("failed", 1)]

    process = airflow.start("-c", RUNS, "configured", AIRFLOW__ETL__THREADS="1")
    output, _ = process.communicate()
    assert sorted(airflow.outcome("configured")) == [("failed", 1), ("success", 1)], output


def test_the_log_has_progress_but_neither_secrets_nor_rows(airflow, log):
    assert "rows/s" in log
    assert "3 rows read = 2 loaded + 1 quarantined" in log
    assert PASSWORD not in log
    assert ROW_VALUE not in log


def test_a_task_that_is_terminated_publishes_nothing(airflow, log):
    line = "1234567,some text that takes a while,2026-01-01 08:00:00,9.99\n"
    airflow.write("big.csv", "id,words,at,price\n" + line * 4_000_000)
    process = airflow.start("-c", RUNS, "slow")
    assert process.stdout is not None
    heard = []
    for text in process.stdout:
        heard.append(text)
        if "loading" in text and "rows/s" in text:
            break
    process.send_signal(signal.SIGTERM)
    heard += process.stdout.readlines()
    process.wait()

    output = "".join(heard)
    assert "Told to stop" in output, output
    assert airflow.outcome("slow") == [("failed", 1)]
    with duckdb.connect(str(airflow.warehouse), read_only=True) as connection:
        tables = [
            name
            for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()
        ]
    assert "slow" not in tables or airflow.rows("slow") == []
