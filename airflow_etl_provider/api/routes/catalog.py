"""Search in the catalog."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from airflow_etl_provider.api.access import ReaderDep
from airflow_etl_provider.api.models import Listing, model_of
from airflow_etl_provider.api.store import StoreDep
from airflow_etl_provider.metadata.queries import CatalogQuery
from airflow_etl_provider.metadata.records import DatasetRecord
from airflow_etl_provider.metadata.records.encoding import record_to_json

__all__ = ["router"]

router = APIRouter(prefix="/catalog", tags=["catalog"])

Dataset: Any = model_of(DatasetRecord)


class Hit(BaseModel):
    """A dataset that was found, and in which of its columns words were found."""

    dataset: Dataset
    score: float
    matched_columns: list[str]


@router.get("/search", response_model=Listing[Hit], summary="Find datasets")
def search(
    asker: ReaderDep,
    store: StoreDep,
    text: Annotated[
        str, Query(max_length=500, description="Words; the beginning of each is enough.")
    ] = "",
    kind: Annotated[str | None, Query(max_length=20)] = None,
    connection: Annotated[str | None, Query(max_length=250)] = None,
    tag: Annotated[list[str] | None, Query(max_length=20)] = None,
    missing: Annotated[bool, Query(description="Also what is not there any more.")] = False,  # noqa: FBT002 - a query parameter
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    after: Annotated[str | None, Query(max_length=2000)] = None,
) -> Any:
    """In names, columns, tags and descriptions: all words must be found; best first."""
    page = store.search(
        CatalogQuery(
            text=text,
            kind=_clean(kind),
            connection=_clean(connection),
            tags=tuple(tag or ()),
            include_missing=missing,
            limit=limit,
            after=after,
        )
    )
    return {
        "items": [
            {
                "dataset": record_to_json(hit.dataset),
                "score": hit.score,
                "matched_columns": list(hit.matched_columns),
            }
            for hit in page.items
        ],
        "cursor": page.cursor,
    }


def _clean(text: str | None) -> str | None:
    """No database compares with a NUL character."""
    return text.replace("\0", "") if text is not None else None
