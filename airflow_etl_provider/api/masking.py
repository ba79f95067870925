"""The second fence around personal values: what should not be in the tables is not shown either."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_etl_provider.metadata.records import DatasetRecord, ProfileRecord

if TYPE_CHECKING:
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["MASK", "mask_profile"]

R = TypeVar("R")

MASK = "***"

_VALUES = (
    "min",
    "max",
    "top",
    "quantiles",
    "sample",
    "sketch",
    "values",
    "patterns",
    "histogram",
    "mode",
)
"""Facts of a column that are made of its values."""

PERSONAL = "personal"
"""The tag of a column whose values are personal."""


def mask_profile(profile: ProfileRecord, store: MetadataStore) -> ProfileRecord:
    """Hide what is made of values of personal columns."""
    dataset = store.get(DatasetRecord, profile.dataset_id)
    tagged = {
        str(column.get("name"))
        for column in (dataset.columns if dataset is not None else ())
        if PERSONAL in (column.get("tags") or ())
    }
    hidden = {
        name
        for name, facts in profile.columns.items()
        if name in tagged or PERSONAL in (_of(facts, "tags") or ())
    }
    return replace(
        profile,
        columns={
            name: _masked(facts) if name in hidden else facts
            for name, facts in profile.columns.items()
        },
        method=_masked_sample(profile, hidden),
    )


def _masked_sample(profile: ProfileRecord, hidden: set[str]) -> dict[str, Any]:
    """Hide the values of some columns in the rows of the sample."""
    rows = profile.method.get("sample")
    if not isinstance(rows, list):
        return profile.method
    places = {_of(profile.columns[name], "place") for name in hidden}
    masked = [
        [MASK if at in places and value is not None else value for at, value in enumerate(row)]
        for row in rows
    ]
    return profile.method | {"sample": masked}


def _masked(facts: Any) -> Any:
    if not isinstance(facts, dict):
        return MASK
    return {
        name: MASK if name in _VALUES and value is not None else value
        for name, value in facts.items()
    }


def _of(facts: Any, name: str) -> Any:
    return facts.get(name) if isinstance(facts, dict) else None
