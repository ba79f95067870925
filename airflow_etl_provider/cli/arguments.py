"""The words of the command line, and what `--help` says about them."""

from __future__ import annotations

import argparse
from pathlib import Path

from airflow_etl_provider.cli.discovery_arguments import add_discover, add_drift
from airflow_etl_provider.cli.metadata_arguments import add_catalog, add_metadata

__all__ = ["build_parser"]

EXIT_CODES = """\
exit codes:
  0  done
  3  done, and some rows went to the quarantine
  1  failed or stopped; nothing was published
  2  bad usage or specification; nothing was started

With --json the report goes to stdout as one JSON object; everything else goes to stderr.
"""

LOAD_EPILOG = """\
examples:
  airflow-etl load orders.csv duckdb:///shop.db
  airflow-etl load 'exports/orders_*.csv.gz' postgresql://me@db/shop --table sales.orders \\
      --mode merge --key order_id
  airflow-etl load messy.csv clean.csv --all-text
  airflow-etl load events.jsonl events.parquet --max-rejected 1% --json
  airflow-etl load events.jsonl s3://lake/events/ --partition-by day

The dialect, the encoding and the types are found out from the file. A row that does not fit goes
to the quarantine with its reasons; `airflow-etl quarantine show LOCATION` shows it. A password is
better kept out of the command: use PGPASSWORD, ~/.pgpass, or a pipeline with an Airflow connection.

"""

RUN_EPILOG = """\
examples:
  airflow-etl run pipelines/orders.yaml
  airflow-etl run pipelines/flights.yaml --start 2013-01-01 --end 2013-02-01 --json

Connections are read from AIRFLOW_CONN_<NAME> (a URI or JSON), then from the secrets backends and
the connections of the Airflow that is configured here.

"""

QUALITY_EPILOG = """\
examples:
  airflow-etl quality warehouse --table sales.orders --rules pipelines/orders.yaml
  airflow-etl quality duckdb:///shop.db --table orders --rules rules.yaml --max-violations 1%
  airflow-etl quality 'exports/orders_*.csv' --rules rules.yaml --json

Exit code 1 also means: checked, and a rule does not hold; 3: it holds within --max-violations.

"""

QUARANTINE_EPILOG = """\
examples:
  airflow-etl quarantine list warehouse.quarantine
  airflow-etl quarantine show warehouse.quarantine --limit 5

"""


FILES_EPILOG = """\
examples:
  airflow-etl files lake/orders/
  airflow-etl files s3://lake/orders/ --connection aws_default --json

One path or URL a line: those of the newest published version, and no other.

"""


def build_parser() -> argparse.ArgumentParser:
    """Build the whole parser; each command sets `command` (and `action`)."""
    parser = argparse.ArgumentParser(
        prog="airflow-etl",
        description="Load files into tables and files: every row arrives, or is kept with the "
        "reason why not.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_load(commands)
    _add_run(commands)
    _add_check(commands)
    add_discover(commands, command=_command)
    add_drift(commands, command=_command)
    _add_quality(commands)
    _add_loads(commands)
    _add_undo(commands)
    _add_schema(commands)
    _add_quarantine(commands)
    _add_files(commands)
    add_catalog(commands, command=_command)
    add_metadata(commands, command=_command)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    *,
    epilog: str = "",
    json: bool = True,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=text[0].lower() + text[1:],
        description=f"{text}.",
        epilog=epilog + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if json:
        parser.add_argument(
            "--json", action="store_true", help="write the result to stdout as JSON"
        )
    parser.add_argument("--debug", action="store_true", help="show tracebacks and what is logged")
    return parser


def _add_load(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "load",
        "Load files into a table or a file, without writing a pipeline",
        epilog=LOAD_EPILOG,
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a file or a quoted pattern: CSV, JSON, Parquet; gzip or zip",
    )
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="postgresql://user@host/database, duckdb:///file.db, file.parquet, file.csv, or a "
        "folder of Parquet files: folder/ or s3://bucket/prefix/",
    )
    parser.add_argument(
        "--table", metavar="T", help="table to load into (default: named after the file)"
    )
    parser.add_argument(
        "--mode",
        choices=["append", "replace", "replace_partition", "merge"],
        help="what becomes of rows already there (default: append to tables and folders, replace "
        "files)",
    )
    parser.add_argument(
        "--partition-by",
        metavar="COLUMN",
        nargs="+",
        action="extend",
        default=[],
        help="columns that name a partition: what replace_partition replaces, and the folders in "
        "a folder of Parquet files",
    )
    parser.add_argument(
        "--key",
        metavar="K",
        nargs="+",
        action="extend",
        default=[],
        help="columns that identify a row, for merge",
    )
    parser.add_argument(
        "--latest-by",
        metavar="COLUMN",
        help="of several rows with one key, merge the one with the highest value",
    )
    parser.add_argument(
        "--all-text",
        action="store_true",
        help="convert no cell: every column is text, as it stands in the file",
    )
    parser.add_argument(
        "--max-rejected",
        metavar="N|P%",
        help="publish nothing when more rows are rejected (default: no limit)",
    )
    parser.add_argument(
        "--format",
        choices=["csv", "jsonl", "json", "parquet"],
        help="of the source (default: found out)",
    )
    parser.add_argument(
        "--records", metavar="PATH", help="of a JSON document: where its records are ($.data.items)"
    )
    parser.add_argument(
        "--flatten",
        action="store_true",
        help="of JSON: nested objects become columns named with dots (customer.city)",
    )
    parser.add_argument(
        "--quarantine",
        metavar="FOLDER",
        help="where rejected rows go, a folder or s3:// (default: beside the target)",
    )


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "run", "Run a pipeline that is written in a file", epilog=RUN_EPILOG
    )
    parser.add_argument("pipeline", metavar="PIPELINE.yaml", type=Path)
    parser.add_argument(
        "--start",
        metavar="TIME",
        help="start of the window, for a pipeline that loads by data interval",
    )
    parser.add_argument(
        "--end", metavar="TIME", help="end of the window, excluded; ISO 8601, UTC without a zone"
    )


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "check", "Validate a pipeline and its contract; write nothing")
    parser.add_argument("pipeline", metavar="PIPELINE.yaml", type=Path)
    parser.add_argument(
        "--dry-run",
        metavar="N",
        type=_count,
        default=0,
        help="also read and convert the first N records",
    )


