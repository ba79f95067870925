"""Run the example DAGs in a real Airflow of their own, and say what became of every row.

    make demo        # migrate, run the examples, print a summary; can be run again
    make demo-ui     # the same Airflow with its web interface, until Ctrl-C

Everything lives in `.demo/` of this checkout: Airflow's SQLite database, the DuckDB file that the
examples load into, the rejected rows and the logs. Delete the folder to start afresh.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_etl_provider.engines.targets.base import LedgerEntry

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo"
WAREHOUSE = HOME / "warehouse.duckdb"
METADATA = HOME / "airflow" / "airflow.db"
LOGS = HOME / "logs"
BIN = Path(sys.executable).parent

TABLES = (
    "orders",
    "web_orders",
    "receipts",
    "airlines",
    "airports",
    "planes",
    "weather",
    "flights",
    "carriers",
)

RUNS_SHOWN = 12

REJECTS_SHOWN = 3
"""Of each load; the command printed below them shows all."""

AN_ERROR = re.compile(r"[\w.]+(Error|Exception): ")
"""How Python begins the line that ends a traceback."""

LOG_LINES = 25
"""What is shown of the log of a step that failed without one."""


@dataclass(frozen=True)
class Example:
    """One run of an example DAG: `arguments` are those of `airflow dags test`."""

    title: str
    arguments: tuple[str, ...]


EXAMPLES = (
    Example("orders: a dirty shop export", ("orders",)),
    Example("mapped_files: four stores, one task each", ("mapped_files",)),
    # The run of a day takes the interval that ends as the day begins.
    Example("flights: 1 January 2013, its data interval", ("flights", "2013-01-02")),
    Example(
        "flights: the whole year, by a start and an end",
        ("flights", "2014-01-01", "--conf", '{"start": "2013-01-01", "end": "2014-01-02"}'),
    ),
    Example("carriers: four files joined and summed up", ("carriers",)),
)


def main() -> int:
    """Run the demo; 0 only when every step came through."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ui", action="store_true", help="start Airflow with its web interface")
    parser.add_argument("--port", type=int, default=8080, help="of the web interface")
    args = parser.parse_args()
    for folder in (HOME, LOGS):
        folder.mkdir(parents=True, exist_ok=True)
    environment = airflow_environment(port=args.port)
    try:
        if not step("Airflow's database (SQLite)", ["db", "migrate"], environment):
            return 1
        if args.ui:
            return serve(environment)
        passed = [
            step(example.title, ["dags", "test", *example.arguments], environment)
            for example in EXAMPLES
        ]
    except KeyboardInterrupt:
        say("\nStopped.")
        return 1
    summarise()
    if not all(passed):
        say(f"\n{passed.count(False)} of {len(passed)} runs failed; their logs are in {LOGS}")
        return 1
    say("\nLook around in Airflow itself: make demo-ui")
    return 0


