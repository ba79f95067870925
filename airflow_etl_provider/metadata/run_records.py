"""What a run tells the metadata store: pure functions from its report to records and events."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_etl_provider.bus.event import Event, new_event
from airflow_etl_provider.metadata.records import (
    BatchRecord,
    FailureRecord,
    LoadRecord,
    MetricRecord,
    QuarantineRecord,
    Record,
    RunRecord,
    stable_id,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_etl_provider.contracts.quality import QualityReport
    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.metadata.records import Json

__all__ = [
    "Outcome",
    "RunOf",
    "events_at_end",
    "events_at_start",
    "failure_fingerprint",
    "outcome_of_check",
    "outcome_of_load",
    "records_at_end",
    "records_at_start",
]

BATCHES = 1_000
"""Inputs of one run that get a record of their own; the totals are the run's in any case."""

_MESSAGE = 2_000
"""Characters of an error's message that are kept."""


@dataclass(frozen=True, slots=True)
class RunOf:
    """Who runs what: known before the run begins.

    :param name: as report and ledger have it.
    """

    name: str
    pipeline: str
    kind: Literal["load", "quality", "stream", "discovery", "mapping", "resolution", "replay"]
    started_at: datetime
    mode: str | None = None
    dag_id: str | None = None
    dag_run_id: str | None = None
    task_id: str | None = None
    map_index: int = -1
    try_number: int | None = None

    @property
    def id(self) -> str:
        return stable_id("run", self.name)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    :param figures: measured by the caller beside the report: `memory_bytes`, `cpu_seconds`, ...
    :param error_type: the class of the exception, where one ended the run.
    """

    report: Json
    status: str
    figures: Mapping[str, float]
    error_code: str | None = None
    error_message: str | None = None
    error_type: str | None = None


def outcome_of_load(
    report: RunReport, *, figures: Mapping[str, float], error_type: str | None = None
) -> Outcome:
    """Take the outcome from a load's report."""
    return Outcome(
        report=report.to_dict(),
        status=report.status,
        figures=figures,
        error_code=report.error["code"] if report.error else None,
        error_message=report.error["message"] if report.error else None,
        error_type=error_type,
    )


def outcome_of_check(report: QualityReport, *, figures: Mapping[str, float]) -> Outcome:
    """Take the outcome from the report of a check, in the words of a run."""
    broken = ", ".join(rule.code for rule in report.broken)
    content = report.to_dict() | {
        "target": report.dataset,
        "rows_read": report.rows_checked + report.rows_filtered,
        "rows_filtered": report.rows_filtered,
        "quarantine": report.sample,
    }
    failed = report.status == "failed"
    return Outcome(
        report=content,
        status="failed" if failed else "done",
        figures=figures,
        error_code="quality_failed" if failed else None,
        error_message=f"{report.rows_violating} of {report.rows_checked} rows break rules: {broken}"
        if failed
        else None,
        error_type="DataQualityError" if failed else None,
    )


def outcome_of_discovery(
    found: Json,
    *,
    seconds: float,
    figures: Mapping[str, float],
    failed: tuple[str, str] | None = None,
) -> Outcome:
    """Take the outcome from what a discovery found, in the words of a run.

    :param found: as `DataDiscoveryOperator` returns it.
    :param failed: a code, and what a person should know, where the task fails for what it found.
    """
    counts = [one["rows"] + one["rejected"] for one in found["datasets"]]
    report = {
        "status": "failed" if failed else "done",
        "rows_read": found["rows"],
        "rows_quarantined": 0,
        "seconds": round(seconds, 3),
        "inputs": [
            {"input": one["name"], "rows_read": count}
            for one, count in zip(found["datasets"], counts, strict=True)
        ],
        **{name: found[name] for name in ("datasets_count", "new", "changed", "not_read_count")},
    }
    measured = {name: float(found[name]) for name in ("datasets_count", "not_read_count")}
    return Outcome(
        report=report,
        status=report["status"],
        figures={**figures, **measured},
        error_code=failed[0] if failed else None,
        error_message=failed[1] if failed else None,
        error_type="AirflowFailException" if failed else None,
    )


