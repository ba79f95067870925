"""A scheduler imports operators all day: none may pull in what only a running task needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import airflow_etl_provider

HEAVY = (
    "duckdb",
    "pyarrow",
    "sqlglot",
    "openai",
    "kafka",
    "boto3",
    "adbc_driver_postgresql",
    "pandas",
    "alembic",
    "fastapi",
    "redis",
)

ROOT = Path(airflow_etl_provider.__file__).parent

MODULES = [
    *(f"airflow_etl_provider.operators.{p.stem}" for p in (ROOT / "operators").glob("*.py")
      if p.stem not in ("__init__", "options")),
    "airflow_etl_provider.plugin",
    "airflow_etl_provider.sensors.event",
    "airflow_etl_provider.triggers.event",
    "airflow_etl_provider.get_provider_info",
    "airflow_etl_provider.settings",
]  # fmt: skip


@pytest.mark.parametrize("module", sorted(MODULES))
def test_importing_it_adds_nothing_heavy_to_airflow(module: str) -> None:
    program = (
        "import sys, airflow.sdk; before = set(sys.modules); "
        f"import {module}; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    added = {name.partition(".")[0] for name in done.stdout.split()}
    assert not added & set(HEAVY)
