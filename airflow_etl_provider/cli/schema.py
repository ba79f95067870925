"""`airflow-etl schema`: what editors complete and check pipeline and contract files by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_etl_provider.cli.command import DONE

if TYPE_CHECKING:
    import argparse

    from airflow_etl_provider.cli.console import Console

__all__ = ["run"]


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the JSON Schema; it is the result itself, so it goes to stdout."""
    from airflow_etl_provider.contracts.json_schema import contract_schema, pipeline_schema

    schema = pipeline_schema() if args.kind == "pipeline" else contract_schema()
    console.out(json.dumps(schema, indent=2, ensure_ascii=False))
    return DONE
