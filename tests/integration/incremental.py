"""A pipeline that loads only what is new, over files that come and change."""

from __future__ import annotations

import csv
import os
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import duckdb
import psycopg2

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, Window, run_pipeline
from airflow_etl_provider.engines.check import check_pipeline
from airflow_etl_provider.engines.targets import open_target, parse_target
from airflow_etl_provider.engines.targets.duckdb_file.session import DuckDbSession
from airflow_etl_provider.exceptions import PositionMovedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.engines.check import CheckReport
    from airflow_etl_provider.engines.targets.base import (
        LedgerEntry,
        Publication,
        Published,
        Target,
    )

NEW_FILES = {"by": "new_files"}
MERGE = {"mode": "merge", "key": "id"}

Row = tuple[int, str]


class Arrivals:
    """A folder where files arrive, and a table that they are loaded into.

    :param server: a PostgreSQL server that has the table; a DuckDB file when absent.
    """

    def __init__(self, folder: Path, *, server: str | None = None) -> None:
        self.folder = folder
        self.database = folder / "warehouse.duckdb"
        self.server = server
        self._runs = 0

    def write(self, name: str, *rows: Row) -> Path:
        """Write a file of ids and times; one that is written again is another version."""
        path = self.folder / name
        before = path.stat().st_mtime_ns if path.exists() else 0
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "at"])
            writer.writerows(rows)
        if before:
            os.utime(path, ns=(before + 1, before + 1))
        return path

    def pipeline(self, incremental: dict[str, Any], **changes: Any) -> Pipeline:
        target = {"connection": "warehouse", "table": "orders"} | changes.pop("target", {})
        source = {
            "location": "*.csv",
            "format": "csv",
            "incremental": incremental,
        } | changes.pop("source", {})
        columns = {name: {"from": name, "convert": "cast"} for name in ("id", "at")}
        mapping = {
            "contract": "orders",
            "target": {"fields": {"id": "int64", "at": changes.pop("at", "timestamp")}},
            "columns": columns,
        }
        return Pipeline.model_validate(
            {"pipeline": "orders", "source": source, "target": target, "mapping": mapping}
            | {"max_rejected": "none", "quarantine": str(self.folder / "quarantine")}
            | changes
        )

    def run(self, pipeline: Pipeline, *, window: Window | None = None) -> RunReport:
        self._runs += 1
        report = run_pipeline(
            pipeline,
            connections=self.connections,
            run_id=f"run-{os.getpid()}-{self._runs}",
            window=window,
            base=self.folder,
            options=EngineOptions(threads=1),
            clock=lambda: datetime.now(timezone.utc),
        )
        assert report.rows_read == report.accounted
        return report

    def check(self, pipeline: Pipeline) -> CheckReport:
        return check_pipeline(pipeline, connections=self.connections, base=self.folder, rows=1000)

    def connections(self, name: str) -> Connection:
        if self.server is not None:
            _, connections = parse_target(self.server, table="orders")
            return replace(connections("target"), name=name)
        return Connection(name, "duckdb", host=str(self.database))

    def ids(self, *, table: str = "orders") -> list[int]:
        query = f"SELECT id FROM {table} ORDER BY id"
        if self.server is not None:
            with closing(psycopg2.connect(self.server)) as server, server.cursor() as cursor:
                cursor.execute(query)
                return [row[0] for row in cursor.fetchall()]
        with duckdb.connect(str(self.database)) as connection:
            found = connection.execute(query).fetchall()
        return [row[0] for row in found]

    def rows(self) -> list[tuple[int, str]]:
        with duckdb.connect(str(self.database)) as connection:
            return connection.execute(
                'SELECT id, CAST("at" AS VARCHAR) FROM orders ORDER BY id, "at"'
            ).fetchall()

    def target(self, pipeline: Pipeline) -> Target:
        return open_target(
            pipeline.target, connections=self.connections, base=self.folder, pipeline="orders"
        )

    def ledger(self, pipeline: Pipeline) -> list[LedgerEntry]:
        return self.target(pipeline).ledger()

    def drain(self, pipeline: Pipeline) -> None:
        """Run until nothing is new, as tasks do that are retried."""
        while True:
            try:
                if self.run(pipeline).status == "nothing_new":
                    return
            except PositionMovedError:
                continue


@contextmanager
def at_the_publication(
    *, before: Callable[[], Any] | None = None, after: Callable[[], Any] | None = None
) -> Iterator[None]:
    """Do something once, just before or after the next run publishes."""
    publish = DuckDbSession.publish
    waiting = [(before, after)]

    def disturbed(self: DuckDbSession, publication: Publication) -> Published:
        first, last = waiting.pop() if waiting else (None, None)
        if first is not None:
            first()
        published = publish(self, publication)
        if last is not None:
            last()
        return published

    with patch.object(DuckDbSession, "publish", disturbed):
        yield
