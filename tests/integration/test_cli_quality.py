"""`airflow-etl quality` as people type it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

if TYPE_CHECKING:
    from pathlib import Path

RULES = """
rules:
  - { column: id, unique: true }
  - { column: amount, between: [0, 10] }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE orders (id INTEGER, amount INTEGER);"
            "INSERT INTO orders VALUES (1, 5), (2, 50), (3, 7)"
        )
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "orders.csv").write_text("id,amount\n1,5\n1,6\n")
    return tmp_path


def run(folder: Path, *words: str) -> tuple[int, str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    done = subprocess.run(
        [sys.executable, "-m", "airflow_etl_provider.cli", "quality", *words],
        cwd=folder,
        env=environment | {"AIRFLOW_CONN_SHOP": f"duckdb:///{folder}/shop.duckdb"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_check_that_fails_says_which_rule_and_ends_with_1(folder: Path) -> None:
    code, out, err = run(folder, "shop.duckdb", "--table", "orders", "--rules", "rules.yaml")
    assert (code, out) == (1, "")
    assert "does not hold: amount is between 0 and 10 [quarantine, 1 rows (33.33%)]" in err
    assert "airflow-etl quarantine show" in err
    assert "50," not in err


def test_within_the_limit_it_ends_with_3_and_json_has_the_report(folder: Path) -> None:
    words = ("shop", "--table", "orders", "--rules", "rules.yaml", "--max-violations", "50%")
    code, out, _ = run(folder, *words, "--json")
    report: dict[str, Any] = json.loads(out)
    assert code == 3
    assert (report["status"], report["rows_violating"]) == ("passed_with_warnings", 1)


def test_what_holds_ends_with_0(folder: Path) -> None:
    words = ("shop", "--table", "orders", "--rules", "rules.yaml", "--where", "id <> 2")
    code, _, err = run(folder, *words)
    assert code == 0, err


def test_files_and_the_rules_of_a_pipeline(folder: Path) -> None:
    pipeline = "pipeline: p\nsource: { location: a.csv }\ntarget: { location: a.parquet }\n"
    (folder / "orders.yaml").write_text(pipeline + RULES)
    code, _, err = run(folder, "orders.csv", "--rules", "orders.yaml")
    assert code == 1
    assert "does not hold: id is unique" in err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules:\n  - { column: id, uniqe: true }\n", "line 2"),
        ("- { column: id }\n", "begins with `rules: ...`"),
        ("rules: []\n", "nothing to check"),
    ],
)
def test_wrong_rules_end_with_2_and_say_where(folder: Path, text: str, words: str) -> None:
    (folder / "wrong.yaml").write_text(text)
    code, _, err = run(folder, "shop", "--table", "orders", "--rules", "wrong.yaml")
    assert code == 2, err
    assert words in err
