from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from typing import TYPE_CHECKING

import jsonschema

from airflow_etl_provider.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from pathlib import Path


def test_the_provider_info_fits_airflows_own_schema() -> None:
    schema = json.loads(
        resources.files("airflow").joinpath("provider_info.schema.json").read_text()
    )
    jsonschema.validate(get_provider_info(), schema)


def test_airflow_finds_the_provider_and_its_plugin(tmp_path: Path) -> None:
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path)}
    airflow = [sys.executable, "-m", "airflow"]
    providers = subprocess.run(
        [*airflow, "providers", "get", "airflow-etl-provider"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "airflow-etl-provider" in providers.stdout
    plugins = subprocess.run(
        [*airflow, "plugins"], env=environment, capture_output=True, text=True, check=True
    )
    assert "airflow_etl_provider" in plugins.stdout
