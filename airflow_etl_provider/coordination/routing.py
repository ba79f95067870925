"""Which agent an event is for, and handing it over while nobody else works on the pipeline."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_etl_provider.bus.handling import handle_events
from airflow_etl_provider.coordination.agent_settings import ACTIONS
from airflow_etl_provider.coordination.lease import hold_lease, lease_of_pipeline
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_etl_provider.bus.base import MessageBus
    from airflow_etl_provider.bus.event import Event
    from airflow_etl_provider.bus.handling import HandledIds
    from airflow_etl_provider.metadata.store import LeaseStore

__all__ = ["ROUTES", "handle_for_agent", "pipeline_lease", "receivers"]

ROUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pipeline_registered": ("discovery",),
        "dataset_discovered": ("mapping",),
        "schema_changed": ("mapping",),
        "dataset_drifted": ("mapping",),
        "contract_rejected": ("mapping",),
        "load_failed": ("resolution",),
        "quarantine_written": ("resolution",),
    }
)
"""By kind of event, the agents whose work depends on it. What is not named concerns no agent; a run
that waits for `contract_approved` hears of it by `EtlEventSensor`."""


def receivers(event: Event) -> tuple[str, ...]:
    """Name the agents that an event is for."""
    return ROUTES.get(event.kind, ())


def pipeline_lease(event: Event) -> str:
    """Name what is held while an agent works on what an event tells."""
    return lease_of_pipeline(event.pipeline or event.key)


def handle_for_agent(
    agent: str,
    handler: Callable[[Event], None],
    *,
    bus: MessageBus,
    leases: LeaseStore,
    holder: str,
    handled: HandledIds,
    limit: int = 100,
    wait: float = 0.0,
) -> int:
    """Receive once, and hand over to an agent what is for it.

    Of the agents, one at a time works on a pipeline. Where another one does, the event comes again
    later, which counts as no attempt.

    :param holder: who acts, as in `hold_lease`; another name for each task.
    :returns: how many events were passed, those for others among them.
    :raises SpecificationError: there is no such agent.
    """
    if agent not in ACTIONS:
        raise SpecificationError(
            f"There is no agent {agent!r}.", hint=f"Known: {', '.join(ACTIONS)}."
        )

    def act(event: Event) -> None:
        if agent in receivers(event):
            with hold_lease(leases, pipeline_lease(event), holder=holder):
                handler(event)

    return handle_events(bus, f"agent {agent}", act, handled=handled, limit=limit, wait=wait)
