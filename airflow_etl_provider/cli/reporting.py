"""Running a pipeline with everything a terminal offers: progress, a way to stop, a report."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_etl_provider.cli.command import DONE, DONE_WITH_REJECTS
from airflow_etl_provider.cli.progress import ProgressBar
from airflow_etl_provider.cli.recording import Recording
from airflow_etl_provider.cli.stopping import stop_on_signals
from airflow_etl_provider.contracts.report import RunReport
from airflow_etl_provider.contracts.summary import describe_report
from airflow_etl_provider.exceptions import EtlError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.cli.console import Console
    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.engines.batch import EngineOptions, Window

__all__ = ["run_and_report"]


def run_and_report(
    pipeline: Pipeline,
    *,
    console: Console,
    connections: Connections,
    base: Path,
    options: EngineOptions | None = None,
    window: Window | None = None,
) -> int:
    """Run it, write the report, and give the exit code."""
    from airflow_etl_provider.engines.batch import run_pipeline

    run_id = uuid.uuid4().hex
    recording = Recording(pipeline, name=run_id)
    with (
        stop_on_signals(console.say) as asked_to_stop,
        ProgressBar(shown=console.stderr_is_terminal) as bar,
    ):
        try:
            report = run_pipeline(
                pipeline,
                connections=connections,
                run_id=run_id,
                window=window,
                base=base,
                options=options,
                clock=lambda: datetime.now(timezone.utc),
                progress=bar,
                cancel=asked_to_stop,
                planned=recording.keep_flow,
            )
        except EtlError as error:
            bar.clear()
            if error.report is not None:
                _write(error.report, console)
            # Whoever reads the JSON finds the same keys however far the run came.
            error.report = error.report or RunReport(
                status="failed",
                run_id=run_id,
                pipeline=pipeline.pipeline,
                load_id=None,
                target=None,
                error={"code": error.code, "message": str(error)},
            )
            recording.end(error.report, error=error)
            raise
    recording.end(report)
    _write(report, console)
    if console.json_wanted:
        console.result(report.to_dict())
    return DONE_WITH_REJECTS if report.rows_quarantined else DONE


def _write(report: RunReport, console: Console) -> None:
    for line in describe_report(report):
        console.say(line)
