"""Rejects of one reading: kept in order, and an end that says why when there is no room."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest

from airflow_etl_provider.engines.sources import rejected
from airflow_etl_provider.engines.sources.rejected import RejectLog
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    from pathlib import Path


def add(log: RejectLog, record: int, raw: bytes) -> None:
    log.add(record=record, line=record + 1, raw=raw, code="not_json", message="é")


def test_rejects_come_back_in_order_from_memory_and_from_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rejected, "_IN_MEMORY", 100)
    log = RejectLog("a.jsonl")
    for record in range(1, 20):
        add(log, record, b"x" * record)
    assert [(r.record, r.line, r.raw) for r in log] == [
        (record, record + 1, b"x" * record) for record in range(1, 20)
    ]
    log.close()


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejected, "_IN_MEMORY", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    log = RejectLog("a.jsonl")
    with pytest.raises(QuarantineError, match=str(tmp_path / "gone")):
        add(log, 1, b"x" * 200)
    log.close()


def test_rejects_wait_in_the_scratch_folder_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejected, "_IN_MEMORY", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    log = RejectLog("a.jsonl", scratch=tmp_path)
    add(log, 1, b"x" * 200)
    assert len(list(log)) == 1
    log.close()


@pytest.mark.parametrize("buffer", [0, 4096])
def test_a_disk_that_is_full_is_told_at_the_latest_when_rejects_are_read(
    monkeypatch: pytest.MonkeyPatch, buffer: int
) -> None:
    log = RejectLog("a.jsonl")
    monkeypatch.setattr(log, "_file", open("/dev/full", "w+b", buffering=buffer))  # noqa: PTH123, SIM115

    def use() -> None:
        add(log, 1, b"x")
        list(log)

    with pytest.raises(QuarantineError, match="No space left"):
        use()
    log.close()
