"""Records to try the metadata stores with."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.metadata.records import (
    RECORDS,
    AgentSettingsRecord,
    ContractRecord,
    DatasetRecord,
    LeaseRecord,
    PipelineRecord,
    RunRecord,
    stable_id,
)

NOW = datetime(2026, 11, 20, 9, 14, 0, 123456, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)

RECORDED = tuple(
    record for record in RECORDS if record not in (AgentSettingsRecord, ContractRecord, LeaseRecord)
)
"""Kinds that are recorded; the others are decided."""


def run(name="orders/1", **values):
    return RunRecord(
        **{
            "id": stable_id("run", name),
            "run_name": name,
            "pipeline": "orders",
            "kind": "load",
            "status": "running",
            "started_at": NOW,
            "updated_at": NOW,
        }
        | values
    )


def dataset(name, columns=(), **values):
    return DatasetRecord(
        **{
            "id": stable_id("dataset", name),
            "name": name,
            "kind": "table",
            "seen_at": NOW,
            "created_at": NOW,
            "columns": tuple(columns),
        }
        | values
    )


def body(column):
    return {
        "contract": "orders",
        "target": {"fields": {column: "int64"}},
        "columns": {column: {"from": "no"}},
    }


def contract(**values):
    return ContractRecord(
        **{
            "name": "orders",
            "version": 0,
            "status": "proposed",
            "body": body("id"),
            "etag": "",
            "created_at": NOW,
            "updated_at": NOW,
            "confidence": 0.8,
        }
        | values
    )


def pipeline(**values):
    return PipelineRecord(
        **{"name": "orders", "version": 0, "created_at": NOW, "updated_at": NOW} | values
    )


def event(at, kind="load_failed", **values):
    return new_event(
        kind,
        key="orders",
        at=NOW,
        pipeline="orders",
        facts={"run_id": f"r{at}", "code": "x"},
        same=str(at),
        **values,
    )
