"""A mapping contract: the versioned answer to "what goes where"."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from airflow_etl_provider.contracts.conversions import Conversion
from airflow_etl_provider.contracts.types import LogicalType

__all__ = ["ColumnMapping", "DatasetRef", "MappingContract", "OnFailure"]

OnFailure = Literal["reject", "null", "default"]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetRef(_Spec):
    """One side of a contract: which dataset, and its columns with their types, in order."""

    dataset: str | None = None
    fingerprint: str | None = None
    fields: dict[str, LogicalType] = {}


class ColumnMapping(_Spec):
    """Where one target column comes from.

    :param from_: source fields (written `from`), in the order the first conversion takes them.
    :param convert: steps, applied in the order written; empty means identity.
    :param when: an SQL condition over source fields; where it is not true the value is NULL.
    :param default: the value that `on_failure: default` puts in.
    """

    from_: tuple[str, ...] = ()
    convert: tuple[Conversion, ...] = ()
    when: str | None = None
    on_failure: OnFailure = "reject"
    default: str | int | float | bool | None = None
    confidence: float | None = None
    evidence: tuple[str, ...] = ()
    status: Literal["proposed", "approved", "edited", "rejected"] | None = None


class MappingContract(_Spec):
    """The columns of the target and where each comes from."""

    contract: str
    version: int = 1
    status: Literal["proposed", "approved", "rejected", "superseded"] = "approved"
    source: DatasetRef = DatasetRef()
    target: DatasetRef
    columns: dict[str, ColumnMapping]
