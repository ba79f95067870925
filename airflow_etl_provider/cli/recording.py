"""A run of the command, told to the metadata store where the environment names one."""

from __future__ import annotations

import logging
import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_etl_provider.cli.connections import find_connection
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.hooks.connections import refuse_secrets
from airflow_etl_provider.hooks.metadata import CONNECTION, open_store_at

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.engines.lineage import Flow
    from airflow_etl_provider.metadata.recorder import Recorder

__all__ = ["Recording"]

log = logging.getLogger(__name__)

_PATIENCE = 15.0


class Recording:
    """Records nothing unless `AIRFLOW_CONN_ETL_METADATA_DEFAULT` is set.

    Airflow is not asked for the connection: a command that loads one file shall not import it.

    :raises SpecificationError: the variable is set, and is no connection to a store.
    """

    def __init__(self, pipeline: Pipeline, *, name: str) -> None:
        self._pipeline = pipeline
        self._recorder: Recorder | None = None
        if not os.environ.get(f"AIRFLOW_CONN_{CONNECTION.upper()}"):
            return
        from airflow_etl_provider.metadata.recorder import Recorder
        from airflow_etl_provider.metadata.registration import register
        from airflow_etl_provider.metadata.run_records import RunOf

        connection = find_connection(CONNECTION)
        try:
            refuse_secrets(pipeline)
        except SpecificationError as error:
            # `load` takes what people paste; a table that others read does not.
            log.warning("The run is not recorded: %s", error)
            return
        run = RunOf(
            name=name,
            pipeline=pipeline.pipeline,
            kind="load",
            started_at=_now(),
            mode=pipeline.target.mode,
        )
        self._recorder = Recorder(run, open_store=lambda: open_store_at(connection), clock=_now)
        self._recorder.begin(register(pipeline, at=run.started_at))

    def keep_flow(self, flow: Flow) -> None:
        """Tell the datasets of the run."""
        if self._recorder is not None:
            from airflow_etl_provider.metadata.registration import datasets_of

            datasets, schemas = datasets_of(
                self._pipeline, flow, run_id=self._recorder.run.id, at=_now()
            )
            self._recorder.note(datasets, schemas=schemas)

    def end(self, report: RunReport, *, error: BaseException | None = None) -> None:
        """Tell how it ended."""
        if self._recorder is not None:
            from airflow_etl_provider.metadata.run_records import outcome_of_load

            kind = type(error).__name__ if error is not None else None
            self._recorder.end(
                outcome_of_load(report, figures={}, error_type=kind), patience=_PATIENCE
            )


def _now() -> datetime:
    return datetime.now(timezone.utc)
