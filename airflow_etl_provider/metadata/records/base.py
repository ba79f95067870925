"""What every record of the metadata store tells of itself."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Protocol

__all__ = ["Json", "Record", "key_of", "stable_id"]

Json = dict[str, Any]
"""An object that JSON can hold: text keys; never a value of a row of a personal column."""


class Record(Protocol):
    """A frozen dataclass whose fields are the columns of one table.

    :cvar COLLECTION: its name in the API and, after `etl_`, of its table; plural in the API's path.
    :cvar KEY: the fields that name one record. Recording the same key again updates, so that a
        retry writes no second row.
    :cvar NEWEST_BY: the moment that orders two recordings of one key: an older one that arrives
        late changes nothing. None where the first recording stays for ever.
    :cvar ORDER_BY: the moment that listings are ordered by, newest first; ties by key.
    :cvar FILTERS: fields that a listing can be held to.
    """

    COLLECTION: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]
    NEWEST_BY: ClassVar[str | None]
    ORDER_BY: ClassVar[str]
    FILTERS: ClassVar[tuple[str, ...]]


def key_of(record: Record) -> tuple[Any, ...]:
    """The values of a record's key, in order."""
    return tuple(getattr(record, name) for name in record.KEY)


def stable_id(*parts: str) -> str:
    """An id of 32 hex digits that the same parts give again, fit for a URL."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:".encode())
        digest.update(part.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]
