"""`airflow-etl check`: all that can be said of a pipeline without loading anything."""

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
    """Check the pipeline; warnings and rejected rows of a dry run don't change the exit code."""
    from airflow_etl_provider.engines.check import check_pipeline

    pipeline = read_pipeline(args.pipeline)
    refuse_secrets(pipeline)
    found = check_pipeline(
        pipeline, connections=find_connection, base=args.pipeline.parent, rows=args.dry_run
    )
    for warning in found.warnings:
        console.say(f"warning: {warning}")
    if found.takes is not None:
        console.say(f"{pipeline.pipeline}: {found.takes}")
    if args.dry_run:
        console.say(
            f"{pipeline.pipeline}: of the first {found.rows:,} records "
            f"{found.rows_good:,} would load, {found.rows_rejected:,} would be rejected, "
            f"{found.rows_filtered:,} filtered out."
        )
        for reason, count in found.reasons.items():
            console.say(f"  {reason}: {count:,}")
    else:
        console.say(
            f"{pipeline.pipeline}: nothing wrong in what is written. Connections, files and the "
            "source's field names were not looked at: --dry-run N tries the first N records."
        )
    if console.json_wanted:
        console.result({"status": "ok", "pipeline": pipeline.pipeline} | asdict(found))
    return DONE