def records_at_start(run: RunOf, *, version: int | None = None) -> list[Record]:
    """Say that a run is going on."""
    return [_run_record(run, status="running", at=run.started_at, version=version)]


def events_at_start(run: RunOf) -> list[Event]:
    """Tell the others."""
    return [_event("run_started", run, run.started_at, {"run_id": run.id})]


def records_at_end(
    run: RunOf, outcome: Outcome, *, at: datetime, version: int | None = None
) -> list[Record]:
    """Say how it ended: the run, its inputs, what was published, measured, rejected and wrong."""
    report = outcome.report
    records: list[Record] = [
        _run_record(run, status=outcome.status, at=at, version=version, outcome=outcome)
    ]
    records += _batches(run, report, at)
    records += _metrics(run, outcome, at)
    if (location := report.get("quarantine")) and run.kind != "quality":
        records.append(_quarantine(run, outcome, str(location), at))
    if outcome.status in ("done", "done_with_rejects") and report.get("load_id") and run.mode:
        records.append(
            LoadRecord(
                id=stable_id("load", report["target"], report["load_id"]),
                load_id=report["load_id"],
                target=report["target"],
                pipeline=run.pipeline,
                run_name=run.name,
                mode=run.mode,
                published_at=at,
                recorded_at=at,
                rows_loaded=report["rows_loaded"],
                rows_deleted=report["rows_deleted"],
                quarantine=report.get("quarantine"),
            )
        )
    if outcome.error_code is not None:
        records.append(_failure(run, outcome, at))
    return records


def events_at_end(run: RunOf, outcome: Outcome, *, at: datetime) -> list[Event]:
    """Tell the others what came of it."""
    report = outcome.report
    events = []
    if outcome.status in ("done", "done_with_rejects") and report.get("load_id"):
        events.append(
            _event(
                "load_published",
                run,
                at,
                {
                    "run_id": run.id,
                    "load_id": report["load_id"],
                    "target": report["target"],
                    "rows_loaded": report["rows_loaded"],
                },
            )
        )
    if report.get("quarantine") and report.get("rows_quarantined"):
        events.append(
            _event(
                "quarantine_written",
                run,
                at,
                {
                    "run_id": run.id,
                    "quarantine": str(report["quarantine"]),
                    "records": report["rows_quarantined"],
                },
            )
        )
    if outcome.status == "failed":
        events.append(
            _event(
                "load_failed", run, at, {"run_id": run.id, "code": outcome.error_code or "unknown"}
            )
        )
    events.append(_event("run_finished", run, at, {"run_id": run.id, "status": outcome.status}))
    return events


def failure_fingerprint(code: str, error_type: str | None, message: str) -> str:
    """Hash what failures of one cause share: the message without its numbers, names and places."""
    template = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "?", message)
    template = re.sub(r"\S*[/\\]\S*", "?", template)
    template = re.sub(r"\b[0-9a-fA-F]{8,}\b|\d+", "#", template)
    return stable_id("failure", code, error_type or "", template)


def _run_record(
    run: RunOf,
    *,
    status: str,
    at: datetime,
    version: int | None,
    outcome: Outcome | None = None,
) -> RunRecord:
    report = outcome.report if outcome is not None else {}
    message = outcome.error_message if outcome is not None else None
    return RunRecord(
        id=run.id,
        run_name=run.name,
        pipeline=run.pipeline,
        kind=run.kind,
        status=status,  # type: ignore[arg-type]  # a report's status is one of a run's
        started_at=run.started_at,
        updated_at=at,
        ended_at=None if outcome is None else at,
        pipeline_version=version,
        dag_id=run.dag_id,
        dag_run_id=run.dag_run_id,
        task_id=run.task_id,
        map_index=run.map_index,
        try_number=run.try_number,
        load_id=report.get("load_id"),
        target=report.get("target"),
        rows_read=report.get("rows_read", 0),
        rows_loaded=report.get("rows_loaded", 0),
        rows_quarantined=report.get("rows_quarantined", 0),
        rows_filtered=report.get("rows_filtered", 0),
        rows_deduplicated=report.get("rows_deduplicated", 0),
        rows_deleted=report.get("rows_deleted", 0),
        bytes_read=report.get("bytes_read", 0),
        seconds=report.get("seconds", 0.0),
        error_code=outcome.error_code if outcome is not None else None,
        error_message=message[:_MESSAGE] if message else None,
        # Inputs have records of their own.
        report={name: value for name, value in report.items() if name != "inputs"},
    )


