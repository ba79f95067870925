"""A count that is made in another thread, while the run gets ready or reads the file before."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.sources.delimited.count import count_bytes

if TYPE_CHECKING:
    from airflow_etl_provider.engines.sources.compression import StoredFile
    from airflow_etl_provider.engines.sources.delimited.count import ByteCount
    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect

__all__ = ["WORTHWHILE", "CountAhead"]

WORTHWHILE = 4 * 2**20
"""Bytes of a file that takes longer to count than a thread to start."""


class CountAhead:
    """Begins to count at once; most of the work lets other threads run."""

    def __init__(self, stored: StoredFile, dialect: ResolvedDialect, *, body: int) -> None:
        self._stored = stored
        self._dialect = dialect
        self._body = body
        self._stopped = threading.Event()
        self._count: ByteCount | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="etl-count", daemon=True)
        self._thread.start()

    def result(self) -> ByteCount:
        """Wait for the count; what went wrong in reading is raised here."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        if self._count is None:
            raise RuntimeError("a count that was given up has no result")
        return self._count

    def give_up(self) -> None:
        """Stop; the file is closed when this returns."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._stored.open() as stream:
                self._count = count_bytes(
                    stream, self._dialect, body=self._body, stopped=self._stopped.is_set
                )
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            self._failure = error
