"""Reading records: a listing and a single record of each kind."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi import Query as QueryParam

from airflow_etl_provider.api.access import Asker, ReaderDep
from airflow_etl_provider.api.errors import not_found
from airflow_etl_provider.api.masking import mask_profile
from airflow_etl_provider.api.models import Listing, listing_query, model_of
from airflow_etl_provider.api.store import StoreDep
from airflow_etl_provider.api.visibility import may_see, narrowed
from airflow_etl_provider.metadata.http.paths import PATHS
from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import ContractRecord, ProfileRecord
from airflow_etl_provider.metadata.records.encoding import record_to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_etl_provider.metadata.records import Record
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["router"]

_CHAPTERS = {
    "pipelines": "pipelines",
    "pipeline-versions": "pipelines",
    "datasets": "catalog",
    "schema-versions": "catalog",
    "profiles": "catalog",
    "relations": "catalog",
    "handled-events": "events",
    "contracts": "contracts",
    "failures": "failures",
    "resolutions": "failures",
    "decisions": "decisions",
    "leases": "coordination",
    "agent-settings-changes": "agents",
    "model-usage": "agents",
}
"""Of the documentation, by path; the others are about runs."""

router = APIRouter()

Key = Annotated[list[str], QueryParam(max_length=5)]


def _add(record: type[Record], path: str, tag: str) -> None:
    model: Any = model_of(record)
    query_model: Any = listing_query(record)

    def listing(asker: ReaderDep, store: StoreDep, query: Any) -> Any:
        equals = {
            name: tuple(values) for name in record.FILTERS if (values := getattr(query, name, []))
        }
        held = narrowed(asker, store, record, equals)
        if held is None:
            return {"items": [], "cursor": None}
        page = store.find(
            Query(
                record,
                held,
                since=query.since,
                until=query.until,
                limit=query.limit,
                after=query.after,
            )
        )
        return {
            "items": [_shown(found, asker, store) for found in page.items],
            "cursor": page.cursor,
        }

    def one(request: Request, asker: ReaderDep, store: StoreDep) -> Any:
        return by_key([request.path_params[name] for name in record.KEY], asker, store)

    def by_key(key: Key, asker: ReaderDep, store: StoreDep) -> Any:
        if len(key) != len(record.KEY):
            raise HTTPException(422, f"`key` is given {len(record.KEY)} times: {record.KEY}.")
        parts = [_key_part(record, *part) for part in zip(record.KEY, key, strict=True)]
        found = store.get(record, *parts) if None not in parts else None
        if found is None or not may_see(asker, store, found):
            raise not_found(record.COLLECTION.replace("_", " "))
        return _shown(found, asker, store)

    # Made here, where no name of the module stands for it.
    listing.__annotations__["query"] = Annotated[query_model, QueryParam()]
    _route(record, path, tag, model=model, listing=listing, by_key=by_key, one=one)


def _route(
    record: type[Record],
    path: str,
    tag: str,
    *,
    model: Any,
    listing: Callable[..., Any],
    by_key: Callable[..., Any],
    one: Callable[..., Any],
) -> None:
    """Put what answers under its addresses."""
    words = record.__name__.removesuffix("Record")
    router.add_api_route(
        f"/{path}",
        listing,
        response_model=Listing[model],
        summary=f"List {path.replace('-', ' ')}, newest first",
        description=record.__doc__,
        tags=[tag],
        name=f"list_{path}",
    )
    router.add_api_route(
        f"/{path}/by-key",
        by_key,
        response_model=model,
        summary=f"Read one {words.lower()} whose name fits no path",
        description=f"`key` is given once for each of: {', '.join(record.KEY)}.",
        tags=[tag],
        name=f"read_{path}_by_key",
    )
    if record not in _NOT_ALONE:
        router.add_api_route(
            f"/{path}/" + "/".join(f"{{{name}}}" for name in record.KEY),
            one,
            response_model=model,
            summary=f"Read one {words.lower()}",
            tags=[tag],
            name=f"read_{path}",
            openapi_extra={
                "parameters": [
                    {
                        "name": name,
                        "in": "path",
                        "required": True,
                        "schema": {"type": "integer" if _is_number(record, name) else "string"},
                    }
                    for name in record.KEY
                ]
            },
        )


_NOT_ALONE = (ContractRecord,)
"""Contracts have a route of their own, with an etag."""


def _is_number(record: type[Record], name: str) -> bool:
    return str(record.__dataclass_fields__[name].type) == "int"  # type: ignore[attr-defined]


def _key_part(record: type[Record], name: str, text: str) -> Any:
    """Read a part of a key; None is one that no record has."""
    if str(record.__dataclass_fields__[name].type) == "datetime":  # type: ignore[attr-defined]
        try:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            return None
        return moment if moment.tzinfo is not None else None
    if not _is_number(record, name):
        return text if "\0" not in text else None
    is_number = text.isascii() and text.isdigit() and len(text) <= 10
    return int(text) if is_number and int(text) < 2**31 else None


def _shown(record: Record, asker: Asker, store: MetadataStore) -> dict[str, Any]:
    if isinstance(record, ProfileRecord) and not asker.may_see_personal_data():
        record = mask_profile(record, store)
    return record_to_json(record)


for _record, _path in PATHS.items():
    _add(_record, _path, _CHAPTERS.get(_path, "runs"))
