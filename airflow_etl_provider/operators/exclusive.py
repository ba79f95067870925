"""One at a time on a pipeline: the lease that a task holds while it runs."""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.sdk.types import RuntimeTaskInstanceProtocol

__all__ = ["alone_on"]

log = logging.getLogger(__name__)


@contextmanager
def alone_on(
    pipeline: str,
    task_instance: RuntimeTaskInstanceProtocol,
    *,
    holder: str,
    wait: float | None,
    on_lost: Callable[[], None],
) -> Iterator[None]:
    """Hold the lease of a pipeline, which agents and other runs ask for as well.

    It avoids waste; what keeps a target whole is its ledger. Where there is no store, or it is
    away, the task goes on without.

    :param holder: the run; the same one gets its lease again.
    :param wait: seconds to wait for another holder; None asks for no lease.
    :param on_lost: called in another thread when another has taken the lease.
    :raises LeaseTakenError: another holds it, and the wait is over.
    """
    if wait is None:
        yield
        return
    from airflow_etl_provider.coordination.lease import hold_lease, lease_of_pipeline
    from airflow_etl_provider.hooks.metadata import store_opener

    opener = store_opener(task_instance)
    if opener is None:
        log.warning("Nobody knows who else works on %s: there is no metadata store.", pipeline)
        yield
        return
    with (
        closing(opener()) as store,
        hold_lease(store, lease_of_pipeline(pipeline), holder=holder, wait=wait, on_lost=on_lost),
    ):
        yield