def _add_quality(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "quality",
        "Check rules on a table or on files that are there already; change nothing",
        epilog=QUALITY_EPILOG,
    )
    parser.add_argument(
        "subject",
        metavar="WHAT",
        help="a connection's name, postgresql://user@host/database or duckdb:///file.db with "
        "--table; without it files: a path or a quoted pattern",
    )
    parser.add_argument("--table", metavar="T", help="the table or view: name, or schema.name")
    parser.add_argument(
        "--rules",
        metavar="RULES.yaml",
        type=Path,
        required=True,
        help="a file with `rules`, a pipeline's too",
    )
    parser.add_argument("--where", metavar="SQL", help="check only rows for which this is true")
    parser.add_argument(
        "--max-violations",
        metavar="N|P%",
        default="0",
        help="fail when more rows break rules of severity quarantine (default: 0)",
    )
    parser.add_argument(
        "--sample",
        metavar="N",
        type=_count,
        default=100,
        help="rows to keep for each broken rule (default: 100)",
    )
    parser.add_argument(
        "--format", choices=["csv", "jsonl", "parquet"], help="of files (default: found out)"
    )
    parser.add_argument(
        "--quarantine",
        metavar="FOLDER",
        help="where the sample goes (default: the folder `quarantine` here)",
    )


def _add_loads(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "loads", "List what a pipeline published, by its target's ledger")
    parser.add_argument("pipeline", metavar="PIPELINE.yaml", type=Path)
    parser.add_argument(
        "--every",
        action="store_true",
        help="also what other pipelines published to the same table",
    )


def _add_undo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "undo", "Take one load back: remove its rows and its place in the ledger"
    )
    parser.add_argument("pipeline", metavar="PIPELINE.yaml", type=Path)
    parser.add_argument(
        "load_id", metavar="LOAD_ID", help="as a report or `airflow-etl loads` names it"
    )


def _add_schema(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "schema", "Print the JSON Schema of what people write, for editors", json=False
    )
    parser.add_argument(
        "kind",
        nargs="?",
        choices=["pipeline", "contract"],
        default="pipeline",
        help="default: pipeline",
    )


def _add_quarantine(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "quarantine",
        help="look at rejected rows",
        description="Look at rejected rows and the reasons why.",
        epilog=QUARANTINE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", required=True)
    listing = _command(actions, "list", "List the quarantined loads below a folder")
    listing.add_argument(
        "location",
        metavar="LOCATION",
        help="a folder, as the report names it, or one above; or s3://",
    )
    show = _command(actions, "show", "Show rejected rows: where each stood, why, and its text")
    show.add_argument("location", metavar="LOCATION", help="as the report of a load names it")
    for action in (listing, show):
        action.add_argument(
            "--connection",
            metavar="NAME",
            help="an AWS connection for s3:// (default: what the environment logs in with)",
        )
    show.add_argument(
        "--limit", metavar="N", type=_count, default=20, help="rows to show (default: 20)"
    )


def _add_files(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "files",
        "Name the files that hold the rows of a folder of Parquet files",
        epilog=FILES_EPILOG,
    )
    parser.add_argument("location", metavar="FOLDER/", help="as the target of a load names it")
    parser.add_argument(
        "--connection", metavar="NAME", help="the Airflow connection that the target names"
    )


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)
