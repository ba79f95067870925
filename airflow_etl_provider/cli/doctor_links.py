"""What the doctor looks at beyond the database: the API that tasks ask, and the message bus."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from airflow_etl_provider.cli.connections import find_connection
from airflow_etl_provider.cli.finding import Finding
from airflow_etl_provider.exceptions import EtlError, MetadataUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["api_findings", "bus_findings"]


def api_findings() -> Iterator[Finding]:
    """Ask the API as a task would, where `[etl] task_secret` is set in the environment."""
    secret = os.environ.get("AIRFLOW__ETL__TASK_SECRET", "").strip()
    base = os.environ.get("AIRFLOW__ETL__API_URL") or os.environ.get("AIRFLOW__API__BASE_URL", "")
    if not secret:
        return
    from airflow_etl_provider.metadata.http.task_token import TaskClaims, check_secret, sign_token
    from airflow_etl_provider.metadata.queries import Query
    from airflow_etl_provider.metadata.records import PipelineRecord

    about = "API"
    try:
        check_secret(secret)
    except EtlError as error:
        yield Finding("problem", about, error.message, error.hint or "")
        return
    if not base.strip():
        yield Finding(
            "warning",
            about,
            "[etl] task_secret is set, and nothing says where the API server is",
            "Set [etl] api_url, or [api] base_url, to where workers reach it.",
        )
        return
    from airflow_etl_provider.metadata.http import ApiStore

    url = f"{base.strip().rstrip('/')}/etl/api/v1"

    def token() -> str:
        return sign_token(
            TaskClaims("airflow-etl", "doctor", "doctor"),
            secret=secret,
            now=datetime.now(timezone.utc),
            lasts=timedelta(minutes=1),
        )

    try:
        with closing(ApiStore(url, token=token)) as store:
            store.find(Query(PipelineRecord, limit=1))
    except MetadataUnavailableError as error:
        yield Finding(
            "problem", about, error.message, "Is this the address by which workers reach it?"
        )
    except EtlError as error:
        yield Finding(
            "problem",
            about,
            f"{url} is there, and refuses a task: {error.message}",
            "API servers and workers need the same [etl] task_secret, and clocks that agree.",
        )
    else:
        yield Finding("ok", about, f"{url} knows tasks by their token")


def bus_findings() -> Iterator[Finding]:
    """Reach for the bus that `[etl] message_bus` names in the environment."""
    name = os.environ.get("AIRFLOW__ETL__MESSAGE_BUS", "").strip()
    if not name:
        return
    from airflow_etl_provider.bus.relay import bus_of

    about = "message bus"
    try:
        with closing(bus_of(find_connection(name))) as bus:
            bus.check()
    except EtlError as error:
        yield Finding(
            "problem",
            about,
            f"{name}: {error.message}",
            f"Mend the connection {name}, or start the broker. Events wait in the event table.",
        )
    else:
        yield Finding("ok", about, f"{name} answers")
