from __future__ import annotations

import pytest

from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession

MIB = 2**20


@pytest.mark.parametrize(
    ("columns", "threads", "limit"),
    [(1, 8, "256.0 MiB"), (800, 2, "256.0 MiB"), (1600, 1, "256.0 MiB"), (3200, 1, "500.0 MiB")],
)
def test_a_wide_table_gets_fewer_threads_and_then_more_memory(
    columns: int, threads: int, limit: str
) -> None:
    with ComputeSession(memory_limit=256 * MIB, threads=8, columns=columns) as session:
        found = session.connection.execute(
            "SELECT current_setting('threads'), current_setting('memory_limit')"
        ).fetchone()
    assert found == (threads, limit)
