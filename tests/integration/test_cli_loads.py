"""`airflow-etl loads` and `undo`, each time in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pytest

if TYPE_CHECKING:
    from pathlib import Path

PIPELINE = """\
pipeline: people
source: { location: people.csv, format: csv }
target: { connection: warehouse, table: people, load_columns: true }
"""


class Shell:
    """Runs the command in a folder with a pipeline into a DuckDB file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "w.duckdb"
        self.write("people.yaml", PIPELINE)

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        known = {name: value for name, value in os.environ.items() if not name.startswith("AIR")}
        return subprocess.run(
            [sys.executable, "-m", "airflow_etl_provider.cli", *words],
            cwd=self.folder,
            env=known | {"AIRFLOW_CONN_WAREHOUSE": f"duckdb:///{self.database}"},
            capture_output=True,
            text=True,
            check=False,
        )

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def load(self, text: str, pipeline: str = "people.yaml") -> str:
        self.write("people.csv", text)
        done = self("run", pipeline, "--json")
        assert done.returncode == 0, done.stderr
        load_id: str = json.loads(done.stdout)["load_id"]
        return load_id

    def ids(self) -> list[int]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return [row[0] for row in connection.execute("SELECT id FROM people").fetchall()]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_loads_are_listed_and_one_is_taken_back(shell: Shell) -> None:
    first, second = shell.load("id,name\n1,Ada\n"), shell.load("id,name\n2,Grace\n3,Alan\n")
    listed = shell("loads", "people.yaml", "--json")
    assert [entry["load_id"] for entry in json.loads(listed.stdout)] == [first, second]
    shown = shell("loads", "people.yaml").stdout
    assert shown.index(first) < shown.index(second)
    assert "2 rows read = 2 loaded" in shown

    done = shell("undo", "people.yaml", second, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["status"], told["load_id"], told["rows_deleted"]) == ("undone", second, 2)
    assert shell.ids() == [1]
    assert shell.load("id,name\n2,Grace\n3,Alan\n")
    assert sorted(shell.ids()) == [1, 2, 3]


def test_a_load_that_is_not_there_is_refused(shell: Shell) -> None:
    assert json.loads(shell("loads", "people.yaml", "--json").stdout) == []
    done = shell("undo", "people.yaml", "f" * 32, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "undo_refused"


def test_a_pipeline_lists_and_undoes_its_own_loads(shell: Shell) -> None:
    shell.write("other.yaml", PIPELINE.replace("people\n", "others\n", 1))
    mine = shell.load("id,name\n1,Ada\n")
    other = shell.load("id,name\n2,Grace\n", "other.yaml")
    listed = shell("loads", "people.yaml", "--json")
    assert [entry["load_id"] for entry in json.loads(listed.stdout)] == [mine]
    listed = shell("loads", "people.yaml", "--every", "--json")
    assert [entry["load_id"] for entry in json.loads(listed.stdout)] == [mine, other]
    refused = shell("undo", "people.yaml", other)
    assert refused.returncode == 1
    assert "'others'" in refused.stderr
    assert sorted(shell.ids()) == [1, 2]
