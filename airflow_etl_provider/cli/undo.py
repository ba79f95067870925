"""`airflow-etl undo`: take one load back out of its target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.cli.command import DONE
from airflow_etl_provider.cli.connections import find_connection
from airflow_etl_provider.contracts.files import read_pipeline
from airflow_etl_provider.hooks.connections import refuse_secrets

if TYPE_CHECKING:
    import argparse

    from airflow_etl_provider.cli.console import Console

__all__ = ["run"]


def run(args: argparse.Namespace, console: Console) -> int:
    """Undo the load and say what is gone."""
    from airflow_etl_provider.engines.undo import undo_load

    pipeline = read_pipeline(args.pipeline)
    refuse_secrets(pipeline)
    undone = undo_load(
        pipeline, args.load_id, connections=find_connection, base=args.pipeline.parent
    )
    entry = undone.entry
    console.say(
        f"{entry.pipeline}: load {entry.load_id} ({entry.window}) is undone, and "
        f"{undone.rows_deleted:,} rows are gone from {entry.target}. It can be loaded again."
    )
    if console.json_wanted:
        console.result(
            {
                "status": "undone",
                "pipeline": entry.pipeline,
                "load_id": entry.load_id,
                "target": entry.target,
                "rows_deleted": undone.rows_deleted,
            }
        )
    return DONE
