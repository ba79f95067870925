"""What a pipeline is, for the catalog: its specification, its datasets and their schemas."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_etl_provider.metadata.records import (
    DatasetRecord,
    PipelineRecord,
    SchemaVersionRecord,
    stable_id,
)
from airflow_etl_provider.metadata.sql.etag import etag_of

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.contracts.source_spec import SourceSpec
    from airflow_etl_provider.engines.lineage import Flow
    from airflow_etl_provider.metadata.records import Json

__all__ = ["PipelineRegistration", "dataset_name", "datasets_of", "merge_dataset", "register"]


@dataclass(frozen=True, slots=True)
class PipelineRegistration:
    """A pipeline's row, its specification as JSON, and a hash of that."""

    pipeline: PipelineRecord
    specification: Json
    fingerprint: str


def register(
    pipeline: Pipeline, *, at: datetime, dag_id: str | None = None, task_id: str | None = None
) -> PipelineRegistration:
    """Describe a pipeline. It names connections and holds no secret: that is refused before."""
    specification = pipeline.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return PipelineRegistration(
        PipelineRecord(
            name=pipeline.pipeline,
            version=0,
            created_at=at,
            updated_at=at,
            dag_id=dag_id,
            task_id=task_id,
            source=_source_name(pipeline),
            target=dataset_name(
                pipeline.target.connection,
                pipeline.target.table or pipeline.target.location or pipeline.pipeline,
            ),
        ),
        specification=specification,
        fingerprint=etag_of(specification),
    )


def datasets_of(
    pipeline: Pipeline, flow: Flow, *, run_id: str, at: datetime
) -> tuple[list[DatasetRecord], list[SchemaVersionRecord]]:
    """Describe what a run reads and writes, as its plan settled it."""
    sides = [
        (pipeline.inputs.get(side.name, pipeline.source), side.schema) for side in flow.sources
    ]
    described = [
        _describe(
            dataset_name(spec.connection, spec.place or "?"),
            spec.connection,
            spec.place,
            kind="table" if spec.of_database else "files",
            schema=schema,
            run_id=run_id,
            at=at,
        )
        for spec, schema in sides
    ]
    target = pipeline.target
    place = target.table or target.location or pipeline.pipeline
    described.append(
        _describe(
            dataset_name(target.connection, place),
            target.connection,
            place,
            kind="table" if target.table or target.location is None else "files",
            schema=flow.plan.target,
            run_id=run_id,
            at=at,
        )
    )
    return [dataset for dataset, _ in described], [schema for _, schema in described]


def merge_dataset(told: DatasetRecord, there: DatasetRecord | None) -> DatasetRecord:
    """Keep what discovery and people said of a dataset: a run knows its columns and no more.

    Only discovery knows how many rows there are, so that rows tell whether it has looked.
    """
    if there is None:
        return told
    if there.rows is not None:
        return replace(there, seen_at=max(told.seen_at, there.seen_at), missing_since=None)
    tags = {column.get("name"): column.get("tags") for column in there.columns}
    return replace(
        there,
        seen_at=max(told.seen_at, there.seen_at),
        columns=tuple(
            column | {"tags": tags[column["name"]]} if tags.get(column["name"]) else column
            for column in told.columns
        ),
        fingerprint=told.fingerprint,
        schema_version=told.schema_version,
        missing_since=None,
    )


def dataset_name(connection: str | None, place: str) -> str:
    """Name a dataset as contracts do: `connection/place`, or the place alone."""
    return f"{connection}/{place}" if connection else place


def _source_name(pipeline: Pipeline) -> str | None:
    specs: list[SourceSpec] = list(pipeline.inputs.values()) or [pipeline.source]
    places = [(spec.connection, spec.place) for spec in specs]
    named = [dataset_name(connection, place) for connection, place in places if place]
    return ", ".join(named) or None


def _describe(
    name: str,
    connection: str | None,
    place: str | None,
    *,
    kind: str,
    schema: Schema,
    run_id: str,
    at: datetime,
) -> tuple[DatasetRecord, SchemaVersionRecord]:
    columns = tuple(
        {"name": field.name, "type": str(field.type), "nullable": field.nullable}
        for field in schema
    )
    dataset = DatasetRecord(
        id=stable_id("dataset", name),
        name=name,
        kind=kind,  # type: ignore[arg-type]  # one of the two that are given here
        seen_at=at,
        created_at=at,
        connection=connection,
        location=place,
        columns=columns,
        fingerprint=schema.fingerprint,
    )
    version = SchemaVersionRecord(
        dataset_id=dataset.id,
        version=0,
        fingerprint=schema.fingerprint,
        fields=columns,
        valid_from=at,
        run_id=run_id,
    )
    return dataset, version
