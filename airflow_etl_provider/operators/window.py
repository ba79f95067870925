"""Which part of the source a task run takes."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.engines.batch import Window

__all__ = ["window_of"]

HOW_TO_GET_ONE = (
    "Schedule the DAG with CronDataIntervalTimetable or DeltaDataIntervalTimetable of airflow.sdk "
    "(a plain cron string gives no interval in Airflow 3), or give the operator `window_start` and "
    '`window_end`, for instance from params: window_start="{{ params.start }}".'
)


def window_of(
    pipeline: Pipeline,
    context: Context,
    *,
    start: str | datetime | None,
    end: str | datetime | None,
) -> Window | None:
    """Take the given window, else the run's data interval; None where the pipeline needs none.

    A pipeline that is not incremental by data interval is known by its input alone: the same file
    stays the same load, in whichever run it is met.

    :raises SpecificationError: the run has no window and needs one, or it ends before it starts.
    """
    from airflow_etl_provider.engines.batch import Window

    incremental = pipeline.source.incremental
    if incremental is None or incremental.by != "data_interval":
        if _read_time(start, "window_start") or _read_time(end, "window_end"):
            raise SpecificationError(
                f"Pipeline {pipeline.pipeline!r} is given a window but does not load by one.",
                hint="Add `incremental: { by: data_interval, column: ... }` to its source, or "
                "leave `window_start` and `window_end` away.",
            )
        return None
    first, last = _read_time(start, "window_start"), _read_time(end, "window_end")
    if first is None and last is None:
        first, last = context.get("data_interval_start"), context.get("data_interval_end")
        if first is None or last is None or first == last:
            raise SpecificationError(
                f"Pipeline {pipeline.pipeline!r} loads by data interval, and this run has none "
                "(triggered by hand, by an asset, or by a cron string).",
                hint=HOW_TO_GET_ONE,
            )
    if first is None or last is None:
        raise SpecificationError(
            "Only one of `window_start` and `window_end` is given.", hint="Give both or neither."
        )
    if first >= last:
        raise SpecificationError(
            f"The window of pipeline {pipeline.pipeline!r} starts at {first.isoformat()}, which is "
            f"not before its end at {last.isoformat()}."
        )
    return Window(start=first, end=last)


def _read_time(value: str | datetime | None, name: str) -> datetime | None:
    """Read an ISO 8601 time. A template that renders to `None` or nothing is no time."""
    if isinstance(value, str):
        if value.strip() in ("", "None", "none"):
            return None
        try:
            value = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            raise SpecificationError(
                f"`{name}` is {value!r}, which is no ISO 8601 time such as 2026-11-01T06:00:00Z."
            ) from None
    if value is None:
        return None
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
