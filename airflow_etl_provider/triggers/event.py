"""Waits for an event of the event table, in the triggerer."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from airflow_etl_provider.bus.event import Event
    from airflow_etl_provider.metadata.store import EventLog, MetadataStore

__all__ = ["EtlEventTrigger", "event_to_dict", "find_event", "open_event_table"]

_PAGE = 500


class EtlEventTrigger(BaseTrigger):
    """Fires once, with the first event that fits.

    Its arguments are names, a moment and a number, so that a triggerer that starts anew goes on
    where it was: events are kept in the table, and none is missed in between.

    :param connection: of the metadata store.
    :param kinds: any of these.
    :param pipeline: only of this one; empty for all.
    :param key: only with this one; empty for all.
    :param at_least: facts that an event must tell, with the smallest number of each.
    :param since: ISO 8601 moment with zone; events from before are passed over.
    :param after: the number in the table to look behind.
    :param poll: seconds between two looks.
    """

    def __init__(
        self,
        *,
        connection: str,
        kinds: Sequence[str],
        since: str,
        pipeline: str = "",
        key: str = "",
        at_least: dict[str, float] | None = None,
        after: int = 0,
        poll: float = 5.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.connection = connection
        self.kinds = list(kinds)
        self.since = since
        self.pipeline = pipeline
        self.key = key
        self.at_least = at_least or {}
        self.after = after
        self.poll = poll

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what the database keeps of it."""
        names = ("connection", "kinds", "since", "pipeline", "key", "at_least", "after", "poll")
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, and look again, without holding up the triggers beside it."""
        with closing(await asyncio.to_thread(open_event_table, self.connection)) as store:
            while True:
                found, self.after = await asyncio.to_thread(
                    find_event,
                    store,
                    kinds=self.kinds,
                    pipeline=self.pipeline,
                    key=self.key,
                    at_least=self.at_least,
                    since=datetime.fromisoformat(self.since),
                    after=self.after,
                )
                if found is not None:
                    yield TriggerEvent(event_to_dict(found))  # type: ignore[no-untyped-call]
                    return
                await asyncio.sleep(self.poll)


def open_event_table(connection: str) -> MetadataStore:
    """Open the metadata store of a connection; importing what it takes is work for a thread."""
    from airflow_etl_provider.hooks.connections import find_airflow_connection
    from airflow_etl_provider.hooks.metadata import open_store_at

    return open_store_at(find_airflow_connection(connection))


def find_event(
    store: EventLog,
    *,
    kinds: Sequence[str],
    pipeline: str,
    key: str,
    since: datetime,
    at_least: Mapping[str, float] | None = None,
    after: int = 0,
) -> tuple[Event | None, int]:
    """Find the first event that fits, and give the number up to which all were looked at."""
    while True:
        page = store.read_events(after=after, limit=_PAGE, kinds=kinds, pipeline=pipeline)
        for sequence, event in page:
            after = sequence
            told = all(
                isinstance(fact := event.facts.get(name), (int, float)) and fact >= least
                for name, least in (at_least or {}).items()
            )
            if event.at >= since and key in ("", event.key) and told:
                return event, after
        if len(page) < _PAGE:
            return None, after


def event_to_dict(event: Event) -> dict[str, Any]:
    """Make an event fit for an XCom."""
    return {
        "id": event.id,
        "kind": event.kind,
        "key": event.key,
        "at": event.at.isoformat(),
        "pipeline": event.pipeline,
        "facts": dict(event.facts),
    }
