"""A profile as the catalog has it, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_etl_provider.contracts.profile import DatasetProfile
from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import ProfileRecord

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_etl_provider.contracts.profile import FieldProfile
    from airflow_etl_provider.metadata.store import Records

__all__ = ["PERSONAL", "column_of", "last_profiles", "profile_from_record", "record_of_profile"]

PERSONAL = "personal"
"""The tag of a column whose values say something of a person."""


def column_of(field: FieldProfile) -> dict[str, Any]:
    """Give the column of a catalog entry: name, type, and what it is searched by."""
    tags = [PERSONAL] if field.personal else []
    if field.semantic_type:
        tags.append(field.semantic_type)
    column: dict[str, Any] = {
        "name": field.name,
        "type": str(field.type),
        "nullable": field.nullable,
    }
    if field.description:
        column["description"] = field.description
    return column | {"tags": tags} if tags else column


def record_of_profile(
    dataset_id: str, found: DatasetProfile, *, fingerprint: str, at: datetime, run_id: str | None
) -> ProfileRecord:
    """Write a profile as a record."""
    columns = {}
    for place, field in enumerate(found.fields):
        facts = field.to_dict()
        facts["tags"] = column_of(field).get("tags", [])
        # A database may keep the names in an order of its own.
        facts["place"] = place
        columns[facts.pop("name")] = facts
    return ProfileRecord(
        dataset_id=dataset_id,
        measured_at=at,
        rows=found.rows,
        columns=columns,
        bytes=found.bytes_read or None,
        fingerprint=fingerprint,
        run_id=run_id,
        method={
            "looked_at": found.looked_at,
            "margin": round(found.margin, 4),
            "keys": [list(key) for key in found.keys],
            "primary_key": list(found.primary_key),
            "partitions": list(found.partitions),
            "description": found.description,
            "sample": [list(row) for row in found.sample],
            "hashing": found.hashing,
            "kind": found.kind,
            "format": found.format,
            "dialect": found.dialect,
            "rejected": found.rejected,
            "counted": found.counted,
            "inputs": found.inputs,
        },
    )


def profile_from_record(record: ProfileRecord, *, name: str, location: str) -> DatasetProfile:
    """Read a record; what an older version did not write stays empty.

    :raises SpecificationError: another version wrote what can't be read.
    """
    method = record.method
    columns = sorted(record.columns.items(), key=lambda one: one[1].get("place", 0))
    return DatasetProfile.from_dict(
        {
            "name": name,
            "location": location,
            "kind": method.get("kind"),
            "format": method.get("format", "files"),
            "rows": record.rows,
            "rows_rejected": method.get("rejected", 0),
            "rows_counted": method.get("counted", True),
            "dialect": method.get("dialect"),
            "fields": [{"name": column, **facts} for column, facts in columns],
            "keys": method.get("keys", ()),
            "primary_key": method.get("primary_key", ()),
            "partitions": method.get("partitions", ()),
            "description": method.get("description"),
            "sample": method.get("sample", ()),
            "profile": {
                "inputs": method.get("inputs", 1),
                "rows_looked_at": method.get("looked_at", 0),
                "margin": method.get("margin", 0.0),
                "hashing": method.get("hashing", ""),
            },
        }
    )


def last_profiles(store: Records, dataset_id: str, *, most: int = 1) -> tuple[ProfileRecord, ...]:
    """Give the newest profiles of a dataset, newest first."""
    return store.find(Query(ProfileRecord, equals={"dataset_id": dataset_id}, limit=most)).items
