"""What a task of the discovery found, dataset by dataset: written down, logged and summed up."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.agents.discovery.drift.changes import worst
from airflow_etl_provider.agents.discovery.relations import find_relations
from airflow_etl_provider.agents.discovery.remember import remember, remember_relations
from airflow_etl_provider.contracts.profile import DatasetProfile, NotRead

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_etl_provider.agents.discovery.drift.changes import DataChange
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["Findings"]

log = logging.getLogger(__name__)

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}


class Findings:
    """Takes datasets as they are found.

    :ivar moved: by name, what is told of the datasets that are not as they were.
    """

    def __init__(self, store: MetadataStore | None, *, at: datetime, run_id: str) -> None:
        self._store, self._at, self._run_id = store, at, run_id
        self._told: list[dict[str, Any]] = []
        self._broken: list[dict[str, Any]] = []
        self._profiles: list[DatasetProfile] = []
        self._changes: list[DataChange] = []
        self._relations = 0
        self.moved: dict[str, dict[str, Any]] = {}

    def take(self, one: DatasetProfile | NotRead) -> None:
        """Write one dataset into the catalog.

        :raises MetadataUnavailableError: the store can't be reached.
        """
        kept = remember(self._store, one, at=self._at, run_id=self._run_id) if self._store else None
        if isinstance(one, NotRead):
            log.warning("%s was not read: %s [%s]", one.name, one.reason, one.code)
            self._broken.append({"name": one.name, "code": one.code, "message": one.reason})
            return
        self._profiles.append(one)
        personal = sum(field.personal for field in one.fields)
        said = {
            "name": one.name,
            "rows": one.rows,
            "rejected": one.rejected,
            "columns": len(one.fields),
            "personal_columns": personal,
        }
        changes: tuple[DataChange, ...] = ()
        if kept is not None:
            changes = kept.changes
            said |= {
                "id": kept.dataset_id,
                "schema_version": kept.version,
                "new": kept.new,
                "changed": kept.changed,
                "changes": len(changes),
            }
            if kept.new or kept.profiled:
                self.moved[one.name] = {
                    "dataset_id": kept.dataset_id,
                    "rows": one.rows,
                    "schema_version": kept.version,
                    "new": kept.new,
                    "changes": len(changes),
                    "severity": worst(changes),
                }
        self._told.append(said)
        self._changes += changes
        log.info(
            "%s: %s rows, %s columns, %s of them personal",
            one.name,
            f"{one.rows:,}",
            len(one.fields),
            personal,
        )
        for change in changes:
            read_by = f"; read by {', '.join(change.breaks)}" if change.breaks else ""
            level = _LEVELS[change.severity]
            log.log(level, "%s (%s): %s%s", one.name, change.effect, change.message, read_by)

    def relate(self) -> None:
        """Find the foreign keys between all that was taken, and write them down."""
        found = find_relations(self._profiles)
        self._relations = len(found)
        if self._store is not None and found:
            remember_relations(self._store, found, at=self._at, run_id=self._run_id)
        for one in found:
            log.info(
                "%s (%s) refers to %s (%s): %.0f %% of its values",
                one.dataset,
                ", ".join(one.columns),
                one.other,
                ", ".join(one.key),
                100 * one.share,
            )

    def summary(self, *, most: int) -> dict[str, Any]:
        """Sum up with names, ids and counts, and no value.

        :param most: datasets that are named; all are counted.
        """
        told, broken = self._told, self._broken
        return {
            "datasets": told[:most],
            "datasets_count": len(told),
            "rows": sum(one["rows"] + one["rejected"] for one in told),
            "new": sum(bool(one.get("new")) for one in told),
            "changed": sum(bool(one.get("changed")) for one in told),
            "changes": len(self._changes),
            "breaking": sum(change.effect == "breaking" for change in self._changes),
            "severity": worst(self._changes),
            "relations": self._relations,
            "not_read": broken[:most],
            "not_read_count": len(broken),
        }
