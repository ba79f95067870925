"""The closed set of conversions: one frozen class each, with typed parameters."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Conversion"]


class Conversion(BaseModel):
    """One step from source values to a target value; `name` is the word used in contracts."""

    model_config = ConfigDict(frozen=True, extra="forbid")
