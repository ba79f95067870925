from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("duckdb", "pyarrow", "sqlglot", "ruamel", "airflow", "openai", "kafka", "boto3")


@pytest.mark.parametrize(
    "module", ["contracts", "contracts.files", "contracts.by_name", "contracts.json_schema"]
)
def test_importing_the_contracts_imports_nothing_heavy(module):
    code = (
        f"import sys, airflow_etl_provider.{module}; "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
