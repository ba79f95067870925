"""A load: one publication to a target, the same whoever attempts it and how often."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "LOAD_COLUMNS",
    "InputIdentity",
    "Load",
    "OnReload",
    "input_hash_of",
    "load_id_of",
    "takes_whole_inputs",
    "window_after",
    "window_of_inputs",
]

OnReload = Literal["stop", "replace_load"]

LOAD_COLUMNS = ("_etl_load_id", "_etl_loaded_at")
"""Columns that `load_columns` adds to the target; no source fills them."""


_INPUTS, _AFTER = "input:", "after:"


@dataclass(frozen=True, slots=True)
class InputIdentity:
    """One input as it was when the run began: enough to notice that it changed.

    :param size: bytes; None where the kind of source has none (a table).
    :param version: etag, or modification time in nanoseconds for a local file.
    """

    name: str
    size: int | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What a target needs to know of a load before the first row arrives.

    :param follows: the token of the pipeline's position that the load goes on from: it is published
        only if the position is still that one. None: the load follows nothing.
    """

    load_id: str
    pipeline: str
    window: str
    input_hash: str
    contract_hash: str
    run_id: str
    on_reload: OnReload = "stop"
    inputs: tuple[InputIdentity, ...] = field(default=())
    follows: str | None = None


def load_id_of(pipeline: str, window: str) -> str:
    """32 hexadecimal digits: the pipeline and its window or input identity, nothing of a task."""
    return _digest([pipeline, window])[:32]


def window_of_inputs(input_hash: str) -> str:
    """What a load takes that is known by its inputs."""
    return f"{_INPUTS}{input_hash}"


def window_after(token: str) -> str:
    """What a load takes that goes on from a position; only one load can ever follow it."""
    return f"{_AFTER}{token}"


def takes_whole_inputs(window: str) -> bool:
    """Whether such a load leaves nothing of its inputs to others, as one by data interval does."""
    return window.startswith((_INPUTS, _AFTER))


def input_hash_of(inputs: tuple[InputIdentity, ...]) -> str:
    """A hash of names, sizes and versions, whatever their order."""
    return _digest(sorted([i.name, i.size, i.version] for i in inputs))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()
