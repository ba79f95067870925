"""Batches of rows that are cut where the files they come from end."""

from __future__ import annotations

import pyarrow as pa

from airflow_etl_provider.engines.sources.bundle import divide


def cut(ends: tuple[int, ...], *sizes: int) -> list[tuple[int, int, list[int]]]:
    """Rows 0, 1, 2 ... in batches of those sizes: part, its first row, rows."""
    found, start = [], 0
    for size in sizes:
        batch = pa.record_batch({"row": list(range(start, start + size))})
        for part, first, piece in divide(batch, start, ends):
            found.append((part, first, piece.column(0).to_pylist()))
        start += size
    return found


def test_without_parts_a_batch_is_whole() -> None:
    assert cut((), 3, 2) == [(0, 0, [0, 1, 2]), (0, 0, [3, 4])]


def test_a_batch_is_cut_where_a_part_ends() -> None:
    assert cut((2, 3, 5), 5) == [(0, 0, [0, 1]), (1, 2, [2]), (2, 3, [3, 4])]


def test_a_part_may_go_over_several_batches() -> None:
    assert cut((3, 5), 2, 2, 1) == [
        (0, 0, [0, 1]),
        (0, 0, [2]),
        (1, 3, [3]),
        (1, 3, [4]),
    ]


def test_a_part_without_rows_has_no_piece() -> None:
    assert cut((0, 2, 2, 3), 3) == [(1, 0, [0, 1]), (3, 2, [2])]


def test_rows_that_should_not_be_there_are_not_dropped() -> None:
    assert cut((1, 2), 4) == [(0, 0, [0]), (1, 1, [1, 2, 3])]
