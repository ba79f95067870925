"""What can be asked of the metadata store, and the shape of its answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from airflow_etl_provider.metadata.records import DatasetRecord, Record

__all__ = [
    "MAX_PAGE",
    "Aggregation",
    "CatalogHit",
    "CatalogQuery",
    "MetricPoint",
    "MetricQuery",
    "MetricSeries",
    "Page",
    "Query",
]

T = TypeVar("T")
R = TypeVar("R", bound="Record")

MAX_PAGE = 1_000
"""Records that one page holds at most, so that no question makes a server hold a whole table."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of the answers.

    :param cursor: asks for the next ones (`after`); None at the end. It names the place by values,
        so that records that come in between shift nothing.
    """

    items: tuple[T, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Query(Generic[R]):
    """A listing of records of one kind, newest first.

    :param equals: by field, one of the record's `FILTERS`; a tuple means any of its values;
        none of them is None.
    :param since: the earliest `ORDER_BY` moment, included; `until` is the latest, excluded.
    :param limit: 1 to `MAX_PAGE`.
    :param after: the cursor of the page before.
    """

    record: type[R]
    equals: Mapping[str, Any] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100
    after: str | None = None


Aggregation = Literal["avg", "min", "max", "sum", "count", "last"]


@dataclass(frozen=True, slots=True)
class MetricQuery:
    """Metrics over time, for a chart.

    :param names: of the metrics; one series per name (and per pipeline or run, if grouped).
    :param resolution: the width of a point; None gives each measurement.
    :param aggregation: what a point says of the measurements in it.
    :param group_by: one series for all, per pipeline or per run.
    """

    names: tuple[str, ...]
    since: datetime
    until: datetime
    pipelines: tuple[str, ...] = ()
    run_ids: tuple[str, ...] = ()
    resolution: timedelta | None = None
    aggregation: Aggregation = "avg"
    group_by: Literal["none", "pipeline", "run"] = "pipeline"


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """`at` is the start of the point's width."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """One line of a chart; `group` is the pipeline or the run's id, empty where all are one."""

    name: str
    group: str
    points: tuple[MetricPoint, ...]


@dataclass(frozen=True, slots=True)
class CatalogQuery:
    """A search in names, columns, tags and descriptions of datasets.

    :param text: words, all of which must be found (the beginning of each is enough); empty lists.
    :param tags: that the dataset or one of its columns carries, all of them.
    """

    text: str = ""
    kind: str | None = None
    connection: str | None = None
    tags: tuple[str, ...] = ()
    include_missing: bool = False
    limit: int = 50
    after: str | None = None


@dataclass(frozen=True, slots=True)
class CatalogHit:
    """A dataset that was found.

    :param matched_columns: names of columns in which words were found.
    """

    dataset: DatasetRecord
    score: float
    matched_columns: tuple[str, ...] = ()
