"""What of the records an asker may see: by the DAG that a pipeline belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_etl_provider.metadata.queries import MAX_PAGE, Query
from airflow_etl_provider.metadata.records import PipelineRecord

if TYPE_CHECKING:
    from airflow_etl_provider.api.access import Asker
    from airflow_etl_provider.metadata.records import Record
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["dag_of", "may_see", "narrowed", "visible_pipelines"]

_PUBLIC = ("dataset", "schema_version", "profile")
"""The catalog belongs to no DAG: whoever may read one may look around, values masked."""


def visible_pipelines(asker: Asker, store: MetadataStore) -> frozenset[str] | None:
    """The pipelines whose DAGs may be read; None is all of them."""
    if asker.dag_ids is None:
        return None
    names: set[str] = set()
    cursor = None
    while True:
        page = store.find(
            Query(
                PipelineRecord,
                {"dag_id": tuple(sorted(asker.dag_ids))},
                limit=MAX_PAGE,
                after=cursor,
            )
        )
        names.update(found.name for found in page.items)
        cursor = page.cursor
        if cursor is None:
            return frozenset(names)


def narrowed(
    asker: Asker, store: MetadataStore, record: type[Record], equals: dict[str, Any]
) -> dict[str, Any] | None:
    """Hold a listing to what may be seen, so that pages stay whole; None is nothing at all."""
    if asker.dag_ids is None or record.COLLECTION in _PUBLIC:
        return equals
    if "dag_id" in record.FILTERS:
        return _held(equals, "dag_id", asker.dag_ids)
    field = "name" if record is PipelineRecord else "pipeline"
    if field not in record.FILTERS:
        return None
    return _held(equals, field, visible_pipelines(asker, store) or frozenset())


def _held(equals: dict[str, Any], field: str, allowed: frozenset[str]) -> dict[str, Any] | None:
    asked = equals.get(field)
    kept = allowed if asked is None else allowed & set(asked)
    return equals | {field: tuple(sorted(kept))} if kept else None


def may_see(asker: Asker, store: MetadataStore, record: Record) -> bool:
    """Whether one record may be seen."""
    if asker.dag_ids is None or record.COLLECTION in _PUBLIC:
        return True
    dag_id = getattr(record, "dag_id", None)
    if dag_id is not None:
        return asker.may_read(dag_id)
    return asker.may_read(dag_of(store, getattr(record, "pipeline", None)))


def dag_of(store: MetadataStore, pipeline: str | None) -> str | None:
    """The DAG that a pipeline belongs to, where it does."""
    found = store.get(PipelineRecord, pipeline) if pipeline else None
    return found.dag_id if found is not None else None
