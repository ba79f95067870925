"""Read ahead in a thread, a few items at most, so that reading and writing overlap."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Prefetch"]

T = TypeVar("T")

POLL_SECONDS = 0.2
"""How often a waiting side looks whether the other one is gone."""


class Prefetch(Generic[T]):
    """Iterates over `items` from another thread; an exception there is raised here.

    :param depth: how many items may wait; with the item on either side this bounds memory.
    """

    def __init__(self, items: Iterator[T], *, depth: int = 2) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._produce, name="etl-prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            kind, item = self._take()
            if kind == "end":
                return
            if kind == "error":
                raise cast("BaseException", item)
            yield cast("T", item)

    def close(self) -> None:
        """Stop the thread; what was read ahead is dropped."""
        self._stopped.set()
        self._thread.join()

    def _take(self) -> tuple[str, T | BaseException | None]:
        while True:
            try:
                return self._queue.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if self._stopped.is_set():
                    return "end", None

    def _put(self, entry: tuple[str, T | BaseException | None]) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(entry, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def _produce(self) -> None:
        entry: tuple[str, T | BaseException | None] = ("end", None)
        try:
            for item in self._items:
                if not self._put(("item", item)):
                    break
        except BaseException as error:  # noqa: BLE001 - raised on the other side
            entry = ("error", error)
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        self._put(entry)
