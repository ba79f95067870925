"""The operator that runs one pipeline in one task."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import Asset, BaseOperator, XComArg
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_etl_provider.contracts.report import RunReport
from airflow_etl_provider.contracts.summary import (
    describe_progress,
    describe_report,
    shorten_notes,
)
from airflow_etl_provider.exceptions import (
    BudgetExceededError,
    DataQualityError,
    EditConflictError,
    EtlError,
    LoadConflictError,
    LoadRuleError,
    MetadataSchemaError,
    SelectError,
    SpecificationError,
    TargetAuthError,
    TargetDataError,
    TargetMissingError,
    TargetPermissionError,
    TargetSchemaError,
    UndoError,
)
from airflow_etl_provider.operators.exclusive import alone_on
from airflow_etl_provider.operators.links import QuarantineLink, quarantine_url
from airflow_etl_provider.operators.listening import run_listening
from airflow_etl_provider.operators.recording import TaskRecording
from airflow_etl_provider.operators.run_name import run_id_of

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.engines.batch import Progress
    from airflow_etl_provider.engines.lineage import Flow

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
    EditConflictError,
    MetadataSchemaError,
    SelectError,
    UndoError,
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
    :param on_nothing_new: what the task does when an incremental pipeline finds nothing new:
        `succeed`, or `skip`, so that what comes after it is skipped and no asset is updated.
    :param lease_wait: hold the pipeline's lease, so that no agent and no other run that asks for it
        is at work on the pipeline meanwhile, and wait so many seconds for the one that has it; then
        the try fails. None, the default, asks for no lease: loads side by side are safe.
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
        on_nothing_new: Literal["succeed", "skip"] = "succeed",
        lease_wait: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_nothing_new not in ("succeed", "skip"):
            raise ValueError(f"on_nothing_new is {on_nothing_new!r}; allowed: succeed, skip.")
        if lease_wait is not None and not lease_wait >= 0:
            raise ValueError(f"lease_wait is {lease_wait!r}; say how many seconds, or None.")
        self.on_nothing_new = on_nothing_new
        self.lease_wait = lease_wait
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
        self._name = ""
        self._flow: Flow | None = None
        self._report: RunReport | None = None
        self._recording: TaskRecording | None = None
        if check and not isinstance(pipeline, XComArg):
            self._check()

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the pipeline and return its report."""
        self._recording = TaskRecording(context["ti"], kind="load")
        try:
            report = run_listening(partial(self._run, context), stop=self._stop)
        except EtlError as error:
            report = error.report or self._report_before_reading(error, context)
            self._keep_report(report, context)
            self._recording.end_load(report, error=error)
            self._push_failure(report, context)
            # What a driver says may quote a row: the cause is named, its text stays out of logs.
            if error.__cause__ is not None:
                self.log.info("The cause was a %s.", type(error.__cause__).__qualname__)
            if isinstance(error, NEEDS_A_PERSON):
                raise AirflowFailException(f"{error} [{error.code}]") from None
            raise error from None
        except BaseException as error:
            self._recording.end_with_error(error)
            raise
        self._keep_report(report, context)
        self._recording.end_load(report)
        if report.status == "nothing_new" and self.on_nothing_new == "skip":
            if self.do_xcom_push:
                context["ti"].xcom_push("return_value", _for_xcom(report))
            raise AirflowSkipException("Nothing new.")
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(_for_asset(report))
        return _for_xcom(report)

    def on_kill(self) -> None:
        """Ask the run to stop: it publishes nothing and leaves nothing behind."""
        self.log.warning("Told to stop; nothing will be published.")
        self._stop()

    def _stop(self) -> None:
        self._cancelled = True

    def get_openlineage_facets_on_complete(
        self, task_instance: object
    ) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage where each column came from, and how many rows."""
        from airflow_etl_provider.operators.lineage_facets import lineage_of_success

        if self._flow is None or self._report is None:
            return None
        return lineage_of_success(self._flow, self._report)

    def get_openlineage_facets_on_failure(
        self, task_instance: object
    ) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage what the run was about, and how far it came."""
        from airflow_etl_provider.operators.lineage_facets import lineage_of_failure

        if self._report is None:
            return None
        return lineage_of_failure(self._flow, self._report)

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
        self._name = pipeline.pipeline
        pipeline = for_this_task(
            pipeline,
            # A dict was rendered with the other fields, and nothing is rendered twice.
            render=None if isinstance(self.pipeline, Mapping) else self._renderer(context),
            source_location=self.source_location,
            target_table=self.target_table,
            mapped=context["ti"].map_index not in (None, -1),
        )
        refuse_secrets(pipeline)
        if self._recording is not None:
            self._recording.begin(self._run_id(context), pipeline=pipeline)
        with alone_on(
            pipeline.pipeline,
            context["ti"],
            holder=self._run_id(context),
            wait=self.lease_wait,
            on_lost=self._stop,
        ):
            return run_pipeline(
                pipeline,
                # Looking one up may log in elsewhere; once per run is enough.
                connections=cache(find_airflow_connection),
                run_id=self._run_id(context),
                window=window_of(pipeline, context, start=self.window_start, end=self.window_end),
                base=base,
                options=engine_options(settings),
                clock=lambda: datetime.now(timezone.utc),
                progress=self._log_progress,
                cancel=lambda: self._cancelled,
                planned=self._keep_flow,
            )

    def _run_id(self, context: Context) -> str:
        return run_id_of(context["ti"], retries=self.retries or 0)

    def _check(self) -> None:
        from airflow_etl_provider.hooks.connections import refuse_secrets

        # A template names a file only when the task runs.
        if not (isinstance(self.pipeline, str) and "{" in self.pipeline):
            refuse_secrets(self._read_pipeline()[0])

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

    def _keep_flow(self, flow: Flow) -> None:
        self._flow = flow
        if self._recording is not None:
            self._recording.keep_flow(flow)

    def _keep_report(self, report: RunReport, context: Context) -> None:
        self._report = report
        for line in describe_report(report):
            self.log.info(line)
        if report.quarantine and report.rows_quarantined:
            self.quarantine_url = quarantine_url(report.quarantine, task_url=context["ti"].log_url)

    def _report_before_reading(self, error: EtlError, context: Context) -> RunReport:
        """The report of a run that ended before there was anything to count."""
        return RunReport(
            status="failed",
            run_id=self._run_id(context),
            pipeline=self._name or self.task_id,
            load_id=None,
            target=None,
            error={"code": error.code, "message": str(error)},
        )

    def _push_failure(self, report: RunReport, context: Context) -> None:
        """Leave the report where a successful run's would be, for those who look why it failed."""
        task_instance = context["ti"]
        if not self.do_xcom_push:
            return
        # Airflow empties the XCom before each try. What is there is by a newer one: Airflow took
        # this process for dead, and it woke up.
        reported = task_instance.xcom_pull(
            task_ids=self.task_id, map_indexes=task_instance.map_index
        )
        if reported is None:
            task_instance.xcom_push("return_value", _for_xcom(report))


def _for_xcom(report: RunReport) -> dict[str, Any]:
    """Make the report JSON, and of bounded size."""
    content: dict[str, Any] = json.loads(json.dumps(report.to_dict()))
    content["inputs"] = content["inputs"][:INPUTS_IN_XCOM]
    content["notes"] = shorten_notes(report.notes)
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
