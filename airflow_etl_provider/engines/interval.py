"""The interval of a column that one run takes, settled from the window or from the position."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Literal

from airflow_etl_provider.contracts.incremental import lag_of, start_of
from airflow_etl_provider.contracts.problem import did_you_mean
from airflow_etl_provider.engines.plan import Interval
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.incremental import Incremental
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.contracts.types import LogicalType
    from airflow_etl_provider.engines.batch import Window
    from airflow_etl_provider.engines.high_mark import High

__all__ = ["EPOCH", "in_microseconds", "plan_interval"]

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_MOST_DIGITS = 18
"""A decimal of more does not fit 64 bits."""


def in_microseconds(time: datetime) -> int:
    """Since 1970, exactly."""
    return (time - EPOCH) // timedelta(microseconds=1)


def plan_interval(
    pipeline: Pipeline,
    *,
    source: Schema,
    target: Schema,
    window: Window | None,
    high: High | None,
) -> Interval | None:
    """Settle which records the run takes by their values; None: all.

    :param high: what the pipeline loaded last; None when that is nothing.
    :raises SpecificationError: the column does not fit, or the window is missing.
    """
    incremental = pipeline.source.incremental
    if incremental is None or incremental.by == "new_files":
        return None
    scope, of = _find(incremental.column or "", source=source, target=target)
    kind = _kind(of, scope=scope)
    if incremental.by == "column":
        return _from_high(incremental, scope=scope, kind=kind, of=of, high=high)
    if kind != "instant":
        raise _wrong_type(incremental, of, "a date or a timestamp")
    if window is None:
        raise SpecificationError(
            f"Pipeline {pipeline.pipeline!r} is incremental by data interval; this run has none.",
            hint="Run it from a scheduled DAG, or give the interval (`airflow-etl run --start ... "
            "--end ...`).",
        )
    return Interval(incremental.column or "", scope, kind, start=window.start, end=window.end)


def _find(
    column: str, *, source: Schema, target: Schema
) -> tuple[Literal["source", "target"], LogicalType]:
    if column in target:
        return "target", target[column].type
    if column in source:
        return "source", source[column].type
    raise SpecificationError(
        f"source.incremental.column names {column!r}, which is neither a column of the contract "
        f"nor a field of the source{did_you_mean(column, (*target.names, *source.names)) or '.'}"
    )


def _kind(of: LogicalType, *, scope: str) -> Literal["instant", "integer"] | None:
    if of.kind in ("date", "timestamp", "timestamptz") or (scope == "source" and of.is_text):
        return "instant"
    exact = of.kind == "decimal" and of.scale == 0 and (of.precision or 0) <= _MOST_DIGITS
    return "integer" if exact or of.kind in ("int16", "int32", "int64") else None


def _wrong_type(incremental: Incremental, of: LogicalType, wanted: str) -> SpecificationError:
    return SpecificationError(
        f"source.incremental.column {incremental.column!r} is {of}; it must be {wanted}."
    )


def _from_high(
    incremental: Incremental,
    *,
    scope: Literal["source", "target"],
    kind: Literal["instant", "integer"] | None,
    of: LogicalType,
    high: High | None,
) -> Interval:
    """From the high value on, the lag below it, or the start where there is none yet."""
    if kind is None:
        raise _wrong_type(incremental, of, "a date, a timestamp or a whole number")
    lag = None if incremental.lag is None else lag_of(incremental.lag)
    first = None if incremental.start is None else start_of(incremental.start)
    for key, value, fitting in (
        ("lag", lag, timedelta if kind == "instant" else int),
        ("start", first, datetime if kind == "instant" else int),
    ):
        if value is not None and not isinstance(value, fitting):
            wanted = "a number" if kind == "integer" else "a span of time" if key == "lag" else None
            raise SpecificationError(
                f"source.incremental.{key} must be {wanted or 'a date or time'}, since column "
                f"{incremental.column!r} is {of}."
            )
    start: datetime | int | None = first
    if high is not None and high.kind != kind:
        raise SpecificationError(
            f"source.incremental.column {incremental.column!r} is {of} now, and the loads so far "
            f"went by values that were each an {high.kind}.",
            hint="Convert it in the contract to what it was, or give the pipeline another name.",
        )
    if high is not None:
        below = lag // timedelta(microseconds=1) if isinstance(lag, timedelta) else lag or 0
        start = _instant(high.value - below) if kind == "instant" else high.value - below
    return Interval(incremental.column or "", scope, kind, start=start, end=None, marked=True)


def _instant(microseconds: int) -> datetime | None:
    """None, for no bound, where the lag leads to before all years."""
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None
