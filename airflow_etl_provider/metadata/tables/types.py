"""Column types that mean the same on every database."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, BigInteger, DateTime, Integer, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

__all__ = ["METADATA", "NAMING", "BigCounter", "JsonObject", "Moment"]

NAMING = {
    "ix": "idx_%(column_0_N_label)s",
    "uq": "%(table_name)s_%(column_0_N_name)s_uq",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}
"""Airflow's own convention, so that a migration finds the names that it expects."""

METADATA = MetaData(naming_convention=NAMING)
"""Ours alone. It names no schema: `metadata.migrations` gives a copy for one that is set."""

JsonObject = JSON().with_variant(JSONB(none_as_null=True), "postgresql")

BigCounter = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite counts up only in a column that is exactly INTEGER."""


class Moment(TypeDecorator[datetime]):
    """A moment in UTC, with microseconds: `timestamptz` where there is one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse what names no moment.

        :raises ValueError: no time zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        value = value.astimezone(timezone.utc)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=timezone.utc)  # type: ignore[no-any-return]
        return value.astimezone(timezone.utc)  # type: ignore[no-any-return]
