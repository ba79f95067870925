"""What is versioned by content: pipelines and schemas of datasets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from airflow_etl_provider.metadata.records import (
    PipelineRecord,
    PipelineVersionRecord,
    SchemaVersionRecord,
)
from airflow_etl_provider.metadata.records.encoding import record_from_row
from airflow_etl_provider.metadata.sql.engine import exclusive
from airflow_etl_provider.metadata.sql.recording import row_for, write_records
from airflow_etl_provider.metadata.tables.catalog import (
    PIPELINE,
    PIPELINE_VERSION,
    SCHEMA_VERSION,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_etl_provider.metadata.records import Json

__all__ = ["record_schema", "register_pipeline"]


def register_pipeline(
    connection: Connection,
    pipeline: PipelineRecord,
    *,
    specification: Json,
    fingerprint: str,
    by: str | None,
) -> PipelineRecord:
    """Write a pipeline, and its specification where it is another than the newest."""
    exclusive(connection, f"pipeline {pipeline.name}")
    newest = connection.execute(
        select(PIPELINE_VERSION.c.version, PIPELINE_VERSION.c.fingerprint)
        .where(PIPELINE_VERSION.c.pipeline == pipeline.name)
        .order_by(PIPELINE_VERSION.c.version.desc())
        .limit(1)
    ).first()
    version = 1 if newest is None else newest.version
    if newest is None or newest.fingerprint != fingerprint:
        version = 1 if newest is None else version + 1
        written = PipelineVersionRecord(
            pipeline=pipeline.name,
            version=version,
            fingerprint=fingerprint,
            specification=specification,
            created_at=pipeline.updated_at,
            created_by=by,
        )
        connection.execute(insert(PIPELINE_VERSION), [row_for(written)])
    write_records(connection, [replace(pipeline, version=version)])
    found = (
        connection.execute(select(PIPELINE).where(PIPELINE.c.name == pipeline.name))
        .mappings()
        .one()
    )
    return record_from_row(PipelineRecord, found)


def record_schema(connection: Connection, schema: SchemaVersionRecord) -> SchemaVersionRecord:
    """Write a schema as the dataset's next version, unless it is the present one."""
    exclusive(connection, f"schema {schema.dataset_id}")
    found = (
        connection.execute(
            select(SCHEMA_VERSION)
            .where(SCHEMA_VERSION.c.dataset_id == schema.dataset_id)
            .order_by(SCHEMA_VERSION.c.version.desc())
            .limit(1)
        )
        .mappings()
        .first()
    )
    present = None if found is None else record_from_row(SchemaVersionRecord, found)
    if present is not None:
        if present.fingerprint == schema.fingerprint:
            return present
        connection.execute(
            update(SCHEMA_VERSION)
            .where(
                SCHEMA_VERSION.c.dataset_id == schema.dataset_id,
                SCHEMA_VERSION.c.version == present.version,
            )
            .values(valid_to=schema.valid_from)
        )
    written = replace(schema, version=1 if present is None else present.version + 1, valid_to=None)
    connection.execute(insert(SCHEMA_VERSION), [row_for(written)])
    return written
