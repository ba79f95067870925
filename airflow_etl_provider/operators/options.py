"""From the settings of this Airflow to the options of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.engines.batch import EngineOptions

if TYPE_CHECKING:
    from airflow_etl_provider.settings import Settings

__all__ = ["engine_options"]


def engine_options(settings: Settings) -> EngineOptions:
    """Give the engine what holds where a pipeline says nothing."""
    return EngineOptions(
        quarantine_home=settings.quarantine,
        memory_limit=settings.memory_limit_mb * 2**20,
        threads=settings.threads,
    )
