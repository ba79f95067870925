"""Mapping contracts: read, compare, approve, reject and edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Path, Response

from airflow_etl_provider.api.access import PersonDep, ReaderDep, TaskDep
from airflow_etl_provider.api.errors import not_found
from airflow_etl_provider.api.models import (
    ContractDecision,
    ContractEdit,
    model_of,
    typed_record,
)
from airflow_etl_provider.api.store import StoreDep
from airflow_etl_provider.api.visibility import dag_of, may_see
from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.contracts.files import contract_from_mapping
from airflow_etl_provider.metadata.records import ContractRecord, DecisionRecord, stable_id
from airflow_etl_provider.metadata.records.encoding import record_to_json

if TYPE_CHECKING:
    from airflow_etl_provider.api.access import Asker
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["router"]

router = APIRouter(prefix="/contracts", tags=["contracts"])

Contract: Any = model_of(ContractRecord)

Name = Annotated[str, Path(min_length=1, max_length=250)]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]
IfMatch = Annotated[
    str | None, Header(description="The ETag of the version as it was read.", max_length=100)
]


@router.get("/{name}/approved", response_model=Contract, summary="Read the approved version")
def approved(name: Name, asker: ReaderDep, store: StoreDep, response: Response) -> Any:
    """What runs go by now."""
    found = store.approved_contract(_clean(name))
    if found is None or not may_see(asker, store, found):
        raise not_found("approved version of this contract")
    return _tagged(found, response)


@router.get("/{name}/versions/{version}", response_model=Contract, summary="Read one version")
def version(
    name: Name, version: Version, asker: ReaderDep, store: StoreDep, response: Response
) -> Any:
    """One version, with its ETag."""
    return _tagged(_found(name, version, asker, store), response)


@router.get("/{name}/compare", summary="Compare two versions, column by column")
def compare(name: Name, old: int, new: int, asker: ReaderDep, store: StoreDep) -> dict[str, Any]:
    """The columns that were added, removed and changed, and other keys that differ."""
    before = _found(name, old, asker, store).body
    after = _found(name, new, asker, store).body
    ours, theirs = before.get("columns") or {}, after.get("columns") or {}
    return {
        "added": {column: theirs[column] for column in theirs if column not in ours},
        "removed": {column: ours[column] for column in ours if column not in theirs},
        "changed": {
            column: {"old": ours[column], "new": theirs[column]}
            for column in ours
            if column in theirs and ours[column] != theirs[column]
        },
        "other": {
            key: {"old": before.get(key), "new": after.get(key)}
            for key in sorted({*before, *after} - {"columns"})
            if before.get(key) != after.get(key)
        },
    }


@router.post(
    "/{name}/versions/{version}/decision",
    response_model=Contract,
    summary="Approve or reject a version",
)
def decide(
    name: Name,
    version: Version,
    decision: ContractDecision,
    asker: PersonDep,
    store: StoreDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Needs the right to edit the pipeline's DAG. Who approved, when and why is recorded."""
    seen = _editable(name, version, asker, store)
    decided = store.decide_contract(
        seen.name,
        version,
        status=decision.status,
        by=asker.name,
        etag=_etag(if_match),
        comment=decision.comment,
    )
    _record(store, decided, asker, action=decision.status, reasoning=decision.comment)
    return _tagged(decided, response)


@router.post(
    "/{name}/versions/{version}/edit",
    response_model=Contract,
    status_code=201,
    summary="Write an edited version as the next one",
)
def edit(
    name: Name,
    version: Version,
    edited: ContractEdit,
    asker: PersonDep,
    store: StoreDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Needs the right to edit the pipeline's DAG. All faults of what is no contract are told."""
    seen = _editable(name, version, asker, store)
    contract_from_mapping(edited.body)
    written = store.edit_contract(
        seen.name,
        version,
        body=edited.body,
        by=asker.name,
        etag=_etag(if_match),
        comment=edited.comment,
    )
    _record(store, written, asker, action="edited", reasoning=edited.comment)
    return _tagged(written, response)


@router.post("", response_model=Contract, status_code=201, summary="Propose a contract (tasks)")
def propose(proposal: dict[str, Any], asker: TaskDep, store: StoreDep) -> Any:
    """The next version, or the one there is when it says the same. A proposal decides nothing."""
    told = typed_record(ContractRecord, proposal)
    contract_from_mapping(told.body)
    written = store.propose_contract(told)
    store.append_events([_event("contract_proposed", written)])
    return record_to_json(written)


def _found(name: str, number: int, asker: Asker, store: MetadataStore) -> ContractRecord:
    known = 0 < number < 2**31
    found = store.get(ContractRecord, _clean(name), number) if known else None
    if found is None or not may_see(asker, store, found):
        raise not_found("such version of this contract")
    return found


def _editable(name: str, number: int, asker: Asker, store: MetadataStore) -> ContractRecord:
    found = _found(name, number, asker, store)
    if not asker.may_edit(dag_of(store, found.pipeline)):
        raise HTTPException(403, "Deciding about a contract needs the right to edit its DAG.")
    return found


def _etag(if_match: str | None) -> str:
    if not if_match:
        raise HTTPException(428, "Send the ETag of the version that you have read as If-Match.")
    return if_match.removeprefix("W/").strip('"')


def _tagged(contract: ContractRecord, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = f'"{contract.etag}"'
    return record_to_json(contract)


def _record(
    store: MetadataStore,
    contract: ContractRecord,
    asker: Asker,
    *,
    action: str,
    reasoning: str | None,
) -> None:
    subject = f"contract/{contract.name}/{contract.version}"
    store.record(
        [
            DecisionRecord(
                id=stable_id("decision", subject, action, contract.etag),
                agent="mapping",
                actor=asker.name,
                basis="person",
                action=action,
                subject=subject,
                at=contract.updated_at,
                updated_at=contract.updated_at,
                pipeline=contract.pipeline,
                reasoning=reasoning,
            )
        ]
    )
    if action in ("approved", "rejected"):
        store.append_events([_event(f"contract_{action}", contract)])
    else:
        store.append_events([_event("contract_proposed", contract)])


def _event(kind: str, contract: ContractRecord) -> Any:
    return new_event(
        kind,
        key=contract.pipeline or contract.name,
        at=contract.updated_at,
        pipeline=contract.pipeline,
        facts={"contract": contract.name, "version": contract.version},
        same=contract.etag,
    )


def _clean(name: str) -> str:
    if "\0" in name:
        raise not_found("such contract")
    return name
