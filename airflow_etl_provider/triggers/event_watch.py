"""Watches the event table for an asset: each event that fits makes a DAG run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_etl_provider.bus.event import check_kinds
from airflow_etl_provider.exceptions import EtlError
from airflow_etl_provider.triggers.event import event_to_dict, open_event_table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_etl_provider.bus.event import Event
    from airflow_etl_provider.metadata.store import EventLog

__all__ = ["EtlEventWatchTrigger"]

log = logging.getLogger(__name__)

_PAGE = 500

_FIRST_PAUSE = 1.0
"""Half of the seconds until a watcher that failed goes on; doubled each time, up to a minute."""

_SETTLED = 60.0
"""Seconds after which an event that was handed to the triggerer stands in Airflow's database. The
triggerer says nothing of it; what it loses when it crashes before that is told again."""


class EtlEventWatchTrigger(BaseEventTrigger):
    """Fires with every event that fits, from the first time that it runs on.

    .. code-block:: python

        Asset("orders_loaded", watchers=[AssetWatcher(name="etl", trigger=EtlEventWatchTrigger(
            kinds=["load_published"], pipeline="orders"))])

    How far it is stands in the event table, under its name. After a crash of the triggerer, events
    of the last minute are told again, with the same ids, and none is left out.

    :param kinds: any of these; docs/messages.md lists them.
    :param pipeline: only of this one; empty for all.
    :param key: only with this one; empty for all.
    :param connection: of the metadata store.
    :param watcher: the name that its position is kept under; two with one name share the events.
        Made of the arguments above when empty.
    :param poll: seconds between two looks.
    :raises SpecificationError: there is no such event.
    """

    def __init__(
        self,
        *,
        kinds: Sequence[str],
        pipeline: str = "",
        key: str = "",
        connection: str = "etl_metadata_default",
        watcher: str = "",
        poll: float = 5.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kinds = check_kinds(kinds)
        self.pipeline = pipeline
        self.key = key
        self.connection = connection
        self.watcher = watcher
        self.poll = poll
        self._told = 0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what the database keeps of it."""
        names = ("kinds", "pipeline", "key", "connection", "watcher", "poll")
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {name: getattr(self, name) for name in names}

    @property
    def group(self) -> str:
        """The name that its position is kept under."""
        return self.watcher or (
            f"watch {','.join(sorted(self.kinds))} of {self.pipeline or '*'} at {self.key or '*'}"
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, and look again, without holding up the triggers beside it."""
        pauses = 0
        while True:
            try:
                async for event in self._watch():
                    pauses = 0
                    yield event
            except EtlError as error:
                # A trigger that fails is not started again; a database that is away comes back.
                pauses = min(pauses + 1, 6)
                log.warning("Watching for events goes on in a while: %s", error)
                await asyncio.sleep(_FIRST_PAUSE * 2**pauses)

    async def _watch(self) -> AsyncIterator[TriggerEvent]:
        with closing(await asyncio.to_thread(open_event_table, self.connection)) as store:
            position = await asyncio.to_thread(_begin, store, self.group)
            after = max(position, self._told)
            told: deque[tuple[int, float]] = deque()
            while True:
                # Also those of others: what a group has not passed is never cleaned away.
                page = await asyncio.to_thread(store.read_events, after=after, limit=_PAGE)
                for sequence, event in page:
                    after = self._told = sequence
                    if self._fits(event):
                        yield TriggerEvent(event_to_dict(event))  # type: ignore[no-untyped-call]
                if page:
                    told.append((after, time.monotonic()))
                settled = position
                while told and time.monotonic() - told[0][1] > _SETTLED:
                    settled = told.popleft()[0]
                if settled != position:
                    await asyncio.to_thread(
                        store.move_event_position, self.group, old=position, new=settled
                    )
                    position = settled
                if len(page) < _PAGE:
                    await asyncio.sleep(self.poll)

    def _fits(self, event: Event) -> bool:
        return (
            event.kind in self.kinds
            and self.pipeline in ("", event.pipeline)
            and self.key in ("", event.key)
        )


def _begin(store: EventLog, group: str) -> int:
    """Find where the watcher is; a new one writes down that it begins, and begins there.

    Without that, one which crashed before its first event had settled would take itself for new.
    """
    from airflow_etl_provider.bus.event import new_event

    position = store.event_position(group)
    if position:
        return position
    began = new_event(
        "watcher_started",
        key=group[:250],
        at=datetime.now(timezone.utc),
        facts={"watcher": group},
        same=group,
    )
    store.append_events([began])
    after = 0
    while page := store.read_events(after=after, limit=_PAGE, kinds=["watcher_started"]):
        for sequence, event in page:
            if event.id == began.id:
                store.move_event_position(group, old=0, new=sequence)
                return sequence
        after = page[-1][0]
    # Taken away by the retention of events, together with all that came before.
    return 0
