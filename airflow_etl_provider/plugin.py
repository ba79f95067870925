"""The plugin that Airflow loads in every component; importing it must stay cheap."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

__all__ = ["EtlPlugin"]


class EtlPlugin(AirflowPlugin):
    """Registers what the provider adds to Airflow."""

    name = "airflow_etl_provider"
    operator_extra_links: ClassVar[list[Any]] = []
