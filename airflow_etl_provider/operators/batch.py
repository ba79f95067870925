"""The operator that runs one pipeline in one task."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_etl_provider.contracts.summary import describe_progress, describe_report
from airflow_etl_provider.exceptions import (
    BudgetExceededError,
    DataQualityError,
    EtlError,
    LoadConflictError,
    LoadRuleError,
    SpecificationError,
    TargetAuthError,
    TargetDataError,
    TargetMissingError,
    TargetPermissionError,
    TargetSchemaError,
)
from airflow_etl_provider.operators.links import QuarantineLink, quarantine_url

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.engines.batch import Progress

__all__ = ["BatchPipelineOperator"]

NEEDS_A_PERSON = (
    SpecificationError,
    TargetAuthError,
    TargetDataError,
    TargetMissingError,
    TargetPermissionError,
    TargetSchemaError,
    LoadConflictError,
    LoadRuleError,
    BudgetExceededError,
    DataQualityError,
)
"""Errors that the same input meets again: the task fails at once and keeps its retries."""

INPUTS_IN_XCOM = 100
"""A report of thousands of files does not fit an XCom; its totals always do."""


class BatchPipelineOperator(BaseOperator):
    """Load what a pipeline's source holds into its target, whole or not at all.

    .. code-block:: python

        BatchPipelineOperator(task_id="orders", pipeline="pipelines/orders.yaml")

    A pipeline given as a dict is templated like any field. Of a YAML file and of a `Pipeline` only
    locations, tables and the quarantine are templated, after the file was read.

    :param pipeline: a YAML file (relative to the DAG file's folder), a dict, or a `Pipeline`.
    :param source_location: read this instead of the pipeline's `source.location`; map over it.
    :param target_table: write this instead of the pipeline's `target.table`.
    :param window_start: start of the window, where it shall not be the run's data interval.
    :param window_end: its end, excluded. Both are ISO 8601 times; without a zone they are UTC.
    :param check: read the pipeline when the DAG is parsed, so that a mistake is an import error.
    :param progress_every: seconds between two lines of progress in the log; by default
        `[etl] progress_interval` of Airflow's configuration.
    """

    template_fields: Sequence[str] = (
        "pipeline",
        "source_location",
        "target_table",
        "window_start",
        "window_end",
    )
    template_fields_renderers = {"pipeline": "json"}  # noqa: RUF012
    ui_color = "#d5e8d4"
    operator_extra_links = (QuarantineLink(),)

    def __init__(
        self,
        *,
        pipeline: str | Mapping[str, Any] | Pipeline,
        source_location: str | None = None,
        target_table: str | None = None,
        window_start: str | datetime | None = None,
        window_end: str | datetime | None = None,
        check: bool = False,
        progress_every: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.source_location = source_location
        self.target_table = target_table
        self.window_start = window_start
        self.window_end = window_end
        self.check = check
        self.progress_every = progress_every
        self.quarantine_url = ""
        self._cancelled = False
        self._progress_seconds = 0.0
        self._next_line = 0.0
        if check:
            self._read_pipeline()

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the pipeline and return its report."""
        try:
            report = self._run(context)
        except EtlError as error:
            if error.report is not None:
                self._keep_report(error.report, context)
                context["ti"].xcom_push("return_value", _for_xcom(error.report))
            # What a driver says may quote a row: the cause is named, its text stays out of logs.
            if error.__cause__ is not None:
                self.log.info("The cause was a %s.", type(error.__cause__).__qualname__)
            if isinstance(error, NEEDS_A_PERSON):
                raise AirflowFailException(f"{error} [{error.code}]") from None
            raise error from None
        self._keep_report(report, context)
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(_for_asset(report))
        return _for_xcom(report)

    def on_kill(self) -> None:
        """Ask the run to stop: it publishes nothing and leaves nothing behind."""
        self.log.warning("Told to stop; nothing will be published.")
        self._cancelled = True

    def _run(self, context: Context) -> RunReport:
        from airflow_etl_provider.engines.batch import run_pipeline
        from airflow_etl_provider.hooks.connections import find_airflow_connection, refuse_secrets
        from airflow_etl_provider.operators.options import engine_options
        from airflow_etl_provider.operators.specification import for_this_task
        from airflow_etl_provider.operators.window import window_of
        from airflow_etl_provider.settings import read_settings

        settings = read_settings()
        self._progress_seconds = (
            settings.progress_interval if self.progress_every is None else self.progress_every
        )
        pipeline, base = self._read_pipeline()
        pipeline = for_this_task(
            pipeline,
            # A dict was rendered with the other fields, and nothing is rendered twice.
            render=None if isinstance(self.pipeline, Mapping) else self._renderer(context),
            source_location=self.source_location,
            target_table=self.target_table,
            mapped=context["ti"].map_index not in (None, -1),
        )
        refuse_secrets(pipeline)
        return run_pipeline(
            pipeline,
            connections=find_airflow_connection,
            run_id=str(context["ti"].id),
            window=window_of(pipeline, context, start=self.window_start, end=self.window_end),
            base=base,
            options=engine_options(settings),
            clock=lambda: datetime.now(timezone.utc),
            progress=self._log_progress,
            cancel=lambda: self._cancelled,
        )

    def _read_pipeline(self) -> tuple[Pipeline, Path]:
        from airflow_etl_provider.operators.specification import read_specification

        dag = self.get_dag()
        folder = Path(dag.folder) if dag else Path.cwd()
        return read_specification(self.pipeline, folder=folder)

    def _renderer(self, context: Context) -> Callable[[str], str]:
        env = self.get_template_env()
        return lambda text: str(self.render_template(text, context, env))

    def _log_progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + self._progress_seconds
            self.log.info(describe_progress(progress))

    def _keep_report(self, report: RunReport, context: Context) -> None:
        for line in describe_report(report):
            self.log.info(line)
        if report.quarantine and report.rows_quarantined:
            self.quarantine_url = quarantine_url(report.quarantine, task_url=context["ti"].log_url)


def _for_xcom(report: RunReport) -> dict[str, Any]:
    """Make the report JSON, and of bounded size."""
    content: dict[str, Any] = json.loads(json.dumps(report.to_dict()))
    content["inputs"] = content["inputs"][:INPUTS_IN_XCOM]
    return content


def _for_asset(report: RunReport) -> dict[str, Any]:
    """Give what a consumer of the asset may decide by."""
    return {
        "status": report.status,
        "load_id": report.load_id,
        "rows_read": report.rows_read,
        "rows_loaded": report.rows_loaded,
        "rows_quarantined": report.rows_quarantined,
    }
