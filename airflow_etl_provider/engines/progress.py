"""How far a run is, told while it goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_etl_provider.engines.accounting import Tally
    from airflow_etl_provider.engines.preparation import Prepared

__all__ = ["BEAT_SECONDS", "Beats", "Progress"]

BEAT_SECONDS = 1.0
"""Progress is told at most this often."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; `bytes_total` is 0 where it is not known."""

    stage: str
    rows_read: int
    rows_rejected: int
    bytes_read: int
    bytes_total: int
    seconds: float


@dataclass(slots=True)
class Beats:
    """Tells the progress, not too often."""

    prepared: Prepared
    progress: Callable[[Progress], None] | None
    started: float
    started_at: str
    last: float = field(default=0.0)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def tell(self, tally: Tally, stage: str, *, force: bool = False) -> None:
        now = time.monotonic()
        if self.progress is None or (not force and now - self.last < BEAT_SECONDS):
            return
        self.last = now
        self.progress(
            Progress(
                stage=stage,
                rows_read=tally.seen,
                rows_rejected=tally.quarantined,
                bytes_read=tally.bytes_read,
                bytes_total=sum(i.size or 0 for i in self.prepared.source.inputs),
                seconds=self.seconds,
            )
        )
