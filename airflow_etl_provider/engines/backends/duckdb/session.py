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


class ComputeSession(AbstractContextManager["ComputeSession"]):
    """A DuckDB connection in memory that spills into a folder of its own, removed at the end.

    :param memory_limit: bytes; what does not fit goes to disk.
    :param scratch: where the spill folder is made; the system's temporary folder when absent.
    """

    def __init__(
        self, *, memory_limit: int, threads: int | None = None, scratch: Path | None = None
    ) -> None:
        import duckdb

        self._folder = tempfile.TemporaryDirectory(
            prefix="airflow-etl-", dir=scratch, ignore_cleanup_errors=True
        )
        self.connection: DuckDBPyConnection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{max(memory_limit // 2**20, 64)}MiB",
                "threads": threads or _cores(),
                "temp_directory": self._folder.name,
                "preserve_insertion_order": True,
                # Extensions would be downloads; what the wheel carries is all we use.
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        # Local times in files become instants by the contract's zone, never by the machine's.
        self.connection.execute("SET TimeZone = 'UTC'")

    def interrupt(self) -> None:
        """Stop what runs, from any thread."""
        self.connection.interrupt()

    def close(self) -> None:
        self.connection.close()
        self._folder.cleanup()

    def __exit__(self, *exc: object) -> None:
        self.close()


def _cores() -> int:
    """Cores this process may use; containers often allow fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1
