"""`airflow-etl run`: a pipeline file, run as a task would run it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_etl_provider.cli.connections import find_connection
from airflow_etl_provider.cli.reporting import run_and_report
from airflow_etl_provider.contracts.files import read_pipeline
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.hooks.connections import refuse_secrets

if TYPE_CHECKING:
    import argparse

    from airflow_etl_provider.cli.console import Console
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.engines.batch import Window

__all__ = ["run"]


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the pipeline and report."""
    pipeline = read_pipeline(args.pipeline)
    refuse_secrets(pipeline)
    return run_and_report(
        pipeline,
        console=console,
        connections=find_connection,
        base=args.pipeline.parent,
        window=_window(pipeline, start=args.start, end=args.end),
    )


def _window(pipeline: Pipeline, *, start: str | None, end: str | None) -> Window | None:
    from airflow_etl_provider.engines.batch import Window

    incremental = pipeline.source.incremental
    needs_one = incremental is not None and incremental.by == "data_interval"
    if not needs_one and not (start or end):
        return None
    if not needs_one:
        raise SpecificationError(
            f"Pipeline {pipeline.pipeline!r} does not load by data interval.",
            hint="Leave --start and --end away.",
        )
    if not (start and end):
        raise SpecificationError(
            f"Pipeline {pipeline.pipeline!r} loads by data interval.",
            hint="Say which with --start and --end, as in --start 2013-01-01 --end 2013-01-02.",
        )
    window = Window(start=_read_time(start, "--start"), end=_read_time(end, "--end"))
    if window.start >= window.end:
        raise SpecificationError("--start must be before --end.")
    return window


def _read_time(text: str, option: str) -> datetime:
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise SpecificationError(
            f"{option} {text!r} is no time; write 2013-01-01 or 2013-01-01T06:00:00+00:00."
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
