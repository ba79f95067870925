"""Runs, what they did, and what they measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_etl_provider.metadata.records.base import Json

__all__ = [
    "BatchRecord",
    "LoadRecord",
    "MetricRecord",
    "QuarantineRecord",
    "RunRecord",
    "RunStatus",
]

RunStatus = Literal[
    "running", "done", "done_with_rejects", "already_loaded", "nothing_new", "failed", "abandoned"
]
"""`abandoned`: the worker died, and nobody knows more than the target's ledger."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One execution of a pipeline, over all of its tries.

    :param id: `stable_id("run", run_name)`.
    :param run_name: as the report and the ledger have it: `dag/run/task[/map index]/first try`, or
        what the command line made up.
    :param kind: what ran: a load, a discovery, a mapping, a quality check, a stream, a replay.
    :param report: the run report as JSON: counts, codes and locations.
    :param error_code: of the error tree; with `error_message`, which holds no value of a row.
    :param reconciled: it was rebuilt from a ledger.
    :param updated_at: when this was said, by the worker's clock.
    """

    id: str
    run_name: str
    pipeline: str
    kind: Literal["load", "quality", "stream", "discovery", "mapping", "resolution", "replay"]
    status: RunStatus
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
    pipeline_version: int | None = None
    dag_id: str | None = None
    dag_run_id: str | None = None
    task_id: str | None = None
    map_index: int = -1
    try_number: int | None = None
    load_id: str | None = None
    target: str | None = None
    window: str | None = None
    rows_read: int = 0
    rows_loaded: int = 0
    rows_quarantined: int = 0
    rows_filtered: int = 0
    rows_deduplicated: int = 0
    rows_deleted: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    error_code: str | None = None
    error_message: str | None = None
    report: Json = field(default_factory=dict)
    reconciled: bool = False

    COLLECTION: ClassVar[str] = "run"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    NEWEST_BY: ClassVar[str | None] = "updated_at"
    ORDER_BY: ClassVar[str] = "started_at"
    FILTERS: ClassVar[tuple[str, ...]] = (
        "pipeline",
        "kind",
        "status",
        "dag_id",
        "dag_run_id",
        "task_id",
        "load_id",
        "target",
        "error_code",
    )


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One unit of work in a run: an input of a batch load, or a micro-batch of a stream.

    :param number: within the run, from 0.
    :param positions: where it began and ended: offsets, or the identity of the input.
    """

    run_id: str
    number: int
    pipeline: str
    input: str
    ended_at: datetime
    rows_read: int = 0
    rows_loaded: int = 0
    rows_quarantined: int = 0
    rows_filtered: int = 0
    rows_deduplicated: int = 0
    rows_deleted: int = 0
    rows_selected: int = 0
    bytes_read: int = 0
    seconds: float | None = None
    positions: Json = field(default_factory=dict)

    COLLECTION: ClassVar[str] = "batch"
    KEY: ClassVar[tuple[str, ...]] = ("run_id", "number")
    NEWEST_BY: ClassVar[str | None] = "ended_at"
    ORDER_BY: ClassVar[str] = "ended_at"
    FILTERS: ClassVar[tuple[str, ...]] = ("run_id", "pipeline", "input")


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """One publication to a target; the target's ledger is the truth, and this its copy.

    :param id: `stable_id("load", target, load_id)`.
    :param epoch: that the target handed out; None until the ledger was read.
    :param ledger: the ledger's entry as JSON; empty until it was read.
    :param recorded_at: when this copy was made.
    :param undone_at: when the load was taken back, or was found gone from the ledger.
    """

    id: str
    load_id: str
    target: str
    pipeline: str
    run_name: str
    mode: str
    published_at: datetime
    recorded_at: datetime
    epoch: int | None = None
    rows_loaded: int = 0
    rows_deleted: int = 0
    quarantine: str | None = None
    ledger: Json = field(default_factory=dict)
    undone_at: datetime | None = None

    COLLECTION: ClassVar[str] = "load"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    NEWEST_BY: ClassVar[str | None] = "recorded_at"
    ORDER_BY: ClassVar[str] = "published_at"
    FILTERS: ClassVar[tuple[str, ...]] = ("load_id", "pipeline", "target", "run_name")


@dataclass(frozen=True, slots=True)
class MetricRecord:
    """One measurement of a run.

    :param name: `rows`, `bytes`, `rows_per_second`, `bytes_per_second`, `seconds`,
        `rejected_share`, `memory_bytes`, `cost`, `lag_seconds`, ...; with its unit in docs.
    :param at: when it was measured; one value per run, name and moment.
    """

    run_id: str
    name: str
    at: datetime
    pipeline: str
    value: float

    COLLECTION: ClassVar[str] = "metric"
    KEY: ClassVar[tuple[str, ...]] = ("run_id", "name", "at")
    NEWEST_BY: ClassVar[str | None] = None
    ORDER_BY: ClassVar[str] = "at"
    FILTERS: ClassVar[tuple[str, ...]] = ("run_id", "name", "pipeline")


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """Where rejected rows of one load are: the index of the quarantine, never its content.

    :param id: `stable_id("quarantine", location)`.
    :param reasons: counts of records by `code` or `code:column`.
    :param status: `published` with its load; `not_published`: kept to be looked at; `replayed`,
        `swept` or `erased` later.
    """

    id: str
    location: str
    pipeline: str
    status: Literal["published", "not_published", "replayed", "swept", "erased"]
    created_at: datetime
    updated_at: datetime
    run_id: str | None = None
    load_id: str | None = None
    target: str | None = None
    records: int = 0
    bytes: int = 0
    reasons: Json = field(default_factory=dict)

    COLLECTION: ClassVar[str] = "quarantine"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    NEWEST_BY: ClassVar[str | None] = "updated_at"
    ORDER_BY: ClassVar[str] = "created_at"
    FILTERS: ClassVar[tuple[str, ...]] = ("pipeline", "status", "run_id", "load_id", "target")
