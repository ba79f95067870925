"""The words of `airflow-etl metadata`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["add_catalog", "add_metadata", "positive"]

CATALOG_EPILOG = """\
examples:
  airflow-etl catalog search orders
  airflow-etl catalog search customer --tag personal --json

The database is that of --url or --connection; without them that of etl_metadata_default.

"""

EPILOG = """\
examples:
  airflow-etl metadata migrate --connection etl_metadata_default
  airflow-etl metadata doctor dags/pipelines
  airflow-etl metadata clean --dry-run
  airflow-etl metadata reconcile dags/pipelines --sweep

The database is that of --url or --connection; without them that of etl_metadata_default.

"""


def add_catalog(commands: Any, *, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the search in the catalog."""
    parser = commands.add_parser(
        "catalog",
        help="the datasets that were found: search",
        description="Look into the catalog of datasets.",
        epilog=CATALOG_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", required=True)
    search = command(actions, "search", "Find datasets by names, columns, tags and descriptions")
    search.add_argument(
        "words", metavar="WORDS", nargs="*", help="all must be found; beginnings are enough"
    )
    search.add_argument(
        "--tag",
        metavar="TAG",
        action="append",
        default=[],
        help="that the dataset or a column carries: personal, email (may be given again)",
    )
    search.add_argument("--of", metavar="C", help="only datasets of this connection")
    search.add_argument("--missing", action="store_true", help="also those that are gone")
    search.add_argument(
        "--limit", metavar="N", type=positive, default=50, help="at most so many (default: 50)"
    )
    _add_place(search)


def add_metadata(commands: Any, *, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command and its actions."""
    parser = commands.add_parser(
        "metadata",
        help="the tables of runs, decisions and events: migrate, clean, reconcile, doctor",
        description="Look after the tables of runs, decisions and events.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", required=True)
    migrate = command(actions, "migrate", "Create the tables, or bring them up to date")
    migrate.add_argument("--to", metavar="REVISION", default="head", help="default: the newest")
    migrate.add_argument("--dry-run", action="store_true", help="only say what is there")
    migrate.add_argument("--sql", action="store_true", help="print the statements and run none")
    clean = command(actions, "clean", "Take away records that are older than they are kept")
    clean.add_argument("--dry-run", action="store_true", help="only count")
    clean.add_argument(
        "--days",
        metavar="TABLE:N,...",
        help="days by table, as in run:365,metric:30; 0 is for ever (default: "
        "AIRFLOW__ETL__RETENTION_DAYS)",
    )
    clean.add_argument("--tables", metavar="TABLE,...", help="only these")
    clean.add_argument(
        "--batch-size",
        metavar="N",
        type=positive,
        default=1_000,
        help="records of one transaction (default: 1000)",
    )
    clean.add_argument("--yes", "-y", action="store_true", help="do not ask")
    reconcile = command(
        actions, "reconcile", "Write what the targets' ledgers prove and the tables lack"
    )
    reconcile.add_argument("pipelines", metavar="PIPELINES", type=Path, nargs="+")
    reconcile.add_argument(
        "--stale-hours",
        metavar="N",
        type=float,
        default=24.0,
        help="end runs that have been running for longer (default: 24)",
    )
    reconcile.add_argument(
        "--sweep",
        action="store_true",
        help="also remove rejected rows that no ledger names and no run comes back to",
    )
    doctor = command(actions, "doctor", "Say what is wrong with the set-up, and what to do")
    doctor.add_argument("pipelines", metavar="PIPELINES", type=Path, nargs="*")
    for action in (migrate, clean, reconcile, doctor):
        _add_place(action)


def _add_place(action: argparse.ArgumentParser) -> None:
    where = action.add_mutually_exclusive_group()
    where.add_argument("--connection", metavar="NAME", help="an Airflow connection")
    where.add_argument("--url", metavar="URL", help="postgresql://... or sqlite:///...")


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)
