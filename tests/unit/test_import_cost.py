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


# What whoever imports such a module has imported long before.
BEFORE = {
    "airflow_etl_provider.operators.lineage_facets": "airflow.providers.openlineage.extractors"
}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_importing_it_adds_nothing_heavy_to_airflow(module: str) -> None:
    program = (
        f"import sys, {BEFORE.get(module, 'airflow.sdk')}; before = set(sys.modules); "
        f"import {module}; print('\\nadded', *sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    # Airflow may have logged to the lines above.
    told, *modules = done.stdout.splitlines()[-1].split()
    assert told == "added"
    added = {name.partition(".")[0] for name in modules}
    assert not added & set(HEAVY)
