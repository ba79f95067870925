from __future__ import annotations

import subprocess
import sys

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


@pytest.mark.parametrize(
    ("module", "opened"),
    [
        ("backends.duckdb.session", "ComputeSession(memory_limit=2**27)"),
        ("targets.duckdb_file.store", "opened(Path(sys.argv[1]), wait_seconds=1)"),
    ],
)
def test_a_process_without_a_script_gets_no_progress_bar(tmp_path, module, opened) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        f"from airflow_etl_provider.engines.{module} import *\n"
        f"with {opened} as found:\n"
        "    connection = getattr(found, 'connection', found)\n"
        "    query = \"SELECT current_setting('enable_progress_bar')\"\n"
        "    print(connection.execute(query).fetchone())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.db")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "(False,)\n"