def airflow_environment(*, port: int) -> dict[str, str]:
    """Configure an Airflow that shares nothing with another one on this machine."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    address = f"http://localhost:{port}"
    return inherited | {
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "AIRFLOW_HOME": str(HOME / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        # Whoever reaches this loopback port is an administrator: for a demo on one machine only.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "duckdb", "host": str(WAREHOUSE)}),
        # Runs are recorded in the tables etl_* of Airflow's own database.
        "AIRFLOW_CONN_ETL_METADATA_DEFAULT": json.dumps(
            {"conn_type": "sqlite", "host": str(METADATA)}
        ),
        "PYTHONWARNINGS": "ignore",
    }


def step(title: str, arguments: list[str], environment: dict[str, str]) -> bool:
    """Run one `airflow` command, its output into a log; tell how it went."""
    log = LOGS / f"{'_'.join(arguments[:2] + arguments[2:4])}.log".replace("/", "_")
    print(f"  {title} ...", end="", flush=True)
    started = time.monotonic()
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=environment,
            cwd=HOME,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    seconds = time.monotonic() - started
    outcome = "done" if done.returncode == 0 else f"FAILED (exit code {done.returncode})"
    say(f" {outcome}, {seconds:.0f} s")
    if done.returncode != 0:
        lines = log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if AN_ERROR.match(line)]
        say("\n".join(f"    {line}" for line in errors or lines[-LOG_LINES:]))
        say(f"    All of it: {log}")
    return done.returncode == 0


def summarise() -> None:
    """Print what the ledgers in the target hold, and the first rejected rows of each table."""
    say(f"\nLoaded into {shown(WAREHOUSE)}, as its ledger says:\n")
    names = ("pipeline", "table", "read", "loaded", "quarantined", "filtered")
    say("  {:<19}{:<12}{:>9}{:>9}{:>13}{:>10}".format(*names))
    ledgers = {table: ledger_of(table) for table in TABLES}
    for table, entries in ledgers.items():
        for entry in entries:
            say(
                f"  {entry.pipeline:<19}{table:<12}{entry.rows_read:>9,}{entry.rows_loaded:>9,}"
                f"{entry.rows_quarantined:>13,}{entry.rows_filtered:>10,}"
            )
    say("\nIn quarantine, with the first reasons:")
    for table, entries in ledgers.items():
        locations = [entry.quarantine for entry in entries if entry.quarantine]
        if locations:
            rows = sum(entry.rows_quarantined for entry in entries)
            describe_quarantine(f"{table} ({rows:,})", locations)
    describe_runs()


def describe_runs() -> None:
    """Print what the metadata database has of the newest runs, whatever became of them."""
    from airflow_etl_provider.metadata.queries import Query
    from airflow_etl_provider.metadata.records import RunRecord
    from airflow_etl_provider.metadata.sql import SqlStore

    store = SqlStore(f"sqlite:///{METADATA}")
    runs = store.find(Query(RunRecord, limit=RUNS_SHOWN)).items
    store.close()
    say("\nThe newest runs, as Airflow's metadata database has them (tables etl_*):\n")
    say("  {:<21}{:<19}{:<19}{:>9}{:>9}".format("started", "pipeline", "status", "read", "loaded"))
    for run in runs:
        say(
            f"  {run.started_at:%Y-%m-%d %H:%M:%S}  {run.pipeline:<19}{run.status:<19}"
            f"{run.rows_read:>9,}{run.rows_loaded:>9,}"
        )


def ledger_of(table: str) -> list[LedgerEntry]:
    """Read the proofs of what was loaded; they live in the target, beside the rows."""
    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.contracts.pipeline import TargetSpec
    from airflow_etl_provider.engines.targets import open_target

    target = open_target(
        TargetSpec(connection="warehouse", table=table),
        connections=lambda name: Connection(name, "duckdb", host=str(WAREHOUSE)),
        base=None,
        pipeline=table,
    )
    try:
        return target.ledger()
    finally:
        target.close()


def describe_quarantine(title: str, locations: list[str]) -> None:
    """Print the first rejected rows of the newest load, and the commands that show all."""
    from airflow_etl_provider.cli.quarantine import describe_reason, text_of
    from airflow_etl_provider.engines.quarantine import list_quarantines, read_quarantine

    codes: Counter[str] = Counter()
    for location in locations:
        for manifest in list_quarantines(location):
            codes.update(manifest.codes)
    say(f"\n  {title}: {', '.join(f'{code} {count:,}' for code, count in codes.most_common())}")
    for reject in islice(read_quarantine(locations[-1]), REJECTS_SHOWN):
        raw = text_of(reject.raw).strip()
        say(f"    record {reject.record}: {'; '.join(map(describe_reason, reject.reasons))}")
        say(f"      {raw[:90]!r}{' ...' if len(raw) > 90 else ''}")
    say("    all of them:")
    for location in locations:
        say(f"      {shown(BIN / 'airflow-etl')} quarantine show {shown(Path(location))}")


def serve(environment: dict[str, str]) -> int:
    """Run Airflow with its web interface until Ctrl-C, and leave no process behind."""
    log = LOGS / "standalone.log"
    address = environment["AIRFLOW__API__BASE_URL"]
    say(f"  Airflow's log is {shown(log)}")
    with log.open("wb") as output:
        airflow = subprocess.Popen(
            [sys.executable, "-m", "airflow", "standalone"],
            env=environment,
            cwd=HOME,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        # A job in the background of a script starts with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        say("  It takes a minute or two to come up ...")
        try:
            if not wait_for(f"{address}/api/v2/monitor/health", airflow):
                say(f"Airflow did not come up; see {log}")
                return 1
            say(f"\nAirflow is at {address} (no login, this machine only).")
            for dag in ("orders", "mapped_files"):
                switch_on(address, dag)
            say("Trigger the DAGs orders, mapped_files and flights there. Ctrl-C stops it.")
            airflow.wait()
            say(f"Airflow ended by itself; see {log}")
            return 1
        except KeyboardInterrupt:
            say("\nStopping Airflow; that takes up to half a minute ...")
            return 0
        finally:
            stop(airflow)


def wait_for(url: str, process: subprocess.Popen[bytes], *, seconds: float = 180) -> bool:
    """Wait until the address answers; False when the process ended or the time is up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback
                if answer.status == 200:
                    return True
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    return False


def switch_on(address: str, dag: str) -> None:
    """Let a DAG run that has no schedule; one that is not parsed yet is left for the person."""
    with urllib.request.urlopen(f"{address}/auth/token", timeout=30) as answer:  # noqa: S310
        token = json.load(answer)["access_token"]
    request = urllib.request.Request(  # noqa: S310 - our own loopback
        f"{address}/api/v2/dags/{dag}",
        data=b'{"is_paused": false}',
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="PATCH",
    )
    try:
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        say(f"{dag} is not switched on yet (HTTP {error.code}); its switch is in the list of DAGs.")


def stop(process: subprocess.Popen[bytes], *, seconds: float = 15) -> None:
    """End the process and all it started: first politely, then for good."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if not signal_group(process, number):
            return
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not signal_group(process, 0):
                return
            time.sleep(0.2)


def signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to the process and its children; False when none is left."""
    process.poll()
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def shown(path: Path) -> str:
    """Write a path so that it can be pasted here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def say(text: str) -> None:
    """Tell the person."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
