"""What a change breaks: the contracts and pipelines that read the column."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import ContractRecord, PipelineRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_etl_provider.agents.discovery.drift.changes import DataChange
    from airflow_etl_provider.metadata.store import Records

__all__ = ["Readers", "find_readers", "with_impact"]


class Readers:
    """Who reads a dataset.

    :param contracts: approved ones; each knows the columns that it takes.
    :param pipelines: that read the dataset; those without such a contract may read all columns.
    """

    def __init__(
        self, contracts: Iterable[ContractRecord], pipelines: Iterable[PipelineRecord]
    ) -> None:
        self._contracts = tuple(contracts)
        bound = {one.pipeline for one in self._contracts} | {one.name for one in self._contracts}
        self._pipelines = tuple(
            one.name for one in pipelines if one.name not in bound and one.contract not in bound
        )

    def of(self, column: str | None) -> tuple[str, ...]:
        """Name who reads a column, or the dataset where no column is named."""
        found = [f"pipeline/{name}" for name in self._pipelines]
        for contract in self._contracts:
            if column is None or column in _columns_read(contract.body):
                found.append(f"contract/{contract.name}")
                if contract.pipeline:
                    found.append(f"pipeline/{contract.pipeline}")
        return tuple(dict.fromkeys(sorted(found)))


def find_readers(store: Records, dataset: str) -> Readers:
    """Look up who reads a dataset.

    :raises MetadataUnavailableError: the store can't be reached.
    """
    contracts = Query(ContractRecord, equals={"source_dataset": dataset, "status": "approved"})
    return Readers(
        store.find(contracts).items,
        store.find(Query(PipelineRecord, equals={"source": dataset})).items,
    )


def with_impact(change: DataChange, readers: Readers) -> DataChange:
    """Add who reads what changed; a change that breaks somebody is critical."""
    column = change.was if change.kind == "column_renamed" else change.column
    breaks = readers.of(column)
    if not breaks or change.effect == "additive":
        return change
    critical = change.effect == "breaking"
    return replace(change, breaks=breaks, severity="critical" if critical else change.severity)


def _columns_read(body: dict[str, Any]) -> set[str]:
    """Give the source columns of a contract; of SQL, all that its `from` names."""
    found: set[str] = set()
    for mapping in body.get("columns", {}).values():
        named = mapping.get("from") if isinstance(mapping, dict) else None
        found.update([named] if isinstance(named, str) else named or ())
    return found
