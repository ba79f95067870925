"""The check in a real Airflow: its own home, real tasks."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from airflow_etl_provider.engines.quarantine import read_quarantine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.airflow

ROW_VALUE = "zanzibar-7731"
"""A value of a row that breaks a rule: it must be in no log."""

DAGS = """
from airflow.sdk import DAG, Param

from airflow_etl_provider.operators.data_quality import DataQualityOperator


def operator(task_id="check", **arguments):
    table = {"connection": "warehouse", "table": "people"}
    return DataQualityOperator(task_id=task_id, **table | arguments)


NOT_NULL = {"column": "id", "not_null": True}
SHORT = {"column": "name", "length": [1, 5]}

with DAG("passes", schedule=None):
    operator(rules=[NOT_NULL])

with DAG("warns", schedule=None):
    operator(rules=[SHORT | {"severity": "warn"}])

with DAG("fails", schedule=None):
    operator(rules=[NOT_NULL, SHORT], retries=3)

with DAG("allows", schedule=None):
    operator(rules="rules.yaml", max_violations="50%")

with DAG("templated", schedule=None, params={"least": Param(2)}):
    operator(rules=[{"load": "rows = 1"}], where="id >= {{ params.least }}")

with DAG("files", schedule=None):
    unique = {"column": "id", "unique": True}
    operator(connection=None, table=None, location="people.csv", rules=[unique])

with DAG("wrong", schedule=None):
    operator(rules=[{"column": "idd", "not_null": True}], retries=3)
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
    def __init__(self, folder: Path) -> None:
        self.home, self.dags = folder / "home", folder / "dags"
        warehouse = folder / "warehouse.duckdb"
        for path in (self.home, self.dags):
            path.mkdir()
        with duckdb.connect(str(warehouse)) as connection:
            connection.execute(
                "CREATE TABLE people (id INTEGER, name VARCHAR);"
                f"INSERT INTO people VALUES (1, 'Ada'), (2, '{ROW_VALUE}')"
            )
        (self.dags / "checks.py").write_text(DAGS, encoding="utf-8")
        (self.dags / "rules.yaml").write_text("rules:\n  - { column: name, length: [1, 5] }\n")
        (self.dags / "people.csv").write_text("id,name\n1,Ada\n2,Grace\n")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        self.environment = inherited | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "duckdb", "host": str(warehouse)}),
        }

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            env=self.environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.home / "airflow.db") as database:
            return database.execute(sql, values).fetchall()

    def outcome(self, dag_id: str) -> list[tuple[str, int]]:
        return self.query("select state, try_number from task_instance where dag_id = ?", dag_id)

    def report(self, dag_id: str) -> dict[str, Any]:
        ((value,),) = self.query(
            "select value from xcom where dag_id = ? and key = 'return_value'", dag_id
        )
        return json.loads(value)

    def link(self, dag_id: str) -> str:
        ((value,),) = self.query(
            "select value from xcom where dag_id = ? and key = 'etl_violations_link'", dag_id
        )
        return json.loads(value)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    airflow = Airflow(tmp_path_factory.mktemp("airflow"))
    airflow.run("-m", "airflow", "db", "migrate")
    return airflow


@pytest.fixture(scope="module")
def log(airflow: Airflow) -> str:
    """All DAGs run once; what they logged."""
    dags = ["passes", "warns", "fails", "allows", "templated", "files", "wrong"]
    return airflow.run("-c", RUNS, *dags)


@pytest.mark.parametrize(
    ("dag_id", "state", "status", "checked", "violating"),
    [
        ("passes", "success", "passed", 2, 0),
        ("warns", "success", "passed_with_warnings", 2, 0),
        ("fails", "failed", "failed", 2, 1),
        ("allows", "success", "passed_with_warnings", 2, 1),
        ("templated", "success", "passed", 1, 0),
        ("files", "success", "passed", 2, 0),
    ],
)
def test_the_tasks_state_and_xcom_say_what_was_found(
    airflow: Airflow, log: str, dag_id: str, state: str, status: str, checked: int, violating: int
) -> None:
    # A check that fails would find the same again: no retry is used up.
    assert airflow.outcome(dag_id) == [(state, 1)]
    report = airflow.report(dag_id)
    assert report["status"] == status
    assert (report["rows_checked"], report["rows_violating"]) == (checked, violating)


def test_the_rows_that_break_a_rule_are_linked_and_kept(airflow: Airflow, log: str) -> None:
    (reject,) = read_quarantine(airflow.report("fails")["sample"])
    assert reject.reasons[0].message == "name has more than 5 characters"
    assert airflow.link("fails").endswith("/tasks/check/xcom")
    assert airflow.link("passes") == ""


def test_a_rule_that_does_not_fit_fails_at_once(airflow: Airflow, log: str) -> None:
    assert airflow.outcome("wrong") == [("failed", 1)]
    assert "Did you mean 'id'" in log


def test_the_log_says_what_does_not_hold_and_no_value(airflow: Airflow, log: str) -> None:
    assert "does not hold: name has 1 to 5 characters [quarantine, 1 rows (50.00%)]" in log
    assert "[quality_failed]" in log
    assert ROW_VALUE not in log
