"""The catalog: pipelines and datasets, with their versions, schemas and profiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_etl_provider.metadata.records.base import Json

__all__ = [
    "DatasetRecord",
    "PipelineRecord",
    "PipelineVersionRecord",
    "ProfileRecord",
    "RelationRecord",
    "SchemaVersionRecord",
]


@dataclass(frozen=True, slots=True)
class PipelineRecord:
    """A pipeline as it is now.

    :param version: of its newest specification, from 1.
    :param dag_id: the DAG that runs it, where one does: reading and approving is judged by it.
    :param contract: the name of its mapping contract, where it has one.
    """

    name: str
    version: int
    created_at: datetime
    updated_at: datetime
    dag_id: str | None = None
    task_id: str | None = None
    source: str | None = None
    target: str | None = None
    contract: str | None = None
    owner: str | None = None

    COLLECTION: ClassVar[str] = "pipeline"
    KEY: ClassVar[tuple[str, ...]] = ("name",)
    NEWEST_BY: ClassVar[str | None] = "updated_at"
    ORDER_BY: ClassVar[str] = "updated_at"
    FILTERS: ClassVar[tuple[str, ...]] = ("dag_id", "source", "target", "contract", "owner")


@dataclass(frozen=True, slots=True)
class PipelineVersionRecord:
    """What a pipeline said at some time.

    :param fingerprint: a hash of the specification; the same one again makes no new version.
    :param specification: as JSON; it names connections and holds no secret.
    """

    pipeline: str
    version: int
    fingerprint: str
    specification: Json
    created_at: datetime
    created_by: str | None = None

    COLLECTION: ClassVar[str] = "pipeline_version"
    KEY: ClassVar[tuple[str, ...]] = ("pipeline", "version")
    NEWEST_BY: ClassVar[str | None] = None
    ORDER_BY: ClassVar[str] = "created_at"
    FILTERS: ClassVar[tuple[str, ...]] = ("pipeline", "fingerprint")


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """One table, file set or topic: an entry of the catalog.

    :param id: `stable_id("dataset", name)`.
    :param name: `connection/location`, as contracts have it; a plain location without connection.
    :param columns: names and logical types, in order; the tags of each under `tags`:
        `[{"name": "email", "type": "string", "tags": ["personal", "email"]}]`.
    :param fingerprint: of the newest schema.
    :param seen_at: when somebody last looked.
    :param missing_since: it was there, and is not any more.
    """

    id: str
    name: str
    kind: Literal["table", "files", "topic"]
    seen_at: datetime
    created_at: datetime
    connection: str | None = None
    location: str | None = None
    description: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    columns: tuple[Json, ...] = ()
    fingerprint: str | None = None
    schema_version: int | None = None
    rows: int | None = None
    bytes: int | None = None
    missing_since: datetime | None = None

    COLLECTION: ClassVar[str] = "dataset"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    NEWEST_BY: ClassVar[str | None] = "seen_at"
    ORDER_BY: ClassVar[str] = "seen_at"
    FILTERS: ClassVar[tuple[str, ...]] = ("name", "kind", "connection", "owner", "fingerprint")


@dataclass(frozen=True, slots=True)
class SchemaVersionRecord:
    """The schema that a dataset had for a while.

    :param valid_to: when the next one was seen; None for the present one.
    :param changes: the typed differences to the one before, as drift tells them.
    """

    dataset_id: str
    version: int
    fingerprint: str
    fields: tuple[Json, ...]
    valid_from: datetime
    valid_to: datetime | None = None
    run_id: str | None = None
    changes: tuple[Json, ...] = ()

    COLLECTION: ClassVar[str] = "schema_version"
    KEY: ClassVar[tuple[str, ...]] = ("dataset_id", "version")
    NEWEST_BY: ClassVar[str | None] = None
    ORDER_BY: ClassVar[str] = "valid_from"
    FILTERS: ClassVar[tuple[str, ...]] = ("dataset_id", "fingerprint")


@dataclass(frozen=True, slots=True)
class ProfileRecord:
    """Measured facts of a dataset at one moment.

    :param columns: by column name: counts, nulls, distinct, extremes, patterns, tags. Values of
        columns tagged as personal are masked before they get here.
    :param method: how it was measured: whole, or the sample's size and seed.
    """

    dataset_id: str
    measured_at: datetime
    rows: int
    columns: Json
    bytes: int | None = None
    fingerprint: str | None = None
    run_id: str | None = None
    method: Json = field(default_factory=dict)

    COLLECTION: ClassVar[str] = "profile"
    KEY: ClassVar[tuple[str, ...]] = ("dataset_id", "measured_at")
    NEWEST_BY: ClassVar[str | None] = None
    ORDER_BY: ClassVar[str] = "measured_at"
    FILTERS: ClassVar[tuple[str, ...]] = ("dataset_id", "run_id")


@dataclass(frozen=True, slots=True)
class RelationRecord:
    """A foreign key as it was found: columns of one dataset whose values are the key of another.

    :param id: `stable_id("relation", dataset, *columns, "references", other, *key)`.
    :param share: of the looked-at values, that are keys over there.
    :param seen_at: when it was last found; one that is no longer found keeps its moment.
    """

    id: str
    dataset_id: str
    dataset: str
    columns: tuple[str, ...]
    other_id: str
    other: str
    key: tuple[str, ...]
    share: float
    confidence: float
    seen_at: datetime
    run_id: str | None = None

    COLLECTION: ClassVar[str] = "relation"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    NEWEST_BY: ClassVar[str | None] = "seen_at"
    ORDER_BY: ClassVar[str] = "seen_at"
    FILTERS: ClassVar[tuple[str, ...]] = ("dataset_id", "dataset", "other_id", "other", "run_id")
