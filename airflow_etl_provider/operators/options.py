"""What this Airflow's configuration says to the engine."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk.configuration import conf

from airflow_etl_provider.engines.batch import EngineOptions

__all__ = ["engine_options"]


def engine_options() -> EngineOptions:
    """Read `[etl] quarantine`: where rejected rows go when neither pipeline nor target says so."""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    folder = conf.get("etl", "quarantine", fallback=str(home / "quarantine"))
    return EngineOptions(quarantine_home=Path(folder))
