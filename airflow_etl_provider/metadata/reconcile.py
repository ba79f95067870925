"""Rebuilding what the store should know from what the targets' ledgers prove."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_etl_provider.metadata.queries import MAX_PAGE, Query
from airflow_etl_provider.metadata.records import (
    LoadRecord,
    QuarantineRecord,
    Record,
    RunRecord,
    stable_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta
    from typing import Any

    from airflow_etl_provider.engines.targets.base import LedgerEntry
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["Reconciled", "abandon_stale_runs", "note_swept", "reconcile_loads"]

_TASK = re.compile(
    r"(?P<dag>[^/]+)/(?P<run>[^/]+)/(?P<task>[^/]+)(?:/(?P<index>\d+))?/(?P<first>\d+)"
)

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was written.

    :param loads: that the store did not know, or not as the ledger has them.
    :param runs: that were rebuilt, or completed because their load was published.
    :param undone: loads of the store that their ledger does not have any more.
    :param abandoned: runs of which nobody knows more than that they began.
    """

    loads: int = 0
    runs: int = 0
    undone: int = 0
    abandoned: int = 0

    def __add__(self, other: Reconciled) -> Reconciled:
        return Reconciled(
            self.loads + other.loads,
            self.runs + other.runs,
            self.undone + other.undone,
            self.abandoned + other.abandoned,
        )


def reconcile_loads(
    store: MetadataStore, pipeline: str, entries: Sequence[LedgerEntry], *, now: datetime
) -> Reconciled:
    """Write what a pipeline's ledger has and the store does not.

    Nothing is written where both agree, so that it may run as often as one likes.

    :param entries: all published loads of the pipeline in one target.
    """
    loads = runs = 0
    written: list[Record] = []
    known = {load.id: load for load in _every(store, Query(LoadRecord, {"pipeline": pipeline}))}
    for entry in entries:
        load = _load_record(entry, now)
        there = known.pop(load.id, None)
        if there is None or replace(there, recorded_at=now) != load:
            written.append(load)
            loads += 1
        run = store.get(RunRecord, stable_id("run", entry.run_id))
        if run is None or (run.status == "running" and _is_of(entry, run)):
            written += _run_records(entry, run, now)
            runs += 1
        if len(written) >= _CHUNK:
            store.record(written)
            written = []
    targets = {entry.target for entry in entries}
    gone = [
        replace(load, undone_at=now, recorded_at=now)
        for load in known.values()
        if load.undone_at is None and (load.target in targets or not entries)
    ]
    store.record([*written, *gone])
    return Reconciled(loads=loads, runs=runs, undone=len(gone))


def abandon_stale_runs(
    store: MetadataStore, *, now: datetime, after: timedelta, pipeline: str | None = None
) -> Reconciled:
    """End runs that have been running for too long: their workers died without a word.

    :param after: how long a run of this deployment may take.
    """
    equals: dict[str, Any] = {"status": "running"}
    if pipeline is not None:
        equals["pipeline"] = pipeline
    stale = [
        replace(
            run,
            status="abandoned",
            updated_at=max(now, run.updated_at),
            error_code="abandoned",
            error_message="The worker went away without a word. What was published is in the "
            "target's ledger: `airflow-etl loads PIPELINE.yaml`.",
        )
        for run in _every(store, Query(RunRecord, equals, until=now - after))
    ]
    for start in range(0, len(stale), _CHUNK):
        store.record(stale[start : start + _CHUNK])
    return Reconciled(abandoned=len(stale))


def _every(store: MetadataStore, query: Query[Any]) -> Iterator[Any]:
    cursor = None
    while True:
        page = store.find(replace(query, limit=MAX_PAGE, after=cursor))
        yield from page.items
        cursor = page.cursor
        if cursor is None:
            return


def _load_record(entry: LedgerEntry, now: datetime) -> LoadRecord:
    return LoadRecord(
        id=stable_id("load", entry.target, entry.load_id),
        load_id=entry.load_id,
        target=entry.target,
        pipeline=entry.pipeline,
        run_name=entry.run_id,
        mode=entry.mode,
        epoch=entry.epoch,
        published_at=_moment(entry.published_at),
        recorded_at=now,
        rows_loaded=entry.rows_loaded,
        rows_deleted=entry.rows_deleted,
        quarantine=entry.quarantine,
        ledger=asdict(entry),
    )


def _is_of(entry: LedgerEntry, run: RunRecord) -> bool:
    """Whether the try that is said to be running published the entry, and not an earlier one."""
    return _moment(entry.published_at) >= run.started_at


def _run_records(entry: LedgerEntry, run: RunRecord | None, now: datetime) -> list[Record]:
    published = _moment(entry.published_at)
    task = _TASK.fullmatch(entry.run_id)
    began = run or RunRecord(
        id=stable_id("run", entry.run_id),
        run_name=entry.run_id,
        pipeline=entry.pipeline,
        kind="load",
        status="running",
        started_at=published,
        updated_at=published,
        dag_id=task["dag"] if task else None,
        dag_run_id=task["run"] if task else None,
        task_id=task["task"] if task else None,
        map_index=int(task["index"]) if task and task["index"] else -1,
    )
    records: list[Record] = [
        replace(
            began,
            status="done_with_rejects" if entry.rows_quarantined else "done",
            ended_at=published,
            updated_at=now,
            load_id=entry.load_id,
            target=entry.target,
            window=entry.window,
            rows_read=entry.rows_read,
            rows_loaded=entry.rows_loaded,
            rows_quarantined=entry.rows_quarantined,
            rows_filtered=entry.rows_filtered,
            rows_deduplicated=entry.rows_deduplicated,
            rows_deleted=entry.rows_deleted,
            reconciled=True,
        )
    ]
    if entry.quarantine:
        records.append(
            QuarantineRecord(
                id=stable_id("quarantine", entry.quarantine),
                location=entry.quarantine,
                pipeline=entry.pipeline,
                status="published",
                created_at=published,
                # What was done with it since stays as it is.
                updated_at=published,
                run_id=began.id,
                load_id=entry.load_id,
                target=entry.target,
                records=entry.rows_quarantined,
            )
        )
    return records


def _moment(text: str) -> datetime:
    """Read a ledger's moment; those of files are written without a zone, and mean UTC."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def note_swept(store: MetadataStore, locations: Sequence[str], *, at: datetime) -> None:
    """Say in the index that quarantines were removed; of those that it does not have, nothing."""
    found = [
        store.get(QuarantineRecord, stable_id("quarantine", location)) for location in locations
    ]
    store.record([replace(one, status="swept", updated_at=at) for one in found if one is not None])
