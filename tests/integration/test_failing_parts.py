"""What breaks in the middle of a load: told by our own errors, and nothing is left running."""

from __future__ import annotations

import gzip
import json
import random
import threading
import zipfile
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.backends.duckdb import backend
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.quarantine.writer import QuarantineWriter
from airflow_etl_provider.engines.targets.csv_file import CsvFileTarget
from airflow_etl_provider.engines.targets.whole_file import WholeFileSession
from airflow_etl_provider.exceptions import (
    BudgetExceededError,
    CancelledError,
    QuarantineError,
    SourceFormatError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.report import RunReport


def load(folder: Path, name: str, *, cancel: Any = None, **changes: Any) -> RunReport:
    pipeline = {
        "pipeline": "p",
        "source": {"location": name},
        "target": {"location": "made.csv", "mode": "replace"},
        "max_rejected": "none",
    }
    return run_pipeline(
        Pipeline(**(pipeline | changes)),
        connections=lambda asked: pytest.fail(f"asked for {asked}"),
        run_id="run",
        base=folder,
        options=EngineOptions(quarantine_home=folder / "quarantine"),
        clock=lambda: datetime.now(timezone.utc),
        cancel=cancel,
    )


def lines(count: int) -> bytes:
    chance = random.Random(1)
    return b"".join(
        json.dumps({"id": n, "text": f"{chance.getrandbits(256):x}"}).encode() + b"\n"
        for n in range(count)
    )


def test_an_archive_that_breaks_behind_the_sample_is_a_damaged_source(tmp_path: Path) -> None:
    packed = gzip.compress(lines(120_000))
    (tmp_path / "given.jsonl.gz").write_bytes(packed[: len(packed) * 3 // 4])
    with pytest.raises(SourceFormatError, match="unpacked as gzip") as failed:
        load(tmp_path, "given.jsonl.gz")
    assert failed.value.report is not None
    assert not (tmp_path / "made.csv").exists()


def test_a_flipped_byte_in_a_zipped_csv_is_a_damaged_source(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "given.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        text = "".join(f"{n},{random.Random(n).random()}\n" for n in range(200_000))
        archive.writestr("given.csv", "id,x\n" + text)
    data = bytearray((tmp_path / "given.zip").read_bytes())
    data[len(data) * 3 // 4] ^= 0xFF
    (tmp_path / "given.zip").write_bytes(data)
    with pytest.raises(SourceFormatError, match="unpacked as zip"):
        load(tmp_path, "given.zip")


def test_noise_in_a_page_is_a_damaged_source(tmp_path: Path) -> None:
    chance = random.Random(1)
    table = pa.table({"v": [f"{chance.getrandbits(200):x}" for _ in range(200_000)]})
    pq.write_table(table, tmp_path / "given.parquet", row_group_size=50_000)
    data = bytearray((tmp_path / "given.parquet").read_bytes())
    at = len(data) // 2
    data[at : at + 20_000] = chance.randbytes(20_000)
    (tmp_path / "given.parquet").write_bytes(data)
    with pytest.raises(SourceFormatError, match="to its end as Parquet"):
        load(tmp_path, "given.parquet")


def test_a_target_that_fails_leaves_no_thread_and_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "given.csv").write_text("a,b\n" + "1,2\n" * 500_000)
    held = []

    def fail(session: Any, batches: Any) -> int:
        held.append(batches)
        batches.read_next_batch()
        raise QuarantineError("the target broke")

    monkeypatch.setattr(WholeFileSession, "write", fail)
    with pytest.raises(QuarantineError, match="the target broke"):
        load(tmp_path, "given.csv")
    assert [t.name for t in threading.enumerate() if t.name.startswith("etl-")] == []


def test_a_search_for_duplicates_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "given.csv").write_text("a\n1\n")
    rules = [{"column": "a", "unique": True}]

    def search(session: Any, *_: Any) -> None:
        """Take hours, unless DuckDB is interrupted."""
        session.connection.execute("SELECT sum(hash(i)) FROM range(100_000_000_000_000) t(i)")

    monkeypatch.setattr(backend, "find_losers", search)
    with pytest.raises(CancelledError):
        load(tmp_path, "given.csv", cancel=lambda: True, rules=rules)
    assert not (tmp_path / "made.csv").exists()


def test_a_published_load_is_done_though_its_quarantine_can_not_be_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "given.csv").write_text("a,b\n1,2\n3\n")

    def fail(*_: Any) -> None:
        raise QuarantineError("disk full")

    monkeypatch.setattr(QuarantineWriter, "mark", fail)
    assert load(tmp_path, "given.csv").status == "done_with_rejects"
    assert "could not be marked as published" in caplog.text
    (tmp_path / "given.csv").write_text("a,b\n1,2\n3\n4\n")
    with pytest.raises(BudgetExceededError) as over:
        load(tmp_path, "given.csv", max_rejected=0)
    assert over.value.report is not None


def test_a_published_file_is_done_though_its_proof_can_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "given.csv").write_text("a,b\n1,2\n")

    def fail(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(CsvFileTarget, "prove", fail)
    assert load(tmp_path, "given.csv").rows_loaded == 1
    assert "is published, but" in caplog.text
    assert (tmp_path / "made.csv").read_bytes() == b"a,b\r\n1,2\r\n"


def test_large_values_in_parquet_come_in_small_batches(tmp_path: Path) -> None:
    from airflow_etl_provider.engines.sources import open_source

    text = "x" * 400_000
    table = pa.table({"id": range(200), "v": [f"{n}{text}" for n in range(200)]})
    pq.write_table(table, tmp_path / "given.parquet", row_group_size=100, use_dictionary=False)
    spec = Pipeline(
        pipeline="p", source={"location": "given.parquet"}, target={"location": "made.csv"}
    ).source
    source = open_source(
        spec, connections=lambda asked: pytest.fail(f"asked for {asked}"), base=tmp_path
    )
    scan: Any = source.scan(source.inputs[0])
    sizes = [batch.nbytes for batch in scan._batches()]
    assert max(sizes) < 16 * 2**20
