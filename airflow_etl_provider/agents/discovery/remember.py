"""Write what was found into the catalog: entries, schema versions and profiles that changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.contracts.profile import DatasetProfile
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import (
    DatasetRecord,
    ProfileRecord,
    SchemaVersionRecord,
    stable_id,
)

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_etl_provider.contracts.profile import FieldProfile, NotRead
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["PERSONAL", "Remembered", "remember"]

PERSONAL = "personal"
"""The tag of a column whose values say something of a person."""

_GONE = ("source_not_found", "target_missing")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What became of one dataset in the catalog.

    :param version: of its schema; 0 where nothing could be read.
    :param new: nobody had seen it before.
    :param changed: its schema is another one than before.
    :param profiled: a profile was written, because something in it differs from the last one.
    """

    dataset_id: str
    name: str
    version: int = 0
    new: bool = False
    changed: bool = False
    profiled: bool = False


def remember(
    store: MetadataStore,
    found: DatasetProfile | NotRead,
    *,
    at: datetime,
    run_id: str | None = None,
) -> Remembered:
    """Write one dataset into the catalog, and tell who waits for it on the event table.

    Doing it again, as a retry does, writes nothing twice. What people said of the dataset (its
    description, owner, tags) stays.

    :param at: when it was looked at.
    :raises MetadataUnavailableError: the store can't be reached.
    """
    dataset_id = stable_id("dataset", found.name)
    there = store.get(DatasetRecord, dataset_id)
    if not isinstance(found, DatasetProfile):
        if there is not None and there.missing_since is None and found.code in _GONE:
            store.record([replace(there, seen_at=at, missing_since=at)])
        return Remembered(dataset_id, found.name)
    columns = tuple(_column(field) for field in found.fields)
    fingerprint = Schema(tuple(Field(f.name, f.stored) for f in found.fields)).fingerprint
    schema = store.record_schema(
        SchemaVersionRecord(
            dataset_id=dataset_id,
            version=0,
            fingerprint=fingerprint,
            fields=tuple(
                {"name": f.name, "type": str(f.stored), "nullable": True} for f in found.fields
            ),
            valid_from=at,
            run_id=run_id,
        )
    )
    profile = _profile(dataset_id, found, fingerprint, at=at, run_id=run_id)
    profiled = _differs(profile, _last_profile(store, dataset_id))
    entry = DatasetRecord(
        id=dataset_id,
        name=found.name,
        kind="table" if found.format == "table" else "files",
        seen_at=at,
        created_at=there.created_at if there is not None else at,
        connection=found.connection,
        location=found.location,
        description=there.description if there is not None else None,
        owner=there.owner if there is not None else None,
        tags=there.tags if there is not None else (),
        columns=columns,
        fingerprint=fingerprint,
        schema_version=schema.version,
        rows=found.rows,
        bytes=found.bytes_read or None,
    )
    store.record([entry, profile] if profiled else [entry])
    _tell(store, found.name, schema, at=at)
    return Remembered(
        dataset_id,
        found.name,
        version=schema.version,
        new=there is None,
        changed=there is not None and there.fingerprint not in (None, fingerprint),
        profiled=profiled,
    )


def _tell(store: MetadataStore, name: str, schema: SchemaVersionRecord, *, at: datetime) -> None:
    """Append the event of this version; it has one id, so that it is told once however often."""
    kind = "dataset_discovered" if schema.version == 1 else "schema_changed"
    facts: dict[str, Any] = {"dataset": name}
    if schema.version > 1:
        facts["fingerprint"] = schema.fingerprint
    key = name if len(name) <= 250 else schema.dataset_id
    same = f"{schema.dataset_id}/{schema.version}"
    store.append_events([new_event(kind, key=key, at=at, facts=facts, same=same)])


def _column(field: FieldProfile) -> dict[str, Any]:
    tags = [PERSONAL] if field.personal else []
    if field.semantic_type:
        tags.append(field.semantic_type)
    column = {"name": field.name, "type": str(field.type), "nullable": field.nullable}
    return column | {"tags": tags} if tags else column


def _profile(
    dataset_id: str,
    found: DatasetProfile,
    fingerprint: str,
    *,
    at: datetime,
    run_id: str | None,
) -> ProfileRecord:
    columns = {}
    for field in found.fields:
        facts = field.to_dict()
        facts["tags"] = _column(field).get("tags", [])
        columns[facts.pop("name")] = facts
    method = {
        "looked_at": found.looked_at,
        "margin": round(found.margin, 4),
        "keys": [list(key) for key in found.keys],
        "format": found.format,
        "rejected": found.rejected,
        "inputs": found.inputs,
    }
    return ProfileRecord(
        dataset_id=dataset_id,
        measured_at=at,
        rows=found.rows,
        columns=columns,
        bytes=found.bytes_read or None,
        fingerprint=fingerprint,
        run_id=run_id,
        method=method,
    )


def _last_profile(store: MetadataStore, dataset_id: str) -> ProfileRecord | None:
    page = store.find(Query(ProfileRecord, equals={"dataset_id": dataset_id}, limit=1))
    return page.items[0] if page.items else None


def _differs(profile: ProfileRecord, last: ProfileRecord | None) -> bool:
    return last is None or (profile.rows, profile.columns, profile.method) != (
        last.rows,
        last.columns,
        last.method,
    )
