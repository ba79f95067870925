"""An event: a small fact that parts of a deployment tell each other; ids, and never data."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

from airflow_etl_provider.exceptions import EventError, SpecificationError

__all__ = [
    "KINDS",
    "MAX_BYTES",
    "VERSION",
    "Event",
    "check_kinds",
    "decode_event",
    "encode_event",
    "new_event",
]

VERSION = "1.0"
"""Of the envelope. A newer minor version may add keys, which are left out when read; another major
version is refused."""

MAX_BYTES = 16 * 2**10
"""Of an encoded event. What is larger is data, and belongs elsewhere."""

KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pipeline_registered": ("version",),
        "run_started": ("run_id",),
        "run_finished": ("run_id", "status"),
        "load_published": ("run_id", "load_id", "target", "rows_loaded"),
        "load_failed": ("run_id", "code"),
        "quarantine_written": ("run_id", "quarantine", "records"),
        "dataset_discovered": ("dataset",),
        "schema_changed": ("dataset", "fingerprint"),
        "dataset_drifted": ("dataset", "severity", "changes", "breaking"),
        "dataset_late": ("dataset", "expected_at"),
        "contract_proposed": ("contract", "version"),
        "contract_approved": ("contract", "version"),
        "contract_rejected": ("contract", "version"),
        "decision_recorded": ("decision",),
        "resolution_proposed": ("failure", "action"),
        "resolution_done": ("failure", "action", "outcome"),
        "lease_lost": ("lease", "holder"),
        "settings_changed": ("agent",),
        "watcher_started": ("watcher",),
    }
)
"""What happens here, and the facts that each kind must tell."""

_SCALAR = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Event:
    """One fact.

    .. code-block:: python

        new_event("schema_changed", key="shop/orders", at=now, facts={"dataset": "shop/orders",
                  "fingerprint": "6f1c"})

    :param id: the same fact told twice has the same id, so that it is handled once.
    :param kind: one of `KINDS`.
    :param key: what order is kept by: a pipeline's or a dataset's name.
    :param facts: ids, names and counts; text, numbers, true, false and null only.
    :raises EventError: it is none of the known kinds, lacks a fact, or is too large.
    """

    id: str
    kind: str
    key: str
    at: datetime
    pipeline: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    version: str = VERSION

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise EventError(f"The moment of event {self.id!r} has no time zone.")
        if not self.id or len(self.id) > 64 or not self.key or len(self.key) > 250:
            raise EventError(
                "An event needs an id of 1 to 64 characters and a key of 1 to 250; found "
                f"{len(self.id)} and {len(self.key)}."
            )
        wanted = KINDS.get(self.kind)
        if wanted is None:
            raise EventError(
                f"There is no event {self.kind!r}.", hint=f"Known: {', '.join(KINDS)}."
            )
        missing = [name for name in wanted if name not in self.facts]
        if missing:
            raise EventError(f"An event {self.kind} must tell {', '.join(missing)}.")
        odd = [name for name, value in self.facts.items() if not isinstance(value, _SCALAR)]
        if odd:
            raise EventError(
                f"Facts of an event are text, numbers, true, false and null; {', '.join(odd)} of "
                f"{self.kind} is none of them.",
                hint="Tell the id of a record instead of its content.",
            )


def check_kinds(kinds: str | Sequence[str]) -> list[str]:
    """Give kinds as a list.

    :raises SpecificationError: there is no such event, or none is named.
    """
    named = [kinds] if isinstance(kinds, str) else list(kinds)
    unknown = [kind for kind in named if kind not in KINDS]
    if unknown or not named:
        raise SpecificationError(
            f"There is no event {', '.join(map(repr, unknown)) or 'given'}.",
            hint=f"Known: {', '.join(KINDS)}.",
        )
    return named


def new_event(
    kind: str,
    *,
    key: str,
    at: datetime,
    pipeline: str | None = None,
    facts: Mapping[str, Any] | None = None,
    same: str | None = None,
) -> Event:
    """Make an event.

    :param same: text that is equal whenever the same fact is told again, by a retry; the id is
        made of it and of the kind. Without it the id is one of a kind.
    """
    made = uuid.uuid4() if same is None else uuid.uuid5(_NAMESPACE, f"{kind}\n{key}\n{same}")
    return Event(id=made.hex, kind=kind, key=key, at=at, pipeline=pipeline, facts=dict(facts or {}))


_NAMESPACE = uuid.UUID("6a1d7c3e-54d2-4bb0-9c0e-2f4f9a4f0d51")


def encode_event(event: Event) -> bytes:
    """Write an event as JSON in UTF-8.

    :raises EventError: it is too large, or holds what JSON can't.
    """
    try:
        text = json.dumps(
            {
                "version": event.version,
                "id": event.id,
                "kind": event.kind,
                "key": event.key,
                "at": event.at.astimezone(timezone.utc).isoformat(),
                "pipeline": event.pipeline,
                "facts": dict(event.facts),
            },
            allow_nan=False,
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode("utf-8")
    except ValueError as error:
        raise EventError(
            f"Event {event.id} ({event.kind}) holds a number or text that JSON can't."
        ) from error
    if len(text) > MAX_BYTES:
        raise EventError(
            f"Event {event.id} ({event.kind}) has {len(text)} bytes; {MAX_BYTES} are allowed.",
            hint="Tell the id of a record instead of its content.",
        )
    return text


def decode_event(data: bytes | str | Mapping[str, Any]) -> Event:
    """Read an event.

    :raises EventError: it is none, or of a version that is not known here. The message holds none
        of what was found.
    """
    if isinstance(data, Mapping):
        content: Any = data
    else:
        if len(data) > MAX_BYTES:
            raise EventError(f"A message has {len(data)} bytes; an event has {MAX_BYTES} at most.")
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise EventError("A message is no event: it is not JSON in UTF-8.") from error
    if not isinstance(content, Mapping):
        raise EventError("A message is no event: it is no JSON object.")
    version = content.get("version")
    if not isinstance(version, str) or version.partition(".")[0] != VERSION.partition(".")[0]:
        raise EventError(
            f"An event of another version than {VERSION} came in.",
            hint="Bring this package up to date where it reads, or where it writes.",
        )
    try:
        at = datetime.fromisoformat(content["at"].replace("Z", "+00:00"))
        facts, pipeline = content.get("facts") or {}, content.get("pipeline")
        texts = (content["id"], content["kind"], content["key"], pipeline or "")
        if not all(isinstance(text, str) for text in texts) or not isinstance(facts, Mapping):
            raise TypeError
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EventError("A message is no event: id, kind, key, at or facts are wrong.") from error
    return Event(
        id=content["id"],
        kind=content["kind"],
        key=content["key"],
        at=at,
        pipeline=pipeline,
        facts=dict(facts),
        version=version,
    )
