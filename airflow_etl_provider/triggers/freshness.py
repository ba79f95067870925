"""Waits for an update of a dataset, in the triggerer."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_etl_provider.triggers.event import open_event_table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["DatasetFreshnessTrigger", "find_fresh"]


class DatasetFreshnessTrigger(BaseTrigger):
    """Fires once, when a dataset is as fresh as it is asked to be.

    :param connection: of the metadata store.
    :param dataset: its name in the catalog.
    :param seconds: since its last update, at most; None for what its history promises.
    :param since: ISO 8601 moment with zone; an update from before does not count. Empty for any.
    :param poll: seconds between two looks.
    """

    def __init__(
        self,
        *,
        connection: str,
        dataset: str,
        seconds: float | None = None,
        since: str = "",
        poll: float = 60.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.connection = connection
        self.dataset = dataset
        self.seconds = seconds
        self.since = since
        self.poll = poll

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what the database keeps of it."""
        names = ("connection", "dataset", "seconds", "since", "poll")
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, and look again, without holding up the triggers beside it."""
        with closing(await asyncio.to_thread(open_event_table, self.connection)) as store:
            while True:
                found = await asyncio.to_thread(
                    find_fresh,
                    store,
                    dataset=self.dataset,
                    seconds=self.seconds,
                    since=self.since,
                )
                if found is not None:
                    yield TriggerEvent(found)  # type: ignore[no-untyped-call]
                    return
                await asyncio.sleep(self.poll)


def find_fresh(
    store: MetadataStore, *, dataset: str, seconds: float | None, since: str = ""
) -> dict[str, Any] | None:
    """Tell of the last update if it is fresh enough, else nothing.

    :raises MetadataUnavailableError: the store can't be reached.
    """
    from airflow_etl_provider.agents.discovery.freshness import read_freshness

    freshness = read_freshness(store, dataset)
    if freshness is None or (since and freshness.last < datetime.fromisoformat(since)):
        return None
    now = store.now()
    fresh = (
        not freshness.is_late(now)
        if seconds is None
        else now - freshness.last <= timedelta(seconds=seconds)
    )
    if not fresh:
        return None
    return {
        "dataset": dataset,
        "updated_at": freshness.last.isoformat(),
        "expected_by": freshness.expected_by.isoformat() if freshness.expected_by else None,
    }
