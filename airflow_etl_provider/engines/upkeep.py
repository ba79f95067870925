"""What a pipeline's targets and quarantine are asked between runs."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.preparation import quarantine_of
from airflow_etl_provider.engines.quarantine import sweep_orphans
from airflow_etl_provider.engines.targets import open_target

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.engines.batch import EngineOptions

__all__ = ["sweep_quarantine"]


def sweep_quarantine(
    pipeline: Pipeline,
    *,
    connections: Connections,
    base: Path | None,
    options: EngineOptions,
    now: float | None = None,
) -> list[str]:
    """Remove rejects of attempts that died, of loads that no run comes back to.

    A run sweeps what its own load left. Where a window is never loaded again nobody would.

    :param now: seconds since the epoch; what is younger than a day by it may still be written.
    :returns: the locations that were removed.
    """
    target = open_target(
        pipeline.target, connections=connections, base=base, pipeline=pipeline.pipeline
    )
    with closing(target):
        home, keeper = quarantine_of(pipeline, target, connections=connections, options=options)
        named = [entry.quarantine for entry in target.ledger() if entry.quarantine]
    return sweep_orphans(home, named, pipeline=pipeline.pipeline, connection=keeper, now=now)
