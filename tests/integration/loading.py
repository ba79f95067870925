"""Run a whole pipeline over some files in a folder, for tests of what a load accounts for."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.engines.sources import open_source
from tests.reference.accounts import content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect

DATABASE = {"connection": "warehouse", "table": "orders"}


@dataclass(frozen=True)
class Files:
    """Files as they are written; `source` is what the pipeline says of them."""

    contents: tuple[bytes, ...]
    packed: tuple[bool, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        packed = self.packed or (False,) * len(self.contents)
        for number, (data, pack) in enumerate(zip(self.contents, packed, strict=True)):
            name = f"part-{number}.csv"
            if pack:
                (folder / f"{name}.gz").write_bytes(gzip.compress(data, 1, mtime=0))
            else:
                (folder / name).write_bytes(data)


class Job:
    """One pipeline over the files of a folder, into a database or a CSV file beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "warehouse.duckdb"
        self.csv = folder / "out.csv"

    def pipeline(
        self,
        target: dict[str, Any] | None = None,
        *,
        source: dict[str, Any] | None = None,
        files: str = "part-*",
        **more: Any,
    ) -> Pipeline:
        where = {"location": str(self.folder / files), "format": "csv"}
        budget = {"max_rejected": "none", "quarantine": str(self.folder / "quarantine")}
        return Pipeline.model_validate(
            {
                "pipeline": "orders",
                "source": where | (source or {}),
                "target": DATABASE if target is None else target,
            }
            | budget
            | more
        )

    def run(
        self, pipeline: Pipeline | None = None, *, all_text: bool = True, run_id: str = "run"
    ) -> RunReport:
        return run_pipeline(
            self.pipeline() if pipeline is None else pipeline,
            connections=lambda name: Connection(name, "duckdb", host=str(self.database)),
            run_id=run_id,
            base=self.folder,
            options=EngineOptions(all_text=all_text, threads=2),
            clock=lambda: datetime.now(timezone.utc),
        )

    def inputs(self, pipeline: Pipeline) -> list[tuple[str, bytes, ResolvedDialect]]:
        """The files in the order they are loaded, each with how it is understood."""
        source = open_source(pipeline.source, connections=lambda _: None, base=None, all_text=True)
        return [
            (identity.name, content(entry.file.stored.path), entry.dialect)
            for identity, entry in source._entries.items()
        ]

    def rows(self, query: str = "SELECT * FROM orders") -> list[tuple[Any, ...]]:
        """What a fresh connection finds."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(query).fetchall()

    @staticmethod
    def rejects(report: RunReport) -> list[Reject]:
        return [] if report.quarantine is None else list(read_quarantine(report.quarantine))


@contextmanager
def a_job(*contents: bytes, files: Files | None = None) -> Iterator[Job]:
    """A job in a folder of its own, which a property test needs for every example."""
    folder = Path(tempfile.mkdtemp(prefix="etl-accounting-"))
    try:
        (files or Files(contents)).write(folder)
        yield Job(folder)
    finally:
        shutil.rmtree(folder)