def _batches(run: RunOf, report: Json, at: datetime) -> list[BatchRecord]:
    counts = (
        "rows_read",
        "rows_loaded",
        "rows_quarantined",
        "rows_filtered",
        "rows_deduplicated",
        "rows_deleted",
        "rows_selected",
        "bytes_read",
    )
    return [
        BatchRecord(
            run_id=run.id,
            number=number,
            pipeline=run.pipeline,
            input=part["input"],
            ended_at=at,
            **{name: part.get(name, 0) for name in counts},
        )
        for number, part in enumerate((report.get("inputs") or ())[:BATCHES])
    ]


def _metrics(run: RunOf, outcome: Outcome, at: datetime) -> list[MetricRecord]:
    # A run that found its load published repeats the counts, and moved nothing.
    report = outcome.report if outcome.status not in ("already_loaded", "nothing_new") else {}
    rows, size = report.get("rows_read", 0), report.get("bytes_read", 0)
    rejected = report.get("rows_quarantined", 0)
    seconds = outcome.report.get("seconds", 0.0)
    figures: dict[str, float] = {
        "rows": rows,
        "rows_loaded": report.get("rows_loaded", 0),
        "rows_rejected": rejected,
        "bytes": size,
        "seconds": seconds,
        "rejected_share": rejected / rows if rows else 0.0,
        "failed": float(outcome.status == "failed"),
        **outcome.figures,
    }
    if seconds > 0:
        figures |= {"rows_per_second": rows / seconds, "bytes_per_second": size / seconds}
    return [
        MetricRecord(run_id=run.id, name=name, at=at, pipeline=run.pipeline, value=float(value))
        for name, value in figures.items()
        if math.isfinite(value)
    ]


def _quarantine(run: RunOf, outcome: Outcome, location: str, at: datetime) -> QuarantineRecord:
    report = outcome.report
    return QuarantineRecord(
        id=stable_id("quarantine", location),
        location=location,
        pipeline=run.pipeline,
        status="not_published" if outcome.status == "failed" else "published",
        created_at=at,
        updated_at=at,
        run_id=run.id,
        load_id=report.get("load_id"),
        target=report.get("target"),
        records=report.get("rows_quarantined", 0),
        reasons=dict(report.get("reasons") or {}),
    )


def _failure(run: RunOf, outcome: Outcome, at: datetime) -> FailureRecord:
    code, message = outcome.error_code or "unknown", outcome.error_message or ""
    return FailureRecord(
        id=stable_id("failure", run.name, str(run.try_number or at.isoformat())),
        fingerprint=failure_fingerprint(code, outcome.error_type, message),
        at=at,
        updated_at=at,
        code=code,
        message=message[:_MESSAGE],
        pipeline=run.pipeline,
        run_id=run.id,
        dag_id=run.dag_id,
        dag_run_id=run.dag_run_id,
        task_id=run.task_id,
        map_index=run.map_index,
        try_number=run.try_number,
        details={"type": outcome.error_type} if outcome.error_type else {},
    )


def _event(kind: str, run: RunOf, at: datetime, facts: Json) -> Event:
    return new_event(
        kind,
        key=run.pipeline,
        at=at,
        pipeline=run.pipeline,
        facts=facts,
        # A task that tries again tells something new; a recording that tries again does not.
        same=f"{run.name}\n{run.try_number}",
    )
