"""A task's run, told to the metadata store while it goes on."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from airflow_etl_provider.exceptions import EtlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.contracts.quality import QualityReport
    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.engines.lineage import Flow
    from airflow_etl_provider.metadata.recorder import Recorder
    from airflow_etl_provider.metadata.run_records import Outcome
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["TaskRecording"]

log = logging.getLogger(__name__)

PATIENCE = 15.0
"""Seconds that the end of a task waits at most for what is still to be written."""


class TaskRecording:
    """What a task tells of its run. Nothing here fails a task, nor holds it up for long."""

    def __init__(
        self,
        task_instance: RuntimeTaskInstanceProtocol,
        *,
        kind: Literal["load", "quality", "discovery"],
    ) -> None:
        self._ti = task_instance
        self._kind = kind
        self._recorder: Recorder | None = None
        self._pipeline: Pipeline | None = None
        self._cpu = time.process_time()

    def begin(
        self, name: str, *, pipeline: Pipeline | None = None, check: str | None = None
    ) -> None:
        """Say that the run goes on, if there is a store to say it to.

        :param name: of the run, as report and ledger have it.
        """
        with _costing_no_run():
            self._begin(name, pipeline=pipeline, check=check)

    def _begin(self, name: str, *, pipeline: Pipeline | None, check: str | None) -> None:
        from airflow_etl_provider.hooks.metadata import store_opener

        opener = store_opener(self._ti)
        if opener is None:
            return
        from airflow_etl_provider.metadata.recorder import Recorder
        from airflow_etl_provider.metadata.registration import register
        from airflow_etl_provider.metadata.run_records import RunOf

        now, ti = _now(), self._ti
        self._pipeline = pipeline
        run = RunOf(
            name=name,
            pipeline=check or (pipeline.pipeline if pipeline is not None else ti.task_id),
            kind=self._kind,
            started_at=now,
            mode=pipeline.target.mode if pipeline is not None else None,
            dag_id=ti.dag_id,
            dag_run_id=ti.run_id,
            task_id=ti.task_id,
            map_index=-1 if ti.map_index is None else ti.map_index,
            try_number=ti.try_number,
        )
        self._recorder = Recorder(run, open_store=opener, clock=_now, relay=_relay_or_none())
        self._recorder.begin(
            register(pipeline, at=now, dag_id=ti.dag_id, task_id=ti.task_id)
            if pipeline is not None
            else None
        )

    def keep_flow(self, flow: Flow) -> None:
        """Tell the datasets of the run, once the plan has settled them."""
        if self._recorder is None or self._pipeline is None:
            return
        from airflow_etl_provider.metadata.registration import datasets_of

        with _costing_no_run():
            datasets, schemas = datasets_of(
                self._pipeline, flow, run_id=self._recorder.run.id, at=_now()
            )
            self._recorder.note(datasets, schemas=schemas)

    def end_load(self, report: RunReport, *, error: BaseException | None = None) -> None:
        """Tell how a load ended."""
        if self._recorder is not None:
            from airflow_etl_provider.metadata.run_records import outcome_of_load

            kind = type(error).__name__ if error is not None else None
            self._end(outcome_of_load(report, figures=self._figures(), error_type=kind))

    def end_check(self, report: QualityReport) -> None:
        """Tell how a check ended."""
        if self._recorder is not None:
            from airflow_etl_provider.metadata.run_records import outcome_of_check

            self._end(outcome_of_check(report, figures=self._figures()))

    def end_discovery(
        self, found: dict[str, Any], *, failed: tuple[str, str] | None = None
    ) -> None:
        """Tell what a discovery found."""
        if self._recorder is not None:
            from airflow_etl_provider.metadata.run_records import outcome_of_discovery

            seconds = (_now() - self._recorder.run.started_at).total_seconds()
            self._end(
                outcome_of_discovery(found, seconds=seconds, figures=self._figures(), failed=failed)
            )

    def end_with_error(self, error: BaseException) -> None:
        """Tell of a run that ended without a report; of a foreign error only its class is told."""
        if self._recorder is not None:
            from airflow_etl_provider.metadata.run_records import Outcome

            ours = isinstance(error, EtlError)
            self._end(
                Outcome(
                    report={"status": "failed"},
                    status="failed",
                    figures=self._figures(),
                    error_code=error.code if isinstance(error, EtlError) else "internal_error",
                    error_message=str(error)
                    if ours
                    else f"The task failed with a {type(error).__qualname__}; its log says more.",
                    error_type=type(error).__name__,
                ),
                # Whoever told the process to stop waits for it.
                patience=PATIENCE if isinstance(error, Exception) else 3.0,
            )

    def _end(self, outcome: Outcome, *, patience: float = PATIENCE) -> None:
        if self._recorder is not None:
            recorder, self._recorder = self._recorder, None
            recorder.end(outcome, patience=patience)

    def _figures(self) -> dict[str, float]:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            # Linux counts in KiB.
            "memory_bytes": float(peak * 1024),
            "cpu_seconds": time.process_time() - self._cpu,
        }


def _relay_or_none() -> Callable[[MetadataStore], None] | None:
    """Find the way to the message bus; a wrong setting costs no run, nor its record."""
    from airflow_etl_provider.hooks.messages import event_relay

    try:
        return event_relay()
    except EtlError as error:
        log.warning("No message bus is told of this run: %s", error)
        return None


@contextmanager
def _costing_no_run() -> Iterator[None]:
    """Turn whatever goes wrong into a warning: the load matters, and the row about it less.

    Looking a connection up asks Airflow, a secrets backend or a network, each of which may fail in
    ways of its own.
    """
    try:
        yield
    except EtlError as error:
        log.warning("The run is not recorded: %s", error)
    except Exception as error:  # noqa: BLE001 - see above
        log.warning("The run is not recorded: a %s came up.", type(error).__qualname__)


def _now() -> datetime:
    return datetime.now(timezone.utc)
