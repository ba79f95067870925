"""Tags that tell one state of a row from another."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["etag_of"]


def etag_of(*state: Any) -> str:
    """Hash what makes up the state; equal states have equal tags."""
    text = json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
