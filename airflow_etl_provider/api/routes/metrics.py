"""Metrics over time, for charts."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query

from airflow_etl_provider.api.access import ReaderDep
from airflow_etl_provider.api.models import MetricsQuery, Series
from airflow_etl_provider.api.store import StoreDep
from airflow_etl_provider.api.visibility import visible_pipelines
from airflow_etl_provider.metadata.queries import MetricQuery

__all__ = ["router"]

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_model=list[Series], summary="Read metrics over time")
def metrics(asker: ReaderDep, store: StoreDep, query: Annotated[MetricsQuery, Query()]) -> Any:
    """One series per name and group; with `resolution` gathered into points of that width."""
    pipelines = tuple(query.pipeline)
    visible = visible_pipelines(asker, store)
    if visible is not None:
        pipelines = tuple(sorted(visible & set(pipelines) if pipelines else visible))
        if not pipelines:
            return []
    found = store.metrics(
        MetricQuery(
            names=tuple(query.name),
            since=query.since,
            until=query.until,
            pipelines=pipelines,
            run_ids=tuple(query.run_id),
            resolution=timedelta(seconds=query.resolution) if query.resolution else None,
            aggregation=query.aggregation,
            group_by=query.group_by,
        )
    )
    return [
        {
            "name": series.name,
            "group": series.group,
            "at": [point.at for point in series.points],
            "value": [point.value for point in series.points],
        }
        for series in found
    ]
