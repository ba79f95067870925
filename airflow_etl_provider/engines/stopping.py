"""Stop what runs in a library that can't be asked between batches."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["interrupted_by"]

POLL_SECONDS = 0.5


@contextmanager
def interrupted_by(asked: Callable[[], bool], interrupt: Callable[[], None]) -> Iterator[None]:
    """Call `interrupt` from another thread while `asked` is true and the block has not ended.

    :param interrupt: stops the query that runs; called again, since another may begin.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            if asked():
                interrupt()

    watcher = threading.Thread(target=watch, name="etl-stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
