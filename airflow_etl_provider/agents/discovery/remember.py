"""Write what was found into the catalog: entries, schema versions and profiles that changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.agents.discovery.alerts import (
    MOST_CHANGES,
    tell_changes,
    tell_if_late,
    tell_schema,
)
from airflow_etl_provider.agents.discovery.drift.changes import SCHEMA_KINDS
from airflow_etl_provider.agents.discovery.drift.compare import compare_profiles
from airflow_etl_provider.agents.discovery.drift.impact import find_readers, with_impact
from airflow_etl_provider.agents.discovery.records import (
    column_of,
    last_profiles,
    profile_from_record,
    record_of_profile,
)
from airflow_etl_provider.contracts.profile import DatasetProfile
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.metadata.records import (
    DatasetRecord,
    RelationRecord,
    SchemaVersionRecord,
    stable_id,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_etl_provider.agents.discovery.drift.changes import DataChange
    from airflow_etl_provider.agents.discovery.relations import Relation
    from airflow_etl_provider.contracts.profile import NotRead
    from airflow_etl_provider.metadata.records import ProfileRecord
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["Remembered", "remember", "remember_relations"]

_GONE = ("source_not_found", "target_missing")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What became of one dataset in the catalog.

    :param version: of its schema; 0 where nothing could be read.
    :param new: nobody had seen it before.
    :param changed: its schema is another one than before.
    :param profiled: a profile was written, because something in it differs from the last one.
    :param changes: against the last look, the most severe first.
    """

    dataset_id: str
    name: str
    version: int = 0
    new: bool = False
    changed: bool = False
    profiled: bool = False
    changes: tuple[DataChange, ...] = ()


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
    fingerprint = Schema(tuple(Field(f.name, f.stored) for f in found.fields)).fingerprint
    last = next(iter(last_profiles(store, dataset_id)), None)
    changes = _changes(store, found, last)
    schema = store.record_schema(
        _schema(dataset_id, found, fingerprint, changes, at=at, run_id=run_id)
    )
    profile = record_of_profile(dataset_id, found, fingerprint=fingerprint, at=at, run_id=run_id)
    profiled = _differs(profile, last)
    late = None if profiled else tell_if_late(store, found.name, dataset_id, at=at, run_id=run_id)
    entry = _entry(dataset_id, found, there, schema, at=at)
    # What is told comes before what is remembered: whoever stops in between tells it again, with
    # the same ids, and whoever stops afterwards has told it.
    tell_schema(store, found.name, schema, at=at)
    if changes and last is not None:
        tell_changes(store, entry, changes, since=last.measured_at, run_id=run_id)
    store.record([entry, profile] if profiled else [entry])
    return Remembered(
        dataset_id,
        found.name,
        version=schema.version,
        new=there is None,
        changed=there is not None and there.fingerprint not in (None, fingerprint),
        profiled=profiled,
        changes=changes if late is None else (*changes, late),
    )


def _schema(
    dataset_id: str,
    found: DatasetProfile,
    fingerprint: str,
    changes: Sequence[DataChange],
    *,
    at: datetime,
    run_id: str | None,
) -> SchemaVersionRecord:
    told = [change.to_dict() for change in changes if change.kind in SCHEMA_KINDS]
    return SchemaVersionRecord(
        dataset_id=dataset_id,
        version=0,
        fingerprint=fingerprint,
        fields=tuple(
            {"name": f.name, "type": str(f.stored), "nullable": True} for f in found.fields
        ),
        valid_from=at,
        run_id=run_id,
        changes=tuple(told[:MOST_CHANGES]),
    )


def _entry(
    dataset_id: str,
    found: DatasetProfile,
    there: DatasetRecord | None,
    schema: SchemaVersionRecord,
    *,
    at: datetime,
) -> DatasetRecord:
    """Describe the dataset; what people said of it stays."""
    return DatasetRecord(
        id=dataset_id,
        name=found.name,
        kind=found.kind,
        seen_at=at,
        created_at=there.created_at if there is not None else at,
        connection=found.connection,
        location=found.location,
        description=_description(found, there),
        owner=there.owner if there is not None else None,
        tags=there.tags if there is not None else (),
        columns=tuple(column_of(field) for field in found.fields),
        fingerprint=schema.fingerprint,
        schema_version=schema.version,
        rows=found.rows,
        bytes=found.bytes_read or None,
    )


def _description(found: DatasetProfile, there: DatasetRecord | None) -> str | None:
    """What people wrote into the catalog, else what the source says of itself."""
    written = there.description if there is not None else None
    return written or found.description


def remember_relations(
    store: MetadataStore, found: Sequence[Relation], *, at: datetime, run_id: str | None = None
) -> None:
    """Write the foreign keys between datasets; those that are there get another moment.

    :raises MetadataUnavailableError: the store can't be reached.
    """
    store.record(
        [
            RelationRecord(
                id=stable_id(
                    "relation", one.dataset, *one.columns, "references", one.other, *one.key
                ),
                dataset_id=stable_id("dataset", one.dataset),
                dataset=one.dataset,
                columns=one.columns,
                other_id=stable_id("dataset", one.other),
                other=one.other,
                key=one.key,
                share=one.share,
                confidence=one.confidence,
                seen_at=at,
                run_id=run_id,
            )
            for one in found
        ]
    )


def _changes(
    store: MetadataStore, found: DatasetProfile, last: ProfileRecord | None
) -> tuple[DataChange, ...]:
    """Compare with the last look, and look up who reads what changed."""
    if last is None:
        return ()
    try:
        was = profile_from_record(last, name=found.name, location=found.location)
    except SpecificationError:
        # Written by a version that is not known here: this look is the first one.
        return ()
    changes = compare_profiles(was, found)
    if not changes:
        return ()
    readers = find_readers(store, found.name)
    return tuple(with_impact(change, readers) for change in changes)


def _differs(profile: ProfileRecord, last: ProfileRecord | None) -> bool:
    """Whether something is another way; which rows the sample holds may be by chance."""
    return last is None or (profile.rows, profile.columns, _method(profile)) != (
        last.rows,
        last.columns,
        _method(last),
    )


def _method(profile: ProfileRecord) -> dict[str, Any]:
    return {name: value for name, value in profile.method.items() if name != "sample"}
