"""The batch engine: one pipeline, one load, one report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.contracts.report import RunReport

__all__ = ["EngineOptions", "Progress", "Window", "check_pipeline", "run_pipeline"]


@dataclass(frozen=True, slots=True)
class Window:
    """The data interval of a run: start included, end excluded; both with a time zone."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the machine offers and the caller wants.

    :param quarantine_home: where rejected rows go when neither the pipeline nor the target says so.
    :param memory_limit: bytes that DuckDB may hold; the rest of the process comes on top.
    :param all_text: convert no cell; every column is text.
    """

    quarantine_home: Path = Path("quarantine")
    scratch: Path | None = None
    threads: int | None = None
    memory_limit: int = 256 * 2**20
    all_text: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; `bytes_total` is 0 where it is not known."""

    stage: str
    rows_read: int
    rows_rejected: int
    bytes_read: int
    bytes_total: int
    seconds: float


def run_pipeline(
    pipeline: Pipeline,
    *,
    connections: Connections,
    run_id: str,
    window: Window | None = None,
    base: Path | None = None,
    options: EngineOptions | None = None,
    clock: Callable[[], datetime],
    progress: Callable[[Progress], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> RunReport:
    """Load what the source holds into the target, whole or not at all.

    :param base: folder that relative locations and contract files start from (the pipeline file's).
    :param progress: called at most about once a second, and at the end of each stage.
    :param cancel: asked between batches; True stops the run, which then publishes nothing.
    :raises EtlError: nothing was published; its `report` (when reading had begun) says how far it came.
    """
    raise NotImplementedError


def check_pipeline(
    pipeline: Pipeline,
    *,
    connections: Connections,
    base: Path | None = None,
    options: EngineOptions | None = None,
    rows: int = 0,
) -> list[str]:
    """Validate what can be validated, without a source when `rows` is 0, else on its first records.

    Returns warnings in words. Writes nothing.
    :raises SpecificationError: the pipeline can't work.
    """
    raise NotImplementedError
