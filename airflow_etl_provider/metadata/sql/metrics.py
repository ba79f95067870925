"""Metrics over time, gathered by the database into points of a width."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, cast, func, literal, select

from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.metadata.queries import MetricPoint, MetricSeries
from airflow_etl_provider.metadata.tables.runs import METRIC

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from airflow_etl_provider.metadata.queries import MetricQuery

__all__ = ["MAX_POINTS", "query_metrics"]

MAX_POINTS = 50_000
"""Points of one answer; a chart shows no more than a few thousand."""

_FOLD: dict[str, Any] = {
    "avg": func.avg,
    "min": func.min,
    "max": func.max,
    "sum": func.sum,
    "count": func.count,
}


def query_metrics(connection: Connection, query: MetricQuery) -> tuple[MetricSeries, ...]:
    """Read the series, in the order of name and group.

    :raises SpecificationError: no name, an empty range, or more points than an answer holds.
    """
    if not query.names:
        raise SpecificationError("A query of metrics names at least one.")
    if query.since >= query.until:
        raise SpecificationError("`since` must be before `until`.")
    width = None if query.resolution is None else int(query.resolution.total_seconds())
    if width is not None and width < 1:
        raise SpecificationError("`resolution` is at least one second.")
    group = {"none": literal(""), "pipeline": METRIC.c.pipeline, "run": METRIC.c.run_id}[
        query.group_by
    ].label("grouped")
    conditions = [
        METRIC.c.name.in_(query.names),
        METRIC.c.at >= query.since,
        METRIC.c.at < query.until,
    ]
    if query.pipelines:
        conditions.append(METRIC.c.pipeline.in_(query.pipelines))
    if query.run_ids:
        conditions.append(METRIC.c.run_id.in_(query.run_ids))
    if width is None:
        statement = select(METRIC.c.name, group, METRIC.c.at, METRIC.c.value).where(*conditions)
    else:
        statement = _folded(connection, query, conditions, group, width)
    rows = connection.execute(statement.limit(MAX_POINTS + 1)).all()
    if len(rows) > MAX_POINTS:
        raise SpecificationError(
            f"The answer has more than {MAX_POINTS} points.",
            hint="Ask for a coarser `resolution`, a shorter time, or fewer groups.",
        )
    series: dict[tuple[str, str], list[MetricPoint]] = {}
    for name, grouped, at, value in rows:
        moment = at if width is None else datetime.fromtimestamp(int(at) * width, timezone.utc)
        series.setdefault((name, grouped), []).append(MetricPoint(moment, float(value)))
    return tuple(
        MetricSeries(name, grouped, tuple(sorted(points, key=lambda point: point.at)))
        for (name, grouped), points in sorted(series.items())
    )


def _folded(
    connection: Connection,
    query: MetricQuery,
    conditions: list[ColumnElement[bool]],
    group: Any,
    width: int,
) -> Any:
    bucket = _bucket(connection.dialect.name, width)
    # PostgreSQL takes no constant for a group.
    groups = [METRIC.c.name, bucket, *([] if query.group_by == "none" else [group])]
    if query.aggregation != "last":
        return (
            select(METRIC.c.name, group, bucket, _FOLD[query.aggregation](METRIC.c.value))
            .where(*conditions)
            .group_by(*groups)
        )
    ranked = (
        select(
            METRIC.c.name,
            group,
            bucket,
            METRIC.c.value,
            func.row_number()
            .over(
                partition_by=groups,
                order_by=(METRIC.c.at.desc(), METRIC.c.run_id.desc()),
            )
            .label("place"),
        )
        .where(*conditions)
        .subquery()
    )
    return select(ranked.c.name, ranked.c.grouped, ranked.c.bucket, ranked.c.value).where(
        ranked.c.place == 1
    )


def _bucket(dialect: str, width: int) -> Any:
    """How many widths passed since 1970; moments before it are none of ours."""
    if dialect == "postgresql":
        widths: Any = func.floor(func.extract("epoch", METRIC.c.at) / width)
    else:
        widths = cast(func.strftime("%s", METRIC.c.at), BigInteger) // width
    return cast(widths, BigInteger).label("bucket")
