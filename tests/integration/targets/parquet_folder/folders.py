"""Loads into folders in a few words, and processes that kill themselves at a chosen step."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from airflow_etl_provider.contracts.load import Load
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.targets.base import Publication, Published, WriteSpec
from airflow_etl_provider.engines.targets.parquet_folder import ParquetFolderTarget
from airflow_etl_provider.engines.targets.parquet_folder.local_store import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.engines.targets.base import LoadSession
    from airflow_etl_provider.engines.targets.parquet_folder.store import Store

COLUMNS = {"id": "int64", "name": "string"}


@dataclass
class Folder:
    """A folder of Parquet files and what most tests do with it."""

    root: Path
    store: Store | None = None
    columns: dict[str, str] = field(default_factory=lambda: dict(COLUMNS))
    options: dict[str, Any] = field(default_factory=dict)

    def target(self, **options: Any) -> ParquetFolderTarget:
        return ParquetFolderTarget(
            self.store or LocalStore(self.root), quarantine_home=None, **(self.options | options)
        )

    @staticmethod
    def a_load(load_id: str = "a", **changed: Any) -> Load:
        values = {
            "load_id": load_id * 32,
            "pipeline": "orders",
            "window": "2026-11-01",
            "input_hash": "input 1",
            "contract_hash": "contract 1",
            "run_id": f"run of {load_id}",
        }
        return Load(**(values | changed))

    def begin(
        self, load: str | Load = "a", *, columns: dict[str, str] | None = None, **write: Any
    ) -> LoadSession:
        names = columns or self.columns
        schema = Schema(tuple(Field(name, parse_type(of)) for name, of in names.items()))
        spec = WriteSpec(**({"mode": "append"} | write))
        return self.target().begin(
            load=self.a_load(load) if isinstance(load, str) else load, schema=schema, write=spec
        )

    @staticmethod
    def write(session: LoadSession, rows: list[tuple[Any, ...]], *, batch_rows: int = 1000) -> int:
        schema = session.arrow_schema
        batches = [
            pa.RecordBatch.from_arrays(
                [
                    pa.array(list(column), f.type)
                    for column, f in zip(
                        zip(*rows[at : at + batch_rows], strict=True), schema, strict=True
                    )
                ],
                schema=schema,
            )
            for at in range(0, len(rows), batch_rows)
        ]
        return session.write(pa.RecordBatchReader.from_batches(schema, batches))

    @staticmethod
    def publish(session: LoadSession, count: int) -> Published:
        return session.publish(Publication(count, 0, 0, 0))

    def load(
        self, load: str | Load = "a", rows: list[tuple[Any, ...]] | None = None, **write: Any
    ) -> Published | None:
        """Load the whole way; None when the load was there already."""
        with self.begin(load, **write) as session:
            if session.already_loaded is not None:
                return None
            return self.publish(
                session, self.write(session, [(1, "one")] if rows is None else rows)
            )

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        """As pyarrow's reader of folders sees them, which knows nothing of a manifest."""
        table = ds.dataset(self.root, partitioning="hive").to_table()
        found = [tuple(row[c] for c in columns or ("id", "name")) for row in table.to_pylist()]
        return sorted(found, key=lambda row: [str(value) for value in row])

    def data(self) -> list[Path]:
        return sorted(self.root.glob("**/*.parquet"))

    def pending(self) -> list[Path]:
        return sorted((self.root / "_etl/pending").glob("*"))


PRELUDE = """
import importlib.util, json, os, signal, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("suite", sys.argv[1])
suite = importlib.util.module_from_spec(spec)
sys.modules["suite"] = suite
spec.loader.exec_module(suite)
folder = suite.Folder(Path(sys.argv[2]))

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run_child(folder: Folder, code: str, *, wait: bool = True) -> Any:
    """Run Python in a process of its own, with `folder` as a name."""
    text = PRELUDE + textwrap.dedent(code)
    command = [sys.executable, "-c", text, __file__, str(folder.root)]
    if not wait:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
