r"""The metadata store on PostgreSQL: catalog search, metrics for a chart, and what recording costs.

    python benchmarks/metadata.py [--datasets 100000] [--columns 50] [--runs 1000] [--metrics 100]

Times are medians of 9, after one that is not counted; `first` is that one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from cluster import Cluster

from airflow_etl_provider.contracts.report import InputReport, RunReport
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.queries import CatalogQuery, MetricQuery
from airflow_etl_provider.metadata.recorder import Recorder
from airflow_etl_provider.metadata.records import DatasetRecord, MetricRecord, stable_id
from airflow_etl_provider.metadata.run_records import RunOf, outcome_of_load
from airflow_etl_provider.metadata.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)

WORDS = tuple(
    a + b
    for a in ("cust", "order", "item", "pay", "ship", "prod", "price", "stock", "user", "visit")
    for b in ("omer", "line", "ment", "uct", "date", "code", "name", "state", "total", "kind")
)


def main() -> None:
    """Fill a fresh database, then ask it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--metrics", type=int, default=100)
    arguments = parser.parse_args()
    with Cluster() as cluster:
        store = SqlStore(cluster.dsn)
        migrate(store.engine)
        fill_catalog(store, arguments.datasets, arguments.columns)
        fill_metrics(store, arguments.runs, arguments.metrics)
        with store.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("VACUUM ANALYZE")
        print(f"\n{'question':<52}{'first ms':>10}{'median ms':>11}{'found':>8}")
        for name, query in (
            ("a rare word of one column", CatalogQuery("needle")),
            ("a common word (in most datasets)", CatalogQuery("customer")),
            ("two common words", CatalogQuery("customer price")),
            ("the beginning of a word", CatalogQuery("cus pri sto")),
            ("a word in names", CatalogQuery("sales")),
            ("a tag", CatalogQuery(tags=("personal",))),
            ("a word that is not there", CatalogQuery("zzz")),
            ("no word: the whole catalog", CatalogQuery()),
        ):
            ask(f"catalog: {name}", partial(found_in, store, query))
        for name, hours, group in (("hour", 1, "pipeline"), ("day", 24, "none")):
            chart = MetricQuery(
                ("metric 7",),
                since=NOW - timedelta(days=60),
                until=NOW + timedelta(days=1),
                resolution=timedelta(hours=hours),
                group_by=group,  # type: ignore[arg-type]  # one of the allowed words
            )
            ask(f"metrics: one of all runs, by {name}", partial(points, store, chart))
        ask("recording: a whole run, begun and ended", lambda: record(store))
        store.close()
        start_of_a_task(cluster.dsn)


def fill_catalog(store: SqlStore, datasets: int, columns: int) -> None:
    """Make datasets with columns of two or three words."""
    chosen = random.Random(1)
    started = time.perf_counter()
    for start in range(0, datasets, 2_000):
        store.record([dataset(chosen, at, columns) for at in range(start, start + 2_000)])
    seconds = time.perf_counter() - started
    print(f"{datasets:,} datasets of {columns} columns written in {seconds:.0f} s")


def dataset(chosen: random.Random, at: int, columns: int) -> DatasetRecord:
    """One of them; a few are named so, and one has the column that is searched for."""
    name = f"warehouse/{'sales' if at % 500 == 0 else 'public'}.table_{at}"
    made: list[dict[str, Any]] = [
        {"name": "_".join(chosen.choices(WORDS, k=chosen.randint(2, 3))), "type": "string"}
        for _ in range(columns)
    ]
    if at == 77:
        made[0]["name"] = "needle"
    if at % 100 == 0:
        made[1] = made[1] | {"tags": ["personal"]}
    return DatasetRecord(stable_id("dataset", name), name, "table", NOW, NOW, columns=tuple(made))


def fill_metrics(store: SqlStore, runs: int, metrics: int) -> None:
    """Make runs over 60 days, each with as many metrics."""
    for at in range(runs):
        moment = NOW - timedelta(days=60) * (at / runs)
        store.record(
            [
                MetricRecord(f"run {at}", f"metric {number}", moment, f"pipeline {at % 20}", at)
                for number in range(metrics)
            ]
        )


def found_in(store: SqlStore, query: CatalogQuery) -> int:
    """How many the first page has."""
    return len(store.search(query).items)


def points(store: SqlStore, query: MetricQuery) -> int:
    """How many a chart shows."""
    return sum(len(series.points) for series in store.metrics(query))


def record(store: SqlStore) -> int:
    """Record a run as a task does, and wait for it."""
    name = f"dag/run/task/{time.perf_counter()}"
    run = RunOf(name, "orders", "load", NOW, mode="append", try_number=1)
    report = RunReport(
        "done", name, "orders", "l", "t", rows_read=10, rows_loaded=10, seconds=1.0,
        inputs=(InputReport("a", 10, 10, 0, 0),),
    )  # fmt: skip
    kept = _Open(store)
    recorder = Recorder(run, open_store=lambda: kept, clock=lambda: NOW)  # type: ignore[arg-type, return-value]
    recorder.begin()
    recorder.end(outcome_of_load(report, figures={}), patience=30)
    return 1


class _Open:
    """The store, which is not closed by one of many runs."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return (lambda: None) if name == "close" else getattr(self._store, name)


def ask(name: str, work: Callable[[], int]) -> None:
    """Time one question."""
    times = []
    found = 0
    for _ in range(10):
        started = time.perf_counter()
        found = work()
        times.append((time.perf_counter() - started) * 1000)
    first, *others = times
    print(f"{name:<52}{first:>10.1f}{statistics.median(others):>11.1f}{found:>8,}", flush=True)


def start_of_a_task(url: str) -> None:
    """What a task's start pays: until the recorder has taken the run, and until it is written."""
    program = (
        "import sys, time, airflow.sdk\n"
        "from datetime import datetime, timezone\n"
        "before = time.process_time(); began = time.perf_counter()\n"
        "from airflow_etl_provider.metadata.recorder import Recorder\n"
        "from airflow_etl_provider.metadata.run_records import RunOf\n"
        "def open_store():\n"
        "    from airflow_etl_provider.metadata.sql import SqlStore\n"
        "    return SqlStore(sys.argv[1])\n"
        "now = lambda: datetime.now(timezone.utc)\n"
        "recorder = Recorder(RunOf('r', 'p', 'load', now()), open_store=open_store, clock=now)\n"
        "recorder.begin()\n"
        "held = time.perf_counter() - began\n"
        "recorder._work.put(None); recorder._thread.join()\n"
        "print(held * 1000, (time.process_time() - before) * 1000)\n"
    )
    times = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", program, url], capture_output=True, text=True, check=True
        )
        times.append([float(word) for word in done.stdout.split()])
    held, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    print(
        f"\nA task's start is held up for {held:.0f} ms; {cpu:.0f} ms of CPU until it is written."
    )


if __name__ == "__main__":
    main()
