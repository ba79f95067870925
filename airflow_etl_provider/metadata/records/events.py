"""What groups of readers have handled of the events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["HandledEventRecord"]


@dataclass(frozen=True, slots=True)
class HandledEventRecord:
    """An event that a group has handled: when it comes again, it is passed over.

    :param group_name: of the readers, that share the events among them.
    """

    group_name: str
    event_id: str
    handled_at: datetime

    COLLECTION: ClassVar[str] = "event_handled"
    KEY: ClassVar[tuple[str, ...]] = ("group_name", "event_id")
    NEWEST_BY: ClassVar[str | None] = None
    ORDER_BY: ClassVar[str] = "handled_at"
    FILTERS: ClassVar[tuple[str, ...]] = ("group_name", "event_id")
