"""`airflow-etl files`: the live files of a folder, for readers that must see one version."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.cli.command import DONE
from airflow_etl_provider.cli.connections import find_connection

if TYPE_CHECKING:
    import argparse

    from airflow_etl_provider.cli.console import Console

__all__ = ["run"]


def run(args: argparse.Namespace, console: Console) -> int:
    """Write one location a line; what was asked for goes to stdout, also without --json."""
    from airflow_etl_provider.engines.targets.parquet_folder import read_folder

    found = read_folder(
        args.location, connection=args.connection, connections=find_connection, base=Path.cwd()
    )
    if console.json_wanted:
        console.result(
            {
                "name": found.name,
                "version": found.version,
                "columns": {field.name: str(field.type) for field in found.schema},
                "partition_by": found.partition_by,
                "rows": found.rows,
                "files": [asdict(file) for file in found.files],
            }
        )
        return DONE
    for location in found.locations:
        console.out(location)
    return DONE
