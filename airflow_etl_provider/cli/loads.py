"""`airflow-etl loads`: what a pipeline published, as its target's ledger has it."""

from __future__ import annotations

from dataclasses import asdict
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
    """List the loads, oldest first; what was asked for goes to stdout, also without --json."""
    from airflow_etl_provider.engines.undo import list_loads

    pipeline = read_pipeline(args.pipeline)
    refuse_secrets(pipeline)
    entries = list_loads(
        pipeline, connections=find_connection, base=args.pipeline.parent, every=args.every
    )
    if console.json_wanted:
        console.result([asdict(entry) for entry in entries])
        return DONE
    for entry in entries:
        counts = [f"{entry.rows_loaded:,} loaded"]
        counts += [
            f"{count:,} {word}"
            for count, word in (
                (entry.rows_quarantined, "quarantined"),
                (entry.rows_filtered, "filtered"),
                (entry.rows_deduplicated, "deduplicated"),
                (entry.rows_deleted, "deleted"),
            )
            if count
        ]
        console.out(
            f"{entry.load_id}  {entry.published_at}  {entry.mode}\n"
            f"  {entry.pipeline} ({entry.window}), run {entry.run_id}: "
            f"{entry.rows_read:,} rows read = {' + '.join(counts)}"
        )
    console.say(f"{len(entries)} load{'' if len(entries) == 1 else 's'}")
    return DONE
