"""React to what happened: whenever a load fails, say which one, why, and how often lately."""

from __future__ import annotations

import logging
from typing import Any

from airflow_etl_provider.decorators.on_event import on_event

log = logging.getLogger(__name__)


@on_event("load_failed", dag_id="failed_loads", tags=["etl", "events"])
def tell_of_failure(event: dict[str, Any]) -> dict[str, Any]:
    """Take what the event tells; an event has ids and names, never data."""
    from contextlib import closing

    from airflow_etl_provider.hooks.connections import find_airflow_connection
    from airflow_etl_provider.hooks.metadata import CONNECTION, open_store_at
    from airflow_etl_provider.metadata.queries import Query
    from airflow_etl_provider.metadata.records import FailureRecord

    pipeline, code = event["pipeline"], event["facts"]["code"]
    with closing(open_store_at(find_airflow_connection(CONNECTION))) as store:
        lately = store.find(Query(FailureRecord, equals={"pipeline": pipeline, "code": code}))
    log.info("%s failed with %s, one of %d such failures of it.", pipeline, code, len(lately.items))
    return {"pipeline": pipeline, "code": code, "times": len(lately.items)}
