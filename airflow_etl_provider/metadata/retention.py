"""How long records are kept, and taking away those that are older."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, func, or_, select, tuple_

from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.metadata.sql.engine import reading, writing
from airflow_etl_provider.metadata.tables import METADATA
from airflow_etl_provider.metadata.tables.catalog import DATASET
from airflow_etl_provider.metadata.tables.events import EVENT, EVENT_ATTEMPT, EVENT_GROUP
from airflow_etl_provider.metadata.tables.runs import QUARANTINE, RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import ColumnElement, Engine

__all__ = ["DEFAULT_DAYS", "KEPT", "Cleaned", "clean", "read_days"]

DEFAULT_DAYS: Mapping[str, int] = MappingProxyType(
    {
        "event_attempt": 30,
        "event": 30,
        "event_handled": 30,
        "metric": 90,
        "batch": 90,
        "profile": 180,
        "run": 365,
        "load": 365,
        "failure": 365,
        "resolution": 365,
        "decision": 365,
        "model_usage": 365,
        "quarantine": 365,
        "dataset": 365,
        "relation": 365,
    }
)
"""Days that a table's records are kept, in the order in which the tables are cleaned."""

KEPT = (
    "pipeline",
    "pipeline_version",
    "schema_version",
    "contract",
    "lease",
    "agent_settings",
    "agent_settings_change",
    "event_group",
)
"""Tables that are never cleaned: they say what holds now, and who decided it."""

_MOMENTS = {
    "event_attempt": "at",
    "event": "at",
    "event_handled": "handled_at",
    "metric": "at",
    "batch": "ended_at",
    "profile": "measured_at",
    "run": "started_at",
    "load": "published_at",
    "failure": "at",
    "resolution": "at",
    "decision": "at",
    "model_usage": "at",
    "quarantine": "updated_at",
    "dataset": "missing_since",
    "relation": "seen_at",
}

_FOREVER = 0
"""Days that mean: never."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was taken away of one table, or would be.

    :param before: records from before this moment.
    """

    table: str
    before: datetime
    records: int


def read_days(text: str) -> dict[str, int]:
    """Read `run:365, metric:30`; 0 keeps for ever.

    :raises SpecificationError: there is no such table, it is never cleaned, or it is no number.
    """
    days = dict(DEFAULT_DAYS)
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition(":"))
        if name in KEPT:
            raise SpecificationError(f"The records of {name} are never taken away.")
        if name not in DEFAULT_DAYS:
            raise SpecificationError(
                f"There are no records of {name!r}.", hint=f"Known: {', '.join(DEFAULT_DAYS)}."
            )
        if not number.isascii() or not number.isdigit() or int(number) > 100_000:
            raise SpecificationError(
                f"{part!r} is no number of days.", hint="Write run:365, metric:30; 0 is for ever."
            )
        days[name] = int(number)
    return days


def clean(
    engine: Engine,
    *,
    now: datetime,
    days: Mapping[str, int] = DEFAULT_DAYS,
    batch_size: int = 1_000,
    dry_run: bool = False,
    told: Callable[[Cleaned], None] | None = None,
) -> tuple[Cleaned, ...]:
    """Take away what is older than its table's days, in short transactions.

    What is still needed stays whatever its age: runs that go on, events that a group of readers has
    not read or has put aside, quarantines that are there, datasets that are not missing.

    :param days: by table, without `etl_`; a table that is not named is left alone.
    :param batch_size: records of one transaction.
    :param dry_run: only count.
    :param told: called after each table.
    """
    done = []
    for name in DEFAULT_DAYS:
        if days.get(name, _FOREVER) == _FOREVER:
            continue
        before = now - timedelta(days=days[name])
        condition = _old(name, before)
        count = (
            _count(engine, name, condition)
            if dry_run
            else _delete(engine, name, condition, batch_size)
        )
        done.append(Cleaned(name, before, count))
        if told is not None:
            told(done[-1])
    return tuple(done)


def _old(name: str, before: datetime) -> list[ColumnElement[bool]]:
    table = METADATA.tables[f"etl_{name}"]
    conditions: list[ColumnElement[bool]] = [table.c[_MOMENTS[name]] < before]
    if name == "run":
        conditions.append(RUN.c.status != "running")
    elif name == "quarantine":
        conditions.append(QUARANTINE.c.status.not_in(("published", "not_published")))
    elif name == "event_attempt":
        conditions.append(
            or_(
                EVENT_ATTEMPT.c.dead_at.is_(None),
                ~exists().where(EVENT.c.id == EVENT_ATTEMPT.c.event_id),
            )
        )
    elif name == "event":
        # A group that has not moved for as long as events are kept is gone.
        slowest = (
            select(func.min(EVENT_GROUP.c.position))
            .where(EVENT_GROUP.c.updated_at >= before)
            .scalar_subquery()
        )
        conditions += [
            EVENT.c.sequence <= func.coalesce(slowest, EVENT.c.sequence),
            ~exists().where(
                EVENT_ATTEMPT.c.event_id == EVENT.c.id, EVENT_ATTEMPT.c.dead_at.is_not(None)
            ),
        ]
    elif name == "dataset":
        conditions.append(DATASET.c.missing_since.is_not(None))
    return conditions


def _count(engine: Engine, name: str, conditions: list[ColumnElement[bool]]) -> int:
    table = METADATA.tables[f"etl_{name}"]
    with reading(engine) as connection:
        return int(
            connection.scalar(select(func.count()).select_from(table).where(*conditions)) or 0
        )


def _delete(
    engine: Engine, name: str, conditions: list[ColumnElement[bool]], batch_size: int
) -> int:
    if batch_size < 1:
        raise SpecificationError(f"The batch size is {batch_size}; allowed is 1 and more.")
    table: Any = METADATA.tables[f"etl_{name}"]
    key = tuple_(*table.primary_key.columns)
    total = 0
    while True:
        with writing(engine) as connection:
            found = select(*table.primary_key.columns).where(*conditions).limit(batch_size)
            gone = connection.execute(delete(table).where(key.in_(found))).rowcount
        total += gone
        if gone < batch_size:
            return total
