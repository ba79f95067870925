"""The words of `airflow-etl discover` and `airflow-etl drift`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_etl_provider.cli.metadata_arguments import positive

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["add_discover", "add_drift"]

DISCOVER_EPILOG = """\
examples:
  airflow-etl discover exports/
  airflow-etl discover 'exports/orders_*.csv.gz' customers.parquet --json
  airflow-etl discover warehouse --include 'sales.*' --sample 100000

Exit code 1 means here: something could not be read; what could be is told all the same.

"""

DRIFT_EPILOG = """\
examples:
  airflow-etl drift orders_2026-01.csv orders_2026-02.csv
  airflow-etl drift warehouse/sales.orders replica/sales.orders --json
  airflow-etl discover exports/ --json > before.json; airflow-etl drift before.json exports/
  airflow-etl drift warehouse --catalog --fail-on any

Exit code 1 means here: something that is breaking changed (see --fail-on), or a dataset could not
be read.

"""


def add_discover(commands: Any, *, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command that profiles datasets."""
    parser = command(
        commands,
        "discover",
        "Say what datasets are there and what is in them: types, keys, personal data",
        epilog=DISCOVER_EPILOG,
    )
    parser.add_argument(
        "places",
        metavar="LOCATION|CONNECTION",
        nargs="+",
        help="a file, a folder, a quoted pattern or a URL; a word that is none of these is an "
        "Airflow connection, whose tables are looked at",
    )
    for option, said in (("--include", "only these"), ("--exclude", "all but these")):
        parser.add_argument(
            option,
            metavar="PATTERN",
            nargs="+",
            action="extend",
            default=[],
            help=f"of a folder or a database {said}: 'sales.*', '*.parquet'",
        )
    parser.add_argument(
        "--connection", metavar="C", help="an Airflow connection that the locations belong to"
    )
    parser.add_argument(
        "--table",
        metavar="T",
        nargs="+",
        action="extend",
        default=[],
        help="only these tables of the connection: table or schema.table",
    )
    parser.add_argument(
        "--record",
        metavar="C",
        nargs="?",
        const="etl_metadata_default",
        help="write what is found into the catalog, at the connection C (default: %(const)s)",
    )
    _add_sample(parser)


def add_drift(commands: Any, *, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command that compares datasets."""
    parser = command(
        commands,
        "drift",
        "Say what changed from one dataset to another, apart from chance",
        epilog=DRIFT_EPILOG,
    )
    parser.add_argument(
        "was",
        metavar="A",
        help="a file, a folder, a quoted pattern, a URL, CONNECTION, CONNECTION/TABLE, or what "
        "`discover --json` wrote",
    )
    parser.add_argument(
        "now", metavar="B", nargs="?", help="the same, as it is now; not with --catalog"
    )
    parser.add_argument(
        "--catalog",
        metavar="C",
        nargs="?",
        const="etl_metadata_default",
        help="compare A, as it is now, with what the catalog at the connection C remembers "
        "(default: %(const)s)",
    )
    parser.add_argument(
        "--fail-on",
        choices=("breaking", "any", "never"),
        default="breaking",
        help="which changes make the exit code 1 (default: %(default)s)",
    )
    _add_sample(parser)


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sample",
        metavar="N",
        type=positive,
        default=20_000,
        help="rows of each dataset whose values are looked at one by one (default: %(default)s)",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="read all; else a part of tables with more than five times the sample, and of "
        "datasets with more than a hundred files",
    )
