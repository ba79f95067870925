"""How often a dataset gets new rows, and whether it is late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from airflow_etl_provider.agents.discovery.drift.changes import DataChange
from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import LoadRecord, ProfileRecord, stable_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_etl_provider.metadata.store import Records

__all__ = ["Freshness", "freshness_of", "late_change", "read_freshness"]

_ENOUGH_GAPS = 4
_PATIENCE = 1.5
"""Times the usual time between two updates, before the next one is late."""

_TO_SIGMA = 1.4826
"""From the median of absolute deviations to the standard deviation, of normal values."""

_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a dataset was updated, and when it will be again.

    :param last: the last update that is known of.
    :param usual: time between two updates; None where too few are known.
    :param expected_by: when the next one is there at the latest, as far as the history tells.
    """

    last: datetime
    updates: int
    usual: timedelta | None = None
    expected_by: datetime | None = None

    def is_late(self, now: datetime) -> bool:
        """Whether the history would have had an update by now."""
        return self.expected_by is not None and now > self.expected_by


def freshness_of(moments: Sequence[datetime]) -> Freshness | None:
    """Tell the usual time between updates by their moments; None where there was no update.

    The next one is late after one and a half of the usual times, and after three standard
    deviations of them (by the median of absolute deviations, which a holiday does not move).
    """
    ordered = sorted(set(moments))
    if not ordered:
        return None
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(ordered)]
    last = ordered[-1]
    if len(gaps) < _ENOUGH_GAPS:
        return Freshness(last, len(ordered))
    usual = median(gaps)
    spread = _TO_SIGMA * median(abs(gap - usual) for gap in gaps)
    allowed = max(_PATIENCE * usual, usual + 3 * spread)
    return Freshness(
        last, len(ordered), timedelta(seconds=usual), last + timedelta(seconds=allowed)
    )


def read_freshness(store: Records, dataset: str) -> Freshness | None:
    """Tell it by what the store knows: loads into the dataset, and looks that found it changed.

    :param dataset: its name in the catalog.
    :raises MetadataUnavailableError: the store can't be reached.
    """
    loads = store.find(Query(LoadRecord, equals={"target": dataset}, limit=_LOOKED_AT)).items
    moments = [load.published_at for load in loads if load.undone_at is None]
    if len(moments) <= _ENOUGH_GAPS:
        # A look tells no more than that there was an update since the look before.
        looks = Query(
            ProfileRecord, equals={"dataset_id": stable_id("dataset", dataset)}, limit=_LOOKED_AT
        )
        moments += [look.measured_at for look in store.find(looks).items]
    return freshness_of(moments)


def late_change(freshness: Freshness, *, now: datetime) -> DataChange | None:
    """Tell that an update did not come; None where there is time left."""
    if freshness.expected_by is None or not freshness.is_late(now) or freshness.usual is None:
        return None
    return DataChange(
        "late",
        "compatible",
        "warning",
        f"there is nothing new since {freshness.last:%Y-%m-%d %H:%M %Z}; usually there is after "
        f"{_said(freshness.usual)}",
        was=freshness.last.isoformat(),
        now=freshness.expected_by.isoformat(),
        evidence={
            "updates": freshness.updates,
            "usual_seconds": round(freshness.usual.total_seconds()),
        },
    )


def _said(time: timedelta) -> str:
    for unit, seconds in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if time.total_seconds() >= 2 * seconds:
            return f"{time.total_seconds() / seconds:.0f} {unit}"
    return f"{time.total_seconds():.0f} seconds"
