"""The plugin that Airflow loads in every component; importing it must stay cheap."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_etl_provider import listener

__all__ = ["EtlPlugin"]


class _Apps:
    """The application, made when the API server asks for it: no other component needs FastAPI."""

    def __get__(self, _plugin: object, _owner: object = None) -> list[dict[str, Any]]:
        import sys

        if "airflow.api_fastapi.app" not in sys.modules:
            return []
        from airflow_etl_provider.api.app import create_app

        return [{"app": create_app(), "url_prefix": "/etl", "name": "ETL"}]


class EtlPlugin(AirflowPlugin):
    """Registers what the provider adds to Airflow."""

    name = "airflow_etl_provider"
    fastapi_apps = _Apps()
    listeners = [listener]  # noqa: RUF012 - as Airflow wants it
