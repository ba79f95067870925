"""Every example can be parsed, and makes a DAG."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from airflow.sdk import DAG

DAGS = sorted((Path(__file__).parents[2] / "dags").glob("*.py"))


@pytest.mark.parametrize("path", DAGS, ids=lambda path: path.stem)
def test_an_example_makes_dags_with_tasks(path, monkeypatch):
    found, enter = [], DAG.__enter__
    monkeypatch.setattr(DAG, "__enter__", lambda dag: found.append(dag) or enter(dag))

    runpy.run_path(str(path))

    assert found
    assert all(dag.task_dict and dag.tags for dag in found)
