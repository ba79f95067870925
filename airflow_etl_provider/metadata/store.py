"""The metadata store as everybody sees it; `sql` and `http` are two ways to reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from airflow_etl_provider.bus.event import Event
    from airflow_etl_provider.metadata.queries import (
        CatalogHit,
        CatalogQuery,
        MetricQuery,
        MetricSeries,
        Page,
        Query,
    )
    from airflow_etl_provider.metadata.records import (
        AgentSettingsRecord,
        ContractRecord,
        ContractStatus,
        Json,
        LeaseRecord,
        PipelineRecord,
        Record,
        SchemaVersionRecord,
    )

__all__ = [
    "Catalog",
    "ContractStore",
    "EventLog",
    "LeaseStore",
    "MetadataStore",
    "Records",
    "SettingsStore",
]

R = TypeVar("R", bound="Record")


class Records(Protocol):
    """Recording what happened, and reading it back."""

    def record(self, records: Sequence[Record]) -> None:
        """Write records in one transaction: all or none, each key once.

        A key that is there is updated if the record is newer by its `NEWEST_BY`, and left alone
        otherwise. Contracts, leases and agent settings are not recorded but decided: below.

        :raises MetadataUnavailableError: the store can't be reached; nothing was written.
        """

    def get(self, record: type[R], *key: Any) -> R | None:
        """Read one record by its key."""

    def find(self, query: Query[R]) -> Page[R]:
        """List records of one kind, newest first.

        :raises SpecificationError: a filter, limit or cursor that there is not.
        """

    def metrics(self, query: MetricQuery) -> tuple[MetricSeries, ...]:
        """Read metrics over time."""


class Catalog(Protocol):
    """What is versioned by content: the store gives the number, the same content gets the same."""

    def register_pipeline(
        self, pipeline: PipelineRecord, *, specification: Json, fingerprint: str, by: str | None
    ) -> PipelineRecord:
        """Write a pipeline; a specification with another fingerprint becomes its next version."""

    def record_schema(self, schema: SchemaVersionRecord) -> SchemaVersionRecord:
        """Write what schema a dataset has.

        Another fingerprint than the present one becomes the next version, and ends the present one
        at its `valid_from`. `version` is given by the store.
        """

    def search(self, query: CatalogQuery) -> Page[CatalogHit]:
        """Find datasets, best first."""


class ContractStore(Protocol):
    """Mapping contracts: proposed by agents, decided by people and rules."""

    def propose_contract(self, contract: ContractRecord) -> ContractRecord:
        """Write a proposal as the contract's next version; the same body again is the same version.

        `version`, `etag` and the moments are given by the store.
        """

    def approved_contract(self, name: str) -> ContractRecord | None:
        """Read the approved version.

        :raises MetadataUnavailableError: nobody knows whether there is one, so that the run stops.
        """

    def decide_contract(
        self,
        name: str,
        version: int,
        *,
        status: ContractStatus,
        by: str,
        etag: str,
        comment: str | None = None,
    ) -> ContractRecord:
        """Approve or reject; approving one supersedes the version approved before.

        :param etag: of the contract as the one who decides has seen it.
        :raises EditConflictError: somebody changed it in between.
        """

    def edit_contract(
        self, name: str, version: int, *, body: Json, by: str, etag: str, comment: str | None = None
    ) -> ContractRecord:
        """Write a new version from an edited body, proposed by a person.

        :raises EditConflictError: somebody changed the version that was edited, in between.
        """


class LeaseStore(Protocol):
    """Leases, by the database's clock alone: workers' clocks differ."""

    def take_lease(self, name: str, *, holder: str, duration: timedelta) -> LeaseRecord | None:
        """Take a lease that is free, expired or the holder's own; None while another holds it.

        A new holder gets a greater `token`; the holder's own lease is prolonged with its token.
        """

    def renew_lease(self, lease: LeaseRecord, *, duration: timedelta) -> LeaseRecord | None:
        """Prolong a lease; None when it was lost to another."""

    def release_lease(self, lease: LeaseRecord) -> None:
        """Give a lease back; nothing happens when it was lost already."""


class SettingsStore(Protocol):
    """What overrides the configuration of agents, without a restart."""

    def agent_settings(self, agent: str) -> tuple[AgentSettingsRecord, ...]:
        """Read an agent's rows: the general one (pipeline empty) and those of pipelines."""

    def put_agent_settings(
        self,
        agent: str,
        pipeline: str,
        *,
        settings: Json,
        by: str,
        etag: str | None,
        comment: str | None = None,
    ) -> AgentSettingsRecord:
        """Write a row and the change of it; whether it is valid is checked by coordination.

        :param etag: of the row as it was seen; None where there was none.
        :raises EditConflictError: somebody changed it in between.
        """


class EventLog(Protocol):
    """Events between processes, in the order in which they were appended."""

    def append_events(self, events: Sequence[Event]) -> None:
        """Write events; an id that is there already stays as it is."""

    def read_events(
        self, *, after: int = 0, limit: int = 100, kinds: Sequence[str] = (), pipeline: str = ""
    ) -> tuple[tuple[int, Event], ...]:
        """Read events with their sequence numbers, oldest first.

        What is read once never gets an event with a smaller number later: numbers are given in the
        order of commits.
        """

    def event_position(self, group: str) -> int:
        """How far a group of readers has come; 0 before its first event."""

    def move_event_position(self, group: str, *, old: int, new: int) -> bool:
        """Set it by compare-and-set; False when another reader of the group was faster."""

    def count_attempt(self, group: str, event_id: str, *, reason: str, dead: bool) -> int:
        """Note a failed handling and return how many there were; `dead` puts it aside."""

    def dead_events(self, group: str, *, limit: int = 100) -> tuple[tuple[Event, str], ...]:
        """Read what was put aside, with reasons, oldest first."""


class MetadataStore(Records, Catalog, ContractStore, LeaseStore, SettingsStore, EventLog, Protocol):
    """All of it."""

    def now(self) -> datetime:
        """The store's own clock."""

    def close(self) -> None:
        """Give connections back; the store is used no more."""
