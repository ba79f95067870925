"""A pipeline: source, contract, rules, target and error policy. What a person writes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from airflow_etl_provider.contracts.mapping import MappingContract
from airflow_etl_provider.contracts.rules import Rule

__all__ = ["Dialect", "Incremental", "Mode", "Pipeline", "RejectBudget", "SourceSpec", "TargetSpec"]

Mode = Literal["append", "replace", "merge", "replace_partition", "scd2", "snapshot"]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Dialect(_Spec):
    """How a delimited file is written; what is None is sniffed.

    `quote` and `escape` may be "" for none. `header_rows` 0 means there is no header.
    """

    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    comment: str | None = None
    skip_rows: int | None = None


class Incremental(_Spec):
    """What a run takes of the source."""

    by: Literal["new_files", "column", "data_interval"]
    column: str | None = None
    lag: str | None = None


class SourceSpec(_Spec):
    """Where the data comes from: `location` (path, glob or URL), `table`, `query` or `topic`."""

    connection: str | None = None
    location: str | None = None
    table: str | None = None
    query: str | None = None
    topic: str | None = None
    format: Literal["csv", "jsonl", "json", "parquet"] | None = None
    dialect: Dialect = Dialect()
    encoding: str | None = None
    header_rows: int | None = None
    null_values: tuple[str, ...] | None = None
    incremental: Incremental | None = None


class TargetSpec(_Spec):
    """Where the data goes."""

    connection: str | None = None
    location: str | None = None
    table: str | None = None
    mode: Mode = "append"
    key: tuple[str, ...] = ()
    latest_by: str | None = None
    on_reload: Literal["stop", "replace_load"] = "stop"
    load_columns: bool = False


class RejectBudget(_Spec):
    """How many rejected records a load survives.

    Written `100`, `1%`, or `none`; absent: the larger of 1 % and 100 records. Both given: the
    larger holds. Both None: no limit.
    """

    records: int | None = 100
    share: float | None = 0.01

    def allows(self, *, rejected: int, read: int) -> bool:
        """Whether so many rejects of so many records are within the budget."""
        if self.records is None and self.share is None:
            return True
        return rejected <= max(self.records or 0, (self.share or 0.0) * read)


def _read_budget(value: object) -> object:
    raise NotImplementedError  # contracts room


class Pipeline(_Spec):
    """One way of data from a source to a target. `mapping` is a contract, a file name, or by_name."""

    pipeline: str
    source: SourceSpec
    target: TargetSpec
    mapping: MappingContract | str = "by_name"
    filter: str | None = None
    rules: tuple[Rule, ...] = ()
    max_rejected: Annotated[RejectBudget, BeforeValidator(_read_budget)] = RejectBudget()
    schema_evolution: Literal["review", "evolve", "freeze", "discard"] = "review"
    quarantine: str | None = None
    engine: Literal["auto", "duckdb", "spark"] = "auto"
    on_error: str = "default"
    description: str | None = Field(default=None)
