"""What tasks write: records, pipelines, schemas and leases."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from airflow_etl_provider.api.access import ReaderDep, TaskDep
from airflow_etl_provider.api.models import Recording, typed_record
from airflow_etl_provider.api.store import StoreDep
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.metadata.records import (
    RECORDS,
    AgentSettingsChange,
    DecisionRecord,
    LeaseRecord,
    PipelineRecord,
    Record,
    SchemaVersionRecord,
)
from airflow_etl_provider.metadata.records.encoding import record_to_json

if TYPE_CHECKING:
    from airflow_etl_provider.api.access import Asker

__all__ = ["router"]

router = APIRouter(tags=["recording"])

_KINDS = {record.COLLECTION: record for record in RECORDS}

_NOT_BY_TASKS = (AgentSettingsChange,)


class Registration(BaseModel):
    """A pipeline and what it says."""

    model_config = ConfigDict(extra="forbid")

    pipeline: dict[str, Any]
    specification: dict[str, Any]
    fingerprint: Annotated[str, Field(min_length=1, max_length=64)]
    by: Annotated[str | None, Field(max_length=250)] = None


@router.post("/records", status_code=204, summary="Write records (tasks)")
def record(recording: Recording, asker: TaskDep, store: StoreDep) -> None:
    """All of them or none; a key that is there is updated if the record is newer."""
    store.record([_checked(_read(content), asker) for content in recording.records])


@router.post("/pipelines", summary="Register a pipeline (tasks)")
def register(told: Registration, asker: TaskDep, store: StoreDep) -> dict[str, Any]:
    """A specification with another fingerprint becomes its next version."""
    pipeline = _checked(typed_record(PipelineRecord, told.pipeline), asker)
    written = store.register_pipeline(
        pipeline, specification=told.specification, fingerprint=told.fingerprint, by=told.by
    )
    return record_to_json(written)


@router.post("/schema-versions", summary="Tell the schema of a dataset (tasks)")
def schema(told: dict[str, Any], asker: TaskDep, store: StoreDep) -> dict[str, Any]:
    """Another fingerprint than the present one becomes the next version."""
    return record_to_json(store.record_schema(typed_record(SchemaVersionRecord, told)))


Name = Annotated[str, Query(min_length=1, max_length=250)]
Seconds = Annotated[float, Query(ge=0, le=7 * 86_400)]


@router.post("/leases/take", tags=["coordination"], summary="Take a lease (tasks)")
def take(
    name: Name,
    holder: Annotated[str, Query(min_length=1, max_length=1000)],
    seconds: Seconds,
    asker: TaskDep,
    store: StoreDep,
) -> dict[str, Any] | None:
    """Null while another holds it."""
    taken = store.take_lease(name, holder=holder, duration=timedelta(seconds=seconds))
    return None if taken is None else record_to_json(taken)


@router.post("/leases/renew", tags=["coordination"], summary="Prolong a lease (tasks)")
def renew(
    lease: dict[str, Any], seconds: Seconds, asker: TaskDep, store: StoreDep
) -> dict[str, Any] | None:
    """Null when it was lost to another."""
    renewed = store.renew_lease(
        typed_record(LeaseRecord, lease), duration=timedelta(seconds=seconds)
    )
    return None if renewed is None else record_to_json(renewed)


@router.post("/leases/release", status_code=204, tags=["coordination"], summary="Give it back")
def release(lease: dict[str, Any], asker: TaskDep, store: StoreDep) -> None:
    """Nothing happens when it was lost already (tasks)."""
    store.release_lease(typed_record(LeaseRecord, lease))


@router.get("/clock", summary="The store's own clock")
def clock(asker: ReaderDep, store: StoreDep) -> dict[str, str]:
    """By which leases run out."""
    return {"now": store.now().isoformat()}


def _read(content: dict[str, Any]) -> Record:
    kind = content.get("collection")
    record = _KINDS.get(kind) if isinstance(kind, str) else None
    if record is None:
        raise SpecificationError(
            "A record needs `collection`.", hint=f"Known: {', '.join(_KINDS)}."
        )
    return typed_record(record, {k: v for k, v in content.items() if k != "collection"})


def _checked(record: Any, asker: Asker) -> Any:
    """Hold a task to what it may say: of its own DAG, and nothing in a person's name."""
    if isinstance(record, _NOT_BY_TASKS):
        raise HTTPException(403, f"Tasks write no {record.COLLECTION}.")
    if isinstance(record, DecisionRecord) and record.basis == "person":
        raise HTTPException(403, "A task records no decision of a person.")
    dag_id = getattr(record, "dag_id", None)
    if asker.task is not None and dag_id not in (None, asker.task.dag_id):
        raise HTTPException(403, "A task records what its own DAG does.")
    return record
