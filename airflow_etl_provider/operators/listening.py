"""Hear signals while a driver works."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run_listening"]

T = TypeVar("T")

HEARING_SECONDS = 0.2
"""How long a signal may go unheard."""

PATIENCE_SECONDS = 30.0
"""How long a stopped piece of work may take to clean up behind itself."""


def run_listening(
    work: Callable[[], T], *, stop: Callable[[], None], patience: float = PATIENCE_SECONDS
) -> T:
    """Do `work` in another thread, and give what it returns or raises.

    Python runs the handler of a signal between two instructions of the main thread, and a driver
    that waits for a lock keeps a thread for minutes: `on_kill` and `execution_timeout` would come
    too late, or be raised in the middle of a driver that swallows them.

    :param stop: asks the work to end; called when the handler of a signal raises here.
    :param patience: seconds to wait for it then. The thread is a daemon: the end of the process
        ends what still hangs.
    """
    outcome: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            outcome.set_exception(error)

    _load_arrow()
    thread = threading.Thread(target=run, name="etl-run", daemon=True)
    try:
        thread.start()
        # The system may give a signal to any thread, and that does not end this one's waiting.
        while not wait([outcome], timeout=HEARING_SECONDS).done:
            continue
    except BaseException:
        stop()
        wait([outcome], timeout=patience)
        raise
    return outcome.result()


def _load_arrow() -> None:
    """Load Arrow's library here, in a thread that outlives the run.

    The library of pyarrow 25.0.0, which Amazon's image of Airflow 3.3.1 has, crashes the process at
    an allocation in a later thread if a thread that has ended was the first to load it
    (https://github.com/apache/arrow/issues/50471). `airflow dags test` runs the tasks of a DAG one
    after the other in one process, each in a thread of `run_listening`.
    """
    import pyarrow as pa  # noqa: F401
