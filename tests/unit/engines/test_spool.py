from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_etl_provider.engines import spool as spool_module
from airflow_etl_provider.engines.backends.base import FailedRow
from airflow_etl_provider.engines.spool import FailedRowSpool
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    from pathlib import Path


def _rows(count: int) -> list[FailedRow]:
    return [FailedRow(n * 3, (n % 4, 7), f'{{"a": "{n} é"}}') for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 35])
def test_rows_come_back_in_order_from_memory_and_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(spool_module, "CHUNK_ROWS", 10)
    spool = FailedRowSpool(scratch=tmp_path)
    spool.add(_rows(count))
    assert [row for chunk in spool.chunks() for row in chunk] == _rows(count)


def test_a_few_huge_rows_go_to_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "CHUNK_BYTES", 100)
    spool = FailedRowSpool(scratch=tmp_path)
    rows = [FailedRow(n, (0,), "x" * 90) for n in range(5)]
    spool.add(rows)
    assert len(spool._rows) < 2
    assert [row for chunk in spool.chunks() for row in chunk] == rows


def test_a_scratch_folder_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "CHUNK_ROWS", 1)
    spool = FailedRowSpool(scratch=tmp_path / "gone")
    with pytest.raises(QuarantineError, match=str(tmp_path / "gone")):
        spool.add(_rows(1))
