"""The metadata store over SQLAlchemy: PostgreSQL, or SQLite."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import text

from airflow_etl_provider.metadata.sql import (
    contracts,
    events,
    leases,
    listing,
    metrics,
    search,
    settings,
    versions,
)
from airflow_etl_provider.metadata.sql.engine import engine_for, reading, writing
from airflow_etl_provider.metadata.sql.recording import write_records

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from sqlalchemy import URL, Connection, Engine

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

__all__ = ["SqlStore"]

R = TypeVar("R", bound="Record")


class SqlStore:
    """Answers `MetadataStore`; may be used by several threads at once.

    .. code-block:: python

        store = SqlStore("postgresql://etl@db.internal/etl")
        store.record([run])

    :param database: SQLAlchemy's URL, or an engine that the caller keeps.
    :param schema: of the database, where the tables are not in the one that comes first.
    """

    def __init__(self, database: str | URL | Engine, *, schema: str | None = None) -> None:
        from sqlalchemy import Engine as EngineClass

        self._owned = not isinstance(database, EngineClass)
        engine = database if isinstance(database, EngineClass) else engine_for(database)
        self.engine = (
            engine
            if schema is None
            else engine.execution_options(schema_translate_map={None: schema})
        )

    def record(self, records: Sequence[Record]) -> None:
        if records:
            with writing(self.engine) as connection:
                write_records(connection, records)

    def get(self, record: type[R], *key: Any) -> R | None:
        with reading(self.engine) as connection:
            return listing.get_record(connection, record, key)

    def find(self, query: Query[R]) -> Page[R]:
        with reading(self.engine) as connection:
            return listing.find_records(connection, query)

    def metrics(self, query: MetricQuery) -> tuple[MetricSeries, ...]:
        with reading(self.engine) as connection:
            return metrics.query_metrics(connection, query)

    def register_pipeline(
        self, pipeline: PipelineRecord, *, specification: Json, fingerprint: str, by: str | None
    ) -> PipelineRecord:
        with writing(self.engine) as connection:
            return versions.register_pipeline(
                connection, pipeline, specification=specification, fingerprint=fingerprint, by=by
            )

    def record_schema(self, schema: SchemaVersionRecord) -> SchemaVersionRecord:
        with writing(self.engine) as connection:
            return versions.record_schema(connection, schema)

    def search(self, query: CatalogQuery) -> Page[CatalogHit]:
        with reading(self.engine) as connection:
            return search.search_catalog(connection, query)

    def propose_contract(self, contract: ContractRecord) -> ContractRecord:
        with writing(self.engine) as connection:
            return contracts.propose_contract(connection, contract, now=_now(connection))

    def approved_contract(self, name: str) -> ContractRecord | None:
        with reading(self.engine) as connection:
            return contracts.approved_contract(connection, name)

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
        with writing(self.engine) as connection:
            return contracts.decide_contract(
                connection,
                name,
                version,
                status=status,
                by=by,
                etag=etag,
                comment=comment,
                now=_now(connection),
            )

    def edit_contract(
        self, name: str, version: int, *, body: Json, by: str, etag: str, comment: str | None = None
    ) -> ContractRecord:
        with writing(self.engine) as connection:
            return contracts.edit_contract(
                connection,
                name,
                version,
                body=body,
                by=by,
                etag=etag,
                comment=comment,
                now=_now(connection),
            )

    def take_lease(self, name: str, *, holder: str, duration: timedelta) -> LeaseRecord | None:
        with writing(self.engine) as connection:
            return leases.take_lease(
                connection, name, holder=holder, duration=duration, now=_now(connection)
            )

    def renew_lease(self, lease: LeaseRecord, *, duration: timedelta) -> LeaseRecord | None:
        with writing(self.engine) as connection:
            return leases.renew_lease(connection, lease, duration=duration, now=_now(connection))

    def release_lease(self, lease: LeaseRecord) -> None:
        with writing(self.engine) as connection:
            leases.release_lease(connection, lease, now=_now(connection))

    def agent_settings(self, agent: str) -> tuple[AgentSettingsRecord, ...]:
        with reading(self.engine) as connection:
            return settings.agent_settings(connection, agent)

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
        from airflow_etl_provider.metadata.sql.settings import put_agent_settings

        with writing(self.engine) as connection:
            return put_agent_settings(
                connection,
                agent,
                pipeline,
                settings=settings,
                by=by,
                etag=etag,
                comment=comment,
                now=_now(connection),
            )

    def append_events(self, events_: Sequence[Event]) -> None:
        with writing(self.engine) as connection:
            events.append_events(connection, events_)

    def read_events(
        self, *, after: int = 0, limit: int = 100, kinds: Sequence[str] = (), pipeline: str = ""
    ) -> tuple[tuple[int, Event], ...]:
        with reading(self.engine) as connection:
            return events.read_events(
                connection,
                after=after,
                limit=listing.check_limit(limit),
                kinds=kinds,
                pipeline=pipeline,
            )

    def event_position(self, group: str) -> int:
        with reading(self.engine) as connection:
            return events.event_position(connection, group)

    def move_event_position(self, group: str, *, old: int, new: int) -> bool:
        with writing(self.engine) as connection:
            return events.move_event_position(
                connection, group, old=old, new=new, now=_now(connection)
            )

    def count_attempt(self, group: str, event_id: str, *, reason: str, dead: bool) -> int:
        with writing(self.engine) as connection:
            return events.count_attempt(
                connection, group, event_id, reason=reason, dead=dead, now=_now(connection)
            )

    def dead_events(self, group: str, *, limit: int = 100) -> tuple[tuple[Event, str], ...]:
        with reading(self.engine) as connection:
            return events.dead_events(connection, group, limit=listing.check_limit(limit))

    def now(self) -> datetime:
        with reading(self.engine) as connection:
            return _now(connection)

    def close(self) -> None:
        if self._owned:
            self.engine.dispose()


def _now(connection: Connection) -> datetime:
    """The database's clock; SQLite has none but this machine's, on which all its users are."""
    if connection.dialect.name == "postgresql":
        found: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return found.astimezone(timezone.utc)
    return datetime.now(timezone.utc)
