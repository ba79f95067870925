"""Local copies of a source's remote files: fetched when their turn comes, and a little before.

A file is read two or three times (count, scan, rejects), by DuckDB from several places at once.
So it is copied to scratch and read there: each byte is transferred once, all passes see the same
bytes, and they are those of the object that was listed. The other roads were measured and are
worse: a file system of fsspec's registered with DuckDB passes every block through Python's lock,
once a pass, and can't be told which etag it must be.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.sources.locked_folder import LockedFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Depot"]

THREADS = 8

KEPT_BYTES = 2**30
"""Copies that stay until the end of the run, for a second pass; others go when they are done."""

SMALL = 4 * 2**20
"""A file up to this size is copied whole when its beginning is first looked at."""

AHEAD_FILES, AHEAD_BYTES = 2 * THREADS, 256 * 2**20
"""What is fetched before its turn; a single file may be larger."""

Copy = "Callable[[Path, threading.Event], None]"


class Depot:
    """A folder on scratch with copies of files, of bounded size.

    Files should be asked for in the order in which they were added.

    :param kept_bytes: how much may stay; beyond it only the files before, at and after the present
        one are there.
    """

    def __init__(self, *, scratch: Path | None = None, kept_bytes: int = KEPT_BYTES) -> None:
        self._folder = LockedFolder(scratch=scratch)
        self._files: list[tuple[int, Callable[[Path, threading.Event], None]]] = []
        self._copies: dict[int, Future[None] | None] = {}
        self._kept_bytes = self._room = kept_bytes
        self._passing: set[int] = set()
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="etl-fetch")
        self._stopped = threading.Event()

    def add(self, size: int, copy: Callable[[Path, threading.Event], None]) -> int:
        """Give a file its place; nothing is fetched yet.

        :param copy: writes the file to a path, and gives up when the event is set.
        """
        self._files.append((size, copy))
        return len(self._files) - 1

    @property
    def keeps_all(self) -> bool:
        """Whether every copy may stay to the end."""
        return sum(size for size, _ in self._files) <= self._kept_bytes

    def path(self, place: int) -> Path:
        return self._folder.path / f"{place:07}"

    def fetch(self, place: int) -> Path:
        """Wait for the copy, and begin with those that come next.

        :raises EtlError: it can't be fetched.
        """
        with self._lock:
            self._pass_by(place)
            self._begin(place)
            ahead = 0
            for later in range(place + 1, min(place + 1 + AHEAD_FILES, len(self._files))):
                ahead += self._files[later][0]
                if ahead > AHEAD_BYTES and later > place + 1:
                    break
                self._begin(later)
        return self._wait(place)

    def glance(self, place: int) -> Path | None:
        """The copy, where there is one or the file is small; None: look at it where it is."""
        with self._lock:
            if place not in self._copies:
                for later in range(place, min(place + 1 + AHEAD_FILES, len(self._files))):
                    size = self._files[later][0]
                    if size > SMALL or size > self._room:
                        break
                    self._begin(later)
            if place not in self._copies:
                return None
        return self._wait(place)

    def release(self, place: int) -> None:
        """Drop a copy that is done with, unless there is room to keep it."""
        with self._lock:
            if place in self._passing:
                self._drop(place)

    def close(self) -> None:
        """Stop what is being fetched and remove all copies."""
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._folder.remove()

    def _begin(self, place: int) -> None:
        if place in self._copies:
            return
        size, copy = self._files[place]
        if size <= self._room:
            self._room -= size
        else:
            self._passing.add(place)
        self._copies[place] = self._pool.submit(copy, self.path(place), self._stopped)

    def _wait(self, place: int) -> Path:
        copy = self._copies.get(place)
        if copy is not None:
            copy.result()
            # A future weighs more than a kilobyte, and there may be many thousand files.
            self._copies[place] = None
        return self.path(place)

    def _pass_by(self, place: int) -> None:
        """Drop what was left by readers that have gone on, or is of an earlier pass."""
        for other in list(self._passing):
            if not place - 1 <= other <= place + AHEAD_FILES:
                self._drop(other)

    def _drop(self, place: int) -> None:
        copy = self._copies.get(place)
        if copy is not None and not copy.done() and not copy.cancel():
            return
        self._passing.discard(place)
        self._copies.pop(place, None)
        self.path(place).unlink(missing_ok=True)
