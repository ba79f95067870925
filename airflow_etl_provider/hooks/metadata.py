"""Which metadata store this task reaches, and how."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.exceptions import ConnectionNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["CONNECTION", "open_store_at", "store_opener"]

log = logging.getLogger(__name__)

CONNECTION = "etl_metadata_default"
"""The connection of the metadata store, where there is one."""


def store_opener(
    task_instance: RuntimeTaskInstanceProtocol,
) -> Callable[[], MetadataStore] | None:
    """Find the store of a task, without reaching for it yet; None where there is none.

    The connection `etl_metadata_default` says where it is. Without it, the API of this deployment
    is asked, where `[etl] task_secret` is set. What is returned imports the driver and connects
    when it is called, which may be in another thread.

    :raises SpecificationError: the connection is there and is no store.
    """
    from airflow_etl_provider.hooks.connections import find_airflow_connection

    try:
        found = find_airflow_connection(CONNECTION)
    except ConnectionNotFoundError:
        opener = _api_opener(task_instance)
        if opener is None:
            log.info(
                "Runs are not recorded: there is neither a connection %s, which names the database "
                "with the tables etl_*, nor [etl] task_secret, by which the API would be asked.",
                CONNECTION,
            )
        return opener
    return partial(open_store_at, found)


def _api_opener(
    task_instance: RuntimeTaskInstanceProtocol,
) -> Callable[[], MetadataStore] | None:
    """Reach the API of this deployment with a token of the task."""
    from airflow.sdk.configuration import conf

    secret = (conf.get("etl", "task_secret", fallback="") or "").strip()
    base = conf.get("etl", "api_url", fallback="") or conf.get("api", "base_url", fallback="") or ""
    if not secret or not base.strip():
        return None
    minutes = float(conf.get("etl", "task_token_minutes", fallback="") or 10)
    index = task_instance.map_index
    claims = {
        "dag_id": task_instance.dag_id,
        "run_id": task_instance.run_id,
        "task_id": task_instance.task_id,
        "map_index": -1 if index is None else index,
        "try_number": task_instance.try_number,
    }
    return partial(_open_api, f"{base.strip().rstrip('/')}/etl/api/v1", secret, minutes, claims)


def _open_api(url: str, secret: str, minutes: float, claims: dict[str, Any]) -> MetadataStore:
    from airflow_etl_provider.metadata.http import ApiStore
    from airflow_etl_provider.metadata.http.task_token import TaskClaims, check_secret, sign_token

    check_secret(secret)
    return ApiStore(
        url,
        token=lambda: sign_token(
            TaskClaims(**claims),
            secret=secret,
            now=datetime.now(timezone.utc),
            lasts=timedelta(minutes=minutes),
        ),
    )


def open_store_at(connection: Connection) -> MetadataStore:
    """Open the store of a connection of type postgres or sqlite."""
    from airflow_etl_provider.metadata.sql import SqlStore
    from airflow_etl_provider.metadata.sql.location import url_of

    return SqlStore(url_of(connection))
