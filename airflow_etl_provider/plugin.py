"""The plugin that Airflow loads in every component; importing it must stay cheap."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

__all__ = ["EtlPlugin"]


class EtlPlugin(AirflowPlugin):
    """Registers what the provider adds to Airflow."""

    name = "airflow_etl_provider"
