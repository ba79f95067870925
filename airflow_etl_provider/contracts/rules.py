"""Rules: conditions on rows or on the whole load, with a severity."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Rule", "Severity"]

Severity = Literal["quarantine", "warn", "fail"]


class Rule(BaseModel):
    """Exactly one subject (`column`, `rows`, `load`); several checks on one column are one rule each
    to the engine (`Rule.checks`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str | None = None
    rows: str | None = None
    load: str | None = None
    severity: Severity = "quarantine"
