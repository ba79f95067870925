"""`airflow-etl load`: a pipeline made from a source and a target."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from airflow_etl_provider.cli.reporting import run_and_report
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    import argparse

    from airflow_etl_provider.cli.console import Console
    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.pipeline import Pipeline

__all__ = ["name_pipeline", "name_table", "run"]

TABLE_NAME_LENGTH = 63
"""PostgreSQL cuts longer names without a word."""

_SECRET = frozenset({"password", "sslpassword"})
"""What a URL's query may hold and a name must not depend on."""


def run(args: argparse.Namespace, console: Console) -> int:
    """Load and report."""
    from airflow_etl_provider.engines.batch import EngineOptions

    pipeline, connections = _pipeline(args)
    return run_and_report(
        pipeline,
        console=console,
        connections=connections,
        base=Path.cwd(),
        options=EngineOptions(all_text=args.all_text),
    )


def _pipeline(args: argparse.Namespace) -> tuple[Pipeline, Connections]:
    from airflow_etl_provider.contracts.files import pipeline_from_mapping
    from airflow_etl_provider.engines.targets import parse_target

    if args.source == "-":
        raise SpecificationError(
            "Standard input can't be read: a load may have to read its input twice.",
            hint="Write it to a file first.",
        )
    table = args.table or (name_table(args.source) if _is_database(args.target) else None)
    target, connections = parse_target(args.target, table=table)
    if args.mode == "merge" and not args.key:
        raise SpecificationError(
            "--mode merge needs the columns that identify a row.", hint="Name them with --key."
        )
    if args.mode == "replace_partition" and not args.partition_by:
        raise SpecificationError(
            "--mode replace_partition needs the columns that name a partition.",
            hint="Name them with --partition-by.",
        )
    changes = {
        "mode": args.mode or target.mode,
        "key": tuple(args.key),
        "partition_by": tuple(args.partition_by),
        "latest_by": args.latest_by,
    }
    pipeline = {
        "pipeline": name_pipeline(args.source, args.target, table=table),
        "source": {"location": args.source} | ({"format": args.format} if args.format else {}),
        "target": target.model_dump(exclude_defaults=True) | changes,
        "max_rejected": args.max_rejected or "none",
        "quarantine": args.quarantine,
    }
    return pipeline_from_mapping(pipeline, name="The command line"), connections


def _is_database(target: str) -> bool:
    return target.lower().startswith(("postgres", "duckdb:")) or target.lower().endswith(".duckdb")


def name_table(source: str) -> str:
    """Name a table after a file: `exports/Orders 2026*.csv.gz` makes `orders_2026`."""
    parts = urlsplit(source)
    stem = Path(parts.path.strip("/") or parts.netloc or source).name.split(".")[0]
    name = re.sub(r"\W+", "_", stem).strip("_").lower()
    if not name:
        raise SpecificationError(
            f"No table can be named after {source!r}.", hint="Name it with --table."
        )
    return (f"t_{name}" if name[0].isdigit() else name)[:TABLE_NAME_LENGTH]


def name_pipeline(source: str, target: str, *, table: str | None) -> str:
    """Name a load by what it reads and writes, the same in every folder and without a password."""
    ends = [_placed(source), _placed(target), table]
    digest = hashlib.sha256(json.dumps(ends).encode()).hexdigest()[:8]
    return f"load_{table or name_table(target)}_{digest}"


def _placed(end: str) -> str:
    """Write a path from the root and a URL without its password."""
    parts = urlsplit(end)
    if parts.scheme == "duckdb":
        return f"duckdb:{_absolute(end.partition(':///')[2])}"
    if "://" not in end:
        return _absolute(end)
    given = parts.query.split("&")
    shown = [part for part in given if unquote(part.partition("=")[0]).lower() not in _SECRET]
    if parts.password is None and shown == given:
        return end
    netloc = parts.netloc
    if parts.password is not None:
        netloc = f"{parts.username or ''}@{netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc, query="&".join(shown)))


def _absolute(path: str) -> str:
    """Without `..`, but through links as they are: where a link leads may change."""
    return os.path.normpath(Path(path).absolute())
