"""What a group of readers has handled, remembered beyond its process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.bus.handling import HandledInMemory
from airflow_etl_provider.metadata.records import HandledEventRecord

if TYPE_CHECKING:
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["HandledInStore"]


class HandledInStore:
    """Remembers in the metadata store, so that what a crashed task has handled stays handled.

    An id is written when its event was handled: whoever crashes in between handles it once more.
    The newest ones of this process are looked up without asking the store.
    """

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self._seen = HandledInMemory()

    def has(self, group: str, event_id: str) -> bool:
        """Whether the group has handled the event.

        :raises MetadataUnavailableError: nobody knows; the event comes again.
        """
        if self._seen.has(group, event_id):
            return True
        found = self._store.get(HandledEventRecord, group, event_id)
        if found is not None:
            self._seen.add(group, event_id)
        return found is not None

    def add(self, group: str, event_id: str) -> None:
        """Write down that the group has handled the event.

        :raises MetadataUnavailableError: it could not be written.
        """
        at = self._store.now()
        self._store.record([HandledEventRecord(group, event_id, at)])
        self._seen.add(group, event_id)
