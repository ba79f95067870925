"""Alerts: what the discovery agent tells of a dataset, on the event table and as decisions."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.agents.discovery.drift.changes import worst
from airflow_etl_provider.agents.discovery.freshness import late_change, read_freshness
from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.engines.strict_json import to_json
from airflow_etl_provider.metadata.records import DatasetRecord, DecisionRecord, stable_id

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_etl_provider.agents.discovery.drift.changes import DataChange
    from airflow_etl_provider.metadata.records import SchemaVersionRecord
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["MOST_CHANGES", "tell_changes", "tell_if_late", "tell_schema"]

MOST_CHANGES = 100
"""That a decision and a schema version keep; a table with thousands of new columns has more."""


def tell_schema(
    store: MetadataStore, name: str, schema: SchemaVersionRecord, *, at: datetime
) -> None:
    """Append the event of this version; it has one id, so that it is told once however often."""
    kind = "dataset_discovered" if schema.version == 1 else "schema_changed"
    facts: dict[str, Any] = {"dataset": name}
    if schema.version > 1:
        facts["fingerprint"] = schema.fingerprint
    same = f"{schema.dataset_id}/{schema.version}"
    key = _key(name, schema.dataset_id)
    store.append_events([new_event(kind, key=key, at=at, facts=facts, same=same)])


def tell_changes(
    store: MetadataStore,
    dataset: DatasetRecord,
    changes: tuple[DataChange, ...],
    *,
    since: datetime,
    run_id: str | None,
) -> None:
    """Put the changes into the log of decisions, and tell of them.

    Both have ids that a retry makes again: of the look before, and of what changed since.
    """
    told = [change.to_dict() for change in changes[:MOST_CHANGES]]
    same = hashlib.sha256(to_json(told).encode()).hexdigest()
    decision = stable_id("decision", dataset.id, since.isoformat(), same)
    severity = worst(changes)
    breaking = sum(change.effect == "breaking" for change in changes)
    store.record(
        [
            DecisionRecord(
                id=decision,
                agent="discovery",
                actor="discovery",
                basis="rule",
                action="alert",
                subject=f"dataset/{dataset.id}",
                at=dataset.seen_at,
                updated_at=dataset.seen_at,
                run_id=run_id,
                reasoning="; ".join(change.message for change in changes[:5]),
                evidence={
                    "dataset": dataset.name,
                    "severity": severity,
                    "changes": told,
                    "changes_count": len(changes),
                },
            )
        ]
    )
    store.append_events(
        [
            new_event(
                "dataset_drifted",
                key=_key(dataset.name, dataset.id),
                at=dataset.seen_at,
                facts={
                    "dataset": dataset.name,
                    "severity": severity,
                    "changes": len(changes),
                    "breaking": breaking,
                    "decision": decision,
                },
                same=decision,
            )
        ]
    )


def tell_if_late(
    store: MetadataStore, name: str, dataset_id: str, *, at: datetime, run_id: str | None
) -> DataChange | None:
    """Tell, once for each update that does not come, that a dataset is late."""
    freshness = read_freshness(store, name)
    late = late_change(freshness, now=at) if freshness is not None else None
    if freshness is None or late is None:
        return None
    same = f"{dataset_id}/{freshness.last.isoformat()}"
    decision = stable_id("decision", "late", same)
    store.record(
        [
            DecisionRecord(
                id=decision,
                agent="discovery",
                actor="discovery",
                basis="history",
                action="alert",
                subject=f"dataset/{dataset_id}",
                at=at,
                updated_at=at,
                run_id=run_id,
                reasoning=late.message,
                evidence={"dataset": name, "severity": late.severity, "changes": [late.to_dict()]},
            )
        ]
    )
    facts = {"dataset": name, "expected_at": late.now, "decision": decision}
    key = _key(name, dataset_id)
    store.append_events([new_event("dataset_late", key=key, at=at, facts=facts, same=same)])
    return late


def _key(name: str, dataset_id: str) -> str:
    return name if len(name) <= 250 else dataset_id
