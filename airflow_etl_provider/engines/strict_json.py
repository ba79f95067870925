"""JSON that every reader takes: Python's own writes NaN and Infinity, which JSON does not have."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["to_json"]


def to_json(
    value: Any, *, ascii_only: bool = False, default: Callable[[Any], Any] | None = None
) -> str:
    """Write a value; numbers that are not finite become text: NaN, Infinity, -Infinity."""
    try:
        return json.dumps(value, ensure_ascii=ascii_only, default=default, allow_nan=False)
    except ValueError:
        finite = _finite(value)
        return json.dumps(finite, ensure_ascii=ascii_only, default=default, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(float(value))
    return value
