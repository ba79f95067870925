"""The metadata store over the API of an Airflow deployment."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from airflow_etl_provider.bus.event import decode_event, encode_event
from airflow_etl_provider.exceptions import MetadataError, SpecificationError
from airflow_etl_provider.metadata.http.client import Client
from airflow_etl_provider.metadata.http.paths import PATHS
from airflow_etl_provider.metadata.queries import CatalogHit, MetricPoint, MetricSeries, Page
from airflow_etl_provider.metadata.records import (
    AgentSettingsRecord,
    ContractRecord,
    DatasetRecord,
    LeaseRecord,
    PipelineRecord,
    SchemaVersionRecord,
)
from airflow_etl_provider.metadata.records.encoding import record_from_json, record_to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from airflow_etl_provider.bus.event import Event
    from airflow_etl_provider.metadata.queries import CatalogQuery, MetricQuery, Query
    from airflow_etl_provider.metadata.records import ContractStatus, Json, Record

__all__ = ["ApiStore"]

R = TypeVar("R", bound="Record")

_RECORDS = 500
"""Records of one request at most; each request is written whole or not at all."""


class ApiStore:
    """Answers `MetadataStore`.

    With a task's token it records and reads, and is refused where people decide.

    .. code-block:: python

        ApiStore("https://airflow.internal/etl/api/v1", token=lambda: token)

    :param token: gives a token that holds.
    """

    def __init__(
        self, url: str, *, token: Callable[[], str], timeout: float = 15.0, verify: Any = True
    ) -> None:
        self._client = Client(url, token=token, timeout=timeout, verify=verify)

    def record(self, records: Sequence[Record]) -> None:
        for start in range(0, len(records), _RECORDS):
            content = [
                {"collection": record.COLLECTION, **record_to_json(record)}
                for record in records[start : start + _RECORDS]
            ]
            self._client.ask("POST", "/records", body={"records": _sendable(content)})

    def get(self, record: type[R], *key: Any) -> R | None:
        if len(key) != len(record.KEY):
            raise SpecificationError(
                f"A record of {record.COLLECTION} is named by {', '.join(record.KEY)}."
            )
        parts = [part.isoformat() if isinstance(part, datetime) else str(part) for part in key]
        found = self._or_none(f"/{_path(record)}/by-key", query={"key": parts})
        return None if found is None else record_from_json(record, found)

    def find(self, query: Query[R]) -> Page[R]:
        wanted: dict[str, Any] = {"limit": query.limit}
        for name, value in query.equals.items():
            if name not in query.record.FILTERS:
                raise SpecificationError(
                    f"{query.record.COLLECTION} can't be listed by {name!r}.",
                    hint=f"It can by: {', '.join(query.record.FILTERS)}.",
                )
            values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
            if not values:
                return Page(())
            if None in values:
                raise SpecificationError("The API lists nothing by what is not there.")
            wanted[name] = values
        if query.since is not None:
            wanted["since"] = query.since.isoformat()
        if query.until is not None:
            wanted["until"] = query.until.isoformat()
        if query.after is not None:
            wanted["after"] = query.after
        found = self._client.ask("GET", f"/{_path(query.record)}", query=wanted)
        return Page(
            tuple(record_from_json(query.record, item) for item in found["items"]),
            found["cursor"],
        )

    def metrics(self, query: MetricQuery) -> tuple[MetricSeries, ...]:
        wanted: dict[str, Any] = {
            "name": list(query.names),
            "since": query.since.isoformat(),
            "until": query.until.isoformat(),
            "pipeline": list(query.pipelines),
            "run_id": list(query.run_ids),
            "aggregation": query.aggregation,
            "group_by": query.group_by,
        }
        if query.resolution is not None:
            wanted["resolution"] = int(query.resolution.total_seconds())
        found = self._client.ask("GET", "/metrics", query=wanted)
        return tuple(
            MetricSeries(
                series["name"],
                series["group"],
                tuple(
                    MetricPoint(datetime.fromisoformat(at.replace("Z", "+00:00")), value)
                    for at, value in zip(series["at"], series["value"], strict=True)
                ),
            )
            for series in found
        )

    def register_pipeline(
        self, pipeline: PipelineRecord, *, specification: Json, fingerprint: str, by: str | None
    ) -> PipelineRecord:
        body = {
            "pipeline": record_to_json(pipeline),
            "specification": _sendable(specification),
            "fingerprint": fingerprint,
            "by": by,
        }
        return record_from_json(PipelineRecord, self._client.ask("POST", "/pipelines", body=body))

    def record_schema(self, schema: SchemaVersionRecord) -> SchemaVersionRecord:
        found = self._client.ask("POST", "/schema-versions", body=record_to_json(schema))
        return record_from_json(SchemaVersionRecord, found)

    def search(self, query: CatalogQuery) -> Page[CatalogHit]:
        wanted: dict[str, Any] = {
            "text": query.text,
            "tag": list(query.tags),
            "missing": query.include_missing,
            "limit": query.limit,
        }
        for name in ("kind", "connection", "after"):
            if getattr(query, name) is not None:
                wanted[name] = getattr(query, name)
        found = self._client.ask("GET", "/catalog/search", query=wanted)
        return Page(
            tuple(
                CatalogHit(
                    record_from_json(DatasetRecord, hit["dataset"]),
                    hit["score"],
                    tuple(hit["matched_columns"]),
                )
                for hit in found["items"]
            ),
            found["cursor"],
        )

    def propose_contract(self, contract: ContractRecord) -> ContractRecord:
        found = self._client.ask("POST", "/contracts", body=_sendable(record_to_json(contract)))
        return record_from_json(ContractRecord, found)

    def approved_contract(self, name: str) -> ContractRecord | None:
        found = self._or_none(f"/contracts/{quote(name, safe='')}/approved")
        return None if found is None else record_from_json(ContractRecord, found)

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
        """Decide as the person whose token it is; `by` is not believed by the API."""
        found = self._client.ask(
            "POST",
            f"/contracts/{quote(name, safe='')}/versions/{version}/decision",
            body={"status": status, "comment": comment},
            headers={"If-Match": f'"{etag}"'},
        )
        return record_from_json(ContractRecord, found)

    def edit_contract(
        self, name: str, version: int, *, body: Json, by: str, etag: str, comment: str | None = None
    ) -> ContractRecord:
        """Edit as the person whose token it is; `by` is not believed by the API."""
        found = self._client.ask(
            "POST",
            f"/contracts/{quote(name, safe='')}/versions/{version}/edit",
            body={"body": body, "comment": comment},
            headers={"If-Match": f'"{etag}"'},
        )
        return record_from_json(ContractRecord, found)

    def take_lease(self, name: str, *, holder: str, duration: timedelta) -> LeaseRecord | None:
        return self._lease(
            "/leases/take",
            {"name": name, "holder": holder, "seconds": duration.total_seconds()},
        )

    def renew_lease(self, lease: LeaseRecord, *, duration: timedelta) -> LeaseRecord | None:
        return self._lease("/leases/renew", {"seconds": duration.total_seconds()}, lease)

    def release_lease(self, lease: LeaseRecord) -> None:
        self._client.ask("POST", "/leases/release", body=record_to_json(lease))

    def agent_settings(self, agent: str) -> tuple[AgentSettingsRecord, ...]:
        found = self._client.ask("GET", f"/agents/{quote(agent, safe='')}/settings")
        return tuple(record_from_json(AgentSettingsRecord, item) for item in found)

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
        """Change them as the person whose token it is; `by` is not believed by the API."""
        found = self._client.ask(
            "PUT",
            f"/agents/{quote(agent, safe='')}/settings",
            query={"pipeline": pipeline},
            body={"settings": settings, "comment": comment},
            headers={"If-None-Match": "*"} if etag is None else {"If-Match": f'"{etag}"'},
        )
        return record_from_json(AgentSettingsRecord, found)

    def append_events(self, events: Sequence[Event]) -> None:
        for start in range(0, len(events), _RECORDS):
            body = [json.loads(encode_event(event)) for event in events[start : start + _RECORDS]]
            self._client.ask("POST", "/events", body=body)

    def read_events(
        self, *, after: int = 0, limit: int = 100, kinds: Sequence[str] = (), pipeline: str = ""
    ) -> tuple[tuple[int, Event], ...]:
        found = self._client.ask(
            "GET",
            "/events",
            query={"after": after, "limit": limit, "kind": list(kinds), "pipeline": pipeline},
        )
        return tuple((item["sequence"], decode_event(item["event"])) for item in found["items"])

    def event_position(self, group: str) -> int:
        found = self._client.ask("GET", "/events/groups/position", query={"group": group})
        return int(found["position"])

    def move_event_position(self, group: str, *, old: int, new: int) -> bool:
        found = self._client.ask(
            "POST", "/events/groups/position", query={"group": group, "old": old, "new": new}
        )
        return bool(found["moved"])

    def count_attempt(self, group: str, event_id: str, *, reason: str, dead: bool) -> int:
        found = self._client.ask(
            "POST",
            "/events/groups/attempts",
            query={"group": group, "event_id": event_id, "reason": reason, "dead": dead},
        )
        return int(found["attempts"])

    def dead_events(self, group: str, *, limit: int = 100) -> tuple[tuple[Event, str], ...]:
        found = self._client.ask(
            "GET", "/events/groups/dead", query={"group": group, "limit": limit}
        )
        return tuple((decode_event(item["event"]), item["reason"]) for item in found)

    def now(self) -> datetime:
        return datetime.fromisoformat(self._client.ask("GET", "/clock")["now"])

    def close(self) -> None:
        self._client.close()

    def _lease(
        self, path: str, query: dict[str, Any], lease: LeaseRecord | None = None
    ) -> LeaseRecord | None:
        body = None if lease is None else record_to_json(lease)
        found = self._client.ask("POST", path, query=query, body=body)
        return None if found is None else record_from_json(LeaseRecord, found)

    def _or_none(self, path: str, *, query: dict[str, Any] | None = None) -> Any:
        try:
            return self._client.ask("GET", path, query=query)
        except MetadataError as error:
            if error.missing:
                return None
            raise


def _path(record: type[Record]) -> str:
    try:
        return PATHS[record]
    except KeyError:
        raise SpecificationError(
            f"Records of {record.COLLECTION} are not listed.",
            hint="The store has methods for them.",
        ) from None


def _sendable(content: Any) -> Any:
    """Refuse here what JSON can't hold, as the database would.

    :raises SpecificationError: a number that is not finite.
    """
    try:
        json.dumps(content, allow_nan=False)
    except ValueError as error:
        raise SpecificationError(
            "A number of a record, such as a metric's, is not finite."
        ) from error
    return content
