"""Holding a lease: the right of one agent or run to act on something for a while."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_etl_provider.exceptions import EtlError, LeaseTakenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_etl_provider.metadata.records import LeaseRecord
    from airflow_etl_provider.metadata.store import LeaseStore

__all__ = ["HeldLease", "hold_lease", "lease_of_pipeline"]

log = logging.getLogger(__name__)

DURATION = 60.0
"""Seconds that a lease holds without being renewed: as long a dead holder keeps others waiting."""

_POLL = 1.0


def lease_of_pipeline(pipeline: str) -> str:
    """Name what agents and exclusive runs hold while they work on a pipeline."""
    return f"work on {pipeline}"


@dataclass(slots=True)
class HeldLease:
    """A lease in one's hands.

    :param token: greater than that of every holder before; None where the store was away, and
        nobody knows who else acts.
    """

    name: str
    token: int | None
    _lost: threading.Event = field(default_factory=threading.Event)

    @property
    def lost(self) -> bool:
        """Whether another has taken it. May be given to a run as its `cancel`."""
        return self._lost.is_set()


@contextmanager
def hold_lease(
    store: LeaseStore,
    name: str,
    *,
    holder: str,
    duration: float = DURATION,
    wait: float = 0.0,
    on_lost: Callable[[], None] | None = None,
) -> Iterator[HeldLease]:
    """Take a lease, renew it in a thread of its own, and give it back.

    A lease avoids waste and keeps nothing safe: a process that was paused may act after its lease
    has run out. What keeps it from harm is the epoch of the target's ledger. So a store that is
    away does not stop anybody.

    :param holder: who acts; the same holder gets its own lease again, as after a retry.
    :param duration: seconds.
    :param wait: seconds to wait for another holder.
    :param on_lost: called once, in the renewing thread, when another has taken it.
    :raises LeaseTakenError: another holds it, and the wait is over.
    """
    record = _take(store, name, holder=holder, duration=duration, wait=wait)
    held = HeldLease(name, record.token if record is not None else None)
    if record is None:
        yield held
        return
    ended = threading.Event()

    def renew() -> None:
        current = record
        while not ended.wait(duration / 3):
            try:
                renewed = store.renew_lease(current, duration=timedelta(seconds=duration))
            except EtlError as error:
                # It holds for two more thirds, in which the store may come back.
                log.warning("The lease %s was not renewed: %s", name, error)
                continue
            if renewed is None:
                held._lost.set()  # noqa: SLF001 - this is who knows
                log.warning("The lease %s was lost to another.", name)
                if on_lost is not None:
                    on_lost()
                return
            current = renewed

    thread = threading.Thread(target=renew, name=f"lease {name}", daemon=True)
    thread.start()
    try:
        yield held
    finally:
        ended.set()
        thread.join(_POLL)
        try:
            store.release_lease(record)
        except EtlError as error:
            log.warning("The lease %s was not given back, and runs out: %s", name, error)


def _take(
    store: LeaseStore, name: str, *, holder: str, duration: float, wait: float
) -> LeaseRecord | None:
    until = time.monotonic() + wait
    while True:
        try:
            taken = store.take_lease(name, holder=holder, duration=timedelta(seconds=duration))
        except EtlError as error:
            log.warning("Going on without the lease %s: %s", name, error)
            return None
        if taken is not None:
            return taken
        left = until - time.monotonic()
        if left <= 0:
            raise LeaseTakenError(
                f"Another one holds the lease {name}.",
                hint="It is given back when that is done, and runs out when its process has died.",
            )
        time.sleep(min(_POLL, left))
