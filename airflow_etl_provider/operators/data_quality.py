"""The operator that checks a table, or files, by rules alone."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_etl_provider.contracts.summary import (
    describe_progress,
    describe_quality,
    shorten_notes,
)
from airflow_etl_provider.exceptions import DataQualityError, EtlError
from airflow_etl_provider.operators.batch import NEEDS_A_PERSON
from airflow_etl_provider.operators.links import ViolationsLink, quarantine_url
from airflow_etl_provider.operators.listening import run_listening
from airflow_etl_provider.operators.recording import TaskRecording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_etl_provider.contracts.quality import QualityCheck, QualityReport
    from airflow_etl_provider.engines.batch import Progress

__all__ = ["DataQualityOperator"]


class DataQualityOperator(BaseOperator):
    """Check rules on a table that is there already; the table is never changed.

    .. code-block:: python

        DataQualityOperator(
            task_id="orders_are_good",
            connection="warehouse",
            table="sales.orders",
            rules=[
                {"column": "order_id", "not_null": True, "unique": True},
                {"column": "customer_id", "references": "sales.customers.customer_id"},
                {"column": "email", "matches": "email", "severity": "warn"},
                {"load": "rows >= 1000"},
            ],
            where="ordered_at >= '{{ data_interval_start }}'",
        )

    The task fails where a rule of severity `fail` is broken, or more rows than `max_violations`
    break one of severity `quarantine`. Rows that break a rule are sampled to the quarantine.

    :param rules: as in a pipeline: a list, or a YAML file with `rules` (a pipeline's, too),
        relative to the DAG file's folder.
    :param connection: of the table's database (PostgreSQL, DuckDB), or of the files.
    :param table: a table or view: `orders` or `sales.orders`.
    :param location: files (CSV, JSONL, Parquet) in place of a table: a path or a pattern.
    :param format: of the files, where it is not to be found out.
    :param where: an SQL condition over the columns; only rows for which it is true are checked.
    :param max_violations: how many rows may break rules of severity `quarantine`: `100`, `"1%"` or
        `"none"`.
    :param sample: how many rows are kept for each rule that is broken; 0 keeps none.
    :param sample_columns: columns that the sample shows besides the key and what rules look at.
    :param quarantine: the folder for samples; by default that of `[etl] quarantine`.
    :param check: the name that samples are kept under; by default the DAG's and the task's.
    :param progress_every: seconds between two lines of progress in the log.
    """

    template_fields: Sequence[str] = (
        "rules",
        "connection",
        "table",
        "location",
        "where",
        "max_violations",
        "quarantine",
    )
    template_fields_renderers = {"rules": "json", "where": "sql"}  # noqa: RUF012
    ui_color = "#dae8fc"
    operator_extra_links = (ViolationsLink(),)

    def __init__(
        self,
        *,
        rules: Sequence[Mapping[str, Any]] | str,
        connection: str | None = None,
        table: str | None = None,
        location: str | None = None,
        format: str | None = None,
        where: str | None = None,
        max_violations: int | str = 0,
        sample: int = 100,
        sample_columns: Sequence[str] = (),
        quarantine: str | None = None,
        check: str | None = None,
        progress_every: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rules = rules
        self.connection = connection
        self.table = table
        self.location = location
        self.format = format
        self.where = where
        self.max_violations = max_violations
        self.sample = sample
        self.sample_columns = sample_columns
        self.quarantine = quarantine
        self.check = check
        self.progress_every = progress_every
        self.violations_url = ""
        self._cancelled = False
        self._progress_seconds = 0.0
        self._next_line = 0.0
        self._recording: TaskRecording | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, and return the report."""
        self._recording = TaskRecording(context["ti"], kind="quality")
        try:
            report = run_listening(partial(self._run, context), stop=self._stop)
        except EtlError as error:
            self._recording.end_with_error(error)
            # What a driver says may quote a row: the cause is named, its text stays out of logs.
            if error.__cause__ is not None:
                self.log.info("The cause was a %s.", type(error.__cause__).__qualname__)
            if isinstance(error, NEEDS_A_PERSON):
                raise AirflowFailException(f"{error} [{error.code}]") from None
            raise error from None
        except BaseException as error:
            self._recording.end_with_error(error)
            raise
        self._recording.end_check(report)
        for line in describe_quality(report):
            self.log.info(line)
        if report.sample is not None:
            self.violations_url = quarantine_url(report.sample, task_url=context["ti"].log_url)
        content: dict[str, Any] = json.loads(json.dumps(report.to_dict()))
        content["notes"] = shorten_notes(report.notes)
        if report.status == "failed":
            if self.do_xcom_push:
                context["ti"].xcom_push("return_value", content)
            failure = failure_of(report)
            raise AirflowFailException(f"{failure} [{failure.code}]")
        return content

    def on_kill(self) -> None:
        """Ask the check to stop."""
        self.log.warning("Told to stop.")
        self._stop()

    def _stop(self) -> None:
        self._cancelled = True

    def _run(self, context: Context) -> QualityReport:
        from airflow_etl_provider.engines.quality import check_quality
        from airflow_etl_provider.hooks.connections import find_airflow_connection
        from airflow_etl_provider.operators.options import engine_options
        from airflow_etl_provider.settings import read_settings

        settings = read_settings()
        self._progress_seconds = (
            settings.progress_interval if self.progress_every is None else self.progress_every
        )
        folder = self._folder()
        check = self._specification(folder)
        if self._recording is not None:
            self._recording.begin(str(context["ti"].id), check=check.check)
        return check_quality(
            check,
            connections=find_airflow_connection,
            run_id=str(context["ti"].id),
            base=folder,
            options=engine_options(settings),
            clock=lambda: datetime.now(timezone.utc),
            progress=self._log_progress,
            cancel=lambda: self._cancelled,
        )

    def _specification(self, folder: Path) -> QualityCheck:
        from airflow_etl_provider.contracts.files import read_rules
        from airflow_etl_provider.contracts.quality import QualityCheck
        from airflow_etl_provider.hooks.connections import refuse_secret

        rules = read_rules(folder / self.rules) if isinstance(self.rules, str) else self.rules
        name = self.check or f"{self.dag_id}.{self.task_id}"
        for key, value in (("location", self.location), ("quarantine", self.quarantine)):
            refuse_secret(value or "", key=key, owner=f"check {name!r}")
        given = {
            "connection": self.connection,
            "table": self.table,
            "location": self.location,
            "format": self.format,
            "where": self.where,
            "quarantine": self.quarantine,
        }
        return QualityCheck.model_validate(
            {
                "check": name,
                "rules": rules,
                "max_violations": self.max_violations,
                "sample": self.sample,
                "sample_columns": list(self.sample_columns),
            }
            | {key: value for key, value in given.items() if value}
        )

    def _folder(self) -> Path:
        dag = self.get_dag()
        return Path(dag.folder) if dag else Path.cwd()

    def _log_progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + self._progress_seconds
            self.log.info(describe_progress(progress))


def failure_of(report: QualityReport) -> DataQualityError:
    """Say in one line what a failed check found."""
    from airflow_etl_provider.contracts.summary import describe_broken, show_command

    hint = f"Look at rows: {show_command(report.sample)}" if report.sample else None
    return DataQualityError(
        f"{report.rows_violating} of {report.rows_checked} rows of {report.dataset} break rules: "
        f"{'; '.join(describe_broken(report))}.",
        hint=hint,
    )
