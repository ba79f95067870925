"""Loads in a few words, for the tests of targets that are files."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from airflow_etl_provider.contracts.load import Load
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.targets.base import Publication, Published, WriteSpec

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.engines.targets.base import LoadSession, Target


@dataclass(frozen=True)
class Loader:
    """What most tests say about a load."""

    @staticmethod
    def load(load_id: str = "a" * 32, **changed: Any) -> Load:
        values = {
            "load_id": load_id,
            "pipeline": "orders",
            "window": "2026-11-01",
            "input_hash": "input 1",
            "contract_hash": "contract 1",
            "run_id": f"run of {load_id}",
        }
        return Load(**(values | changed))

    @staticmethod
    def schema(**columns: str) -> Schema:
        return Schema(tuple(Field(name, parse_type(of)) for name, of in columns.items()))

    @staticmethod
    def publication(rows: int) -> Publication:
        return Publication(rows_read=rows, rows_quarantined=0, rows_filtered=0, rows_deduplicated=0)

    @staticmethod
    def write(session: LoadSession, columns: dict[str, list[Any]]) -> int:
        schema = session.arrow_schema
        arrays = [pa.array(columns[field.name], field.type) for field in schema]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return session.write(pa.RecordBatchReader.from_batches(schema, [batch]))

    def run(
        self,
        target: Target,
        schema: Schema,
        columns: dict[str, list[Any]],
        *,
        load: Load | None = None,
        **write: Any,
    ) -> Published:
        """Load the whole way."""
        spec = WriteSpec(**({"mode": "replace"} | write))
        with target.begin(load=load or self.load(), schema=schema, write=spec) as session:
            assert session.already_loaded is None
            return session.publish(self.publication(self.write(session, columns)))


@pytest.fixture
def loader() -> Loader:
    return Loader()


@dataclass(frozen=True)
class Child:
    """Runs Python in a process of its own, with this module as `files`."""

    folder: Path

    PRELUDE = textwrap.dedent(
        """
        import importlib.util, json, os, resource, signal, sys
        from pathlib import Path
        spec = importlib.util.spec_from_file_location("files", sys.argv[1])
        files = importlib.util.module_from_spec(spec)
        sys.modules["files"] = files
        spec.loader.exec_module(files)
        loader = files.Loader()
        folder = Path(sys.argv[2])

        def die(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )

    def command(self, code: str) -> list[str]:
        text = self.PRELUDE + textwrap.dedent(code)
        return [sys.executable, "-c", text, __file__, str(self.folder)]

    def run(self, code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(code), capture_output=True, text=True, check=False)

    def answer(self, code: str) -> Any:
        """What the code prints as its last line, as JSON."""
        done = self.run(code)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def start(self, code: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return Child(tmp_path)
