"""The embedded database that a run computes with: private, bounded, offline."""

from __future__ import annotations

import os
import tempfile
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

__all__ = ["ComputeSession"]

BYTES_PER_COLUMN = 160 * 2**10
"""What one thread holds of one column of text, measured: a few vectors of 2,048 values each."""


class ComputeSession(AbstractContextManager["ComputeSession"]):
    """A DuckDB connection in memory that spills into a folder of its own, removed at the end.

    :param columns: how wide its rows are. Vectors in use can't go to disk, so a wide table gets
        fewer threads, and more memory where it does not even fit one of them.
    :param memory_limit: bytes; what does not fit goes to disk.
    :param scratch: where the spill folder is made; the system's temporary folder when absent.
    """

    def __init__(
        self,
        *,
        memory_limit: int,
        threads: int | None = None,
        scratch: Path | None = None,
        columns: int = 1,
    ) -> None:
        import duckdb

        memory_limit = max(memory_limit, 64 * 2**20, columns * BYTES_PER_COLUMN)
        most = memory_limit // (columns * BYTES_PER_COLUMN)
        self._folder = tempfile.TemporaryDirectory(
            prefix="airflow-etl-", dir=scratch, ignore_cleanup_errors=True
        )
        self.connection: DuckDBPyConnection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{memory_limit // 2**20}MiB",
                "threads": min(threads or _cores(), most),
                "temp_directory": self._folder.name,
                "preserve_insertion_order": True,
                # Extensions would be downloads; what the wheel carries is all we use.
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        # Local times in files become instants by the contract's zone, never by the machine's.
        self.connection.execute("SET TimeZone = 'UTC'")
        # DuckDB draws it on standard output wherever Python was started without a script.
        self.connection.execute("SET enable_progress_bar = false")

    def interrupt(self) -> None:
        """Stop what runs, from any thread."""
        self.connection.interrupt()

    def close(self) -> None:
        try:
            self.connection.close()
        finally:
            self._folder.cleanup()

    def __exit__(self, *exc: object) -> None:
        self.close()


def _cores() -> int:
    """Cores this process may use; containers often allow fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1
