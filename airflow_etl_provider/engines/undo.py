"""What a pipeline published, by its target's own ledger, and taking one load back."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.targets import open_target
from airflow_etl_provider.exceptions import UndoError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.engines.targets.base import LedgerEntry, Undone

__all__ = ["list_loads", "undo_load"]


def list_loads(
    pipeline: Pipeline, *, connections: Connections, base: Path | None, every: bool = False
) -> list[LedgerEntry]:
    """Read the published loads of a pipeline, oldest first.

    :param every: those of other pipelines into the same table, too.
    """
    target = open_target(
        pipeline.target, connections=connections, base=base, pipeline=pipeline.pipeline
    )
    with closing(target):
        return [e for e in target.ledger() if every or e.pipeline == pipeline.pipeline]


def undo_load(
    pipeline: Pipeline, load_id: str, *, connections: Connections, base: Path | None
) -> Undone:
    """Remove the rows of one load and its place in the ledger, in one step.

    :raises UndoError: there is no such load, or what it replaced can't come back; nothing changed.
    """
    target = open_target(
        pipeline.target, connections=connections, base=base, pipeline=pipeline.pipeline
    )
    with closing(target):
        for entry in target.ledger():
            if entry.load_id == load_id and entry.pipeline != pipeline.pipeline:
                raise UndoError(
                    f"Load {load_id} of {target.name} belongs to pipeline {entry.pipeline!r}, not "
                    f"to {pipeline.pipeline!r}.",
                    hint="Undo it by that pipeline's file.",
                )
        return target.undo(load_id)
