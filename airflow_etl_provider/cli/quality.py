"""`airflow-etl quality`: rules on what is there already."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.cli.command import DONE, DONE_WITH_REJECTS, FAILED
from airflow_etl_provider.cli.connections import find_connection
from airflow_etl_provider.cli.load import name_table
from airflow_etl_provider.cli.progress import ProgressBar
from airflow_etl_provider.cli.stopping import stop_on_signals
from airflow_etl_provider.contracts.files import read_rules
from airflow_etl_provider.contracts.quality import QualityCheck
from airflow_etl_provider.contracts.summary import describe_quality

if TYPE_CHECKING:
    import argparse

    from airflow_etl_provider.cli.console import Console
    from airflow_etl_provider.contracts.connection import Connections

__all__ = ["run"]


def run(args: argparse.Namespace, console: Console) -> int:
    """Check, report, and give the exit code."""
    from airflow_etl_provider.engines.batch import EngineOptions
    from airflow_etl_provider.engines.quality import check_quality

    check, connections = _check(args)
    with (
        stop_on_signals(console.say) as asked_to_stop,
        ProgressBar(shown=console.stderr_is_terminal) as bar,
    ):
        report = check_quality(
            check,
            connections=connections,
            run_id=uuid.uuid4().hex,
            base=Path.cwd(),
            options=EngineOptions(),
            clock=lambda: datetime.now(timezone.utc),
            progress=bar,
            cancel=asked_to_stop,
        )
    for line in describe_quality(report):
        console.say(line)
    if console.json_wanted:
        console.result(report.to_dict())
    if report.status == "failed":
        return FAILED
    return DONE_WITH_REJECTS if report.rows_violating else DONE


def _check(args: argparse.Namespace) -> tuple[QualityCheck, Connections]:
    connections: Connections = find_connection
    if args.table is None:
        name, place = name_table(args.subject), {"location": args.subject}
    elif _is_url(args.subject):
        from airflow_etl_provider.engines.targets import parse_target

        spec, connections = parse_target(args.subject, table=args.table)
        given = spec.model_dump(include={"connection", "location"}, exclude_none=True)
        name, place = args.table, given | {"table": args.table}
    else:
        name, place = args.table, {"connection": args.subject, "table": args.table}
    options = {"where": args.where, "format": args.format, "quarantine": args.quarantine}
    check = QualityCheck.model_validate(
        {
            "check": f"check_{name.replace('/', '_')}",
            "rules": read_rules(args.rules),
            "max_violations": args.max_violations,
            "sample": args.sample,
        }
        | place
        | {key: value for key, value in options.items() if value is not None}
    )
    return check, connections


def _is_url(subject: str) -> bool:
    return "://" in subject or subject.lower().endswith(".duckdb")
