"""What one run takes of a source: new files, records above a value, or a data interval."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from airflow_etl_provider.contracts.problem import found
from airflow_etl_provider.contracts.spec import Faults, Spec, Text, Words

__all__ = ["BELONGS_TO", "Incremental", "lag_of", "start_of"]

BELONGS_TO = {
    "column": ("column", "data_interval"),
    "lag": ("column",),
    "start": ("column",),
    "max_files": ("new_files",),
}
"""Keys beside `by`, and the words of `by` that they go with."""

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_LAG = re.compile(rf"\s*([0-9]{{1,9}})\s+({'|'.join(_UNITS)})s?\s*")
_LAG_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": rf"^{_LAG.pattern}$"},
    ]
}
_START_SCHEMA: dict[str, Any] = {"type": ["string", "integer"]}


def _read_lag(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str) and _LAG.fullmatch(value) and lag_of(value):
        return " ".join(value.split())
    raise ValueError(
        f"found {found(value)}; expected a span such as 90 minutes, 1 hour or 2 days, or a number "
        "from 1 where the column holds whole numbers"
    )


def _read_start(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, date | datetime):
        value = value.isoformat()
    if isinstance(value, str):
        try:
            start_of(value)
        except ValueError:
            pass
        else:
            return value
    raise ValueError(
        f"found {found(value)}; expected a date or time such as 2024-01-31 or "
        "2024-01-31T06:00:00Z, or a whole number"
    )


def lag_of(written: str | int) -> timedelta | int:
    """Read a lag: `90 minutes` is a span, a number is a number.

    :raises ValueError: it is neither.
    """
    if isinstance(written, int):
        return written
    parts = _LAG.fullmatch(written)
    if parts is None:
        raise ValueError("no lag")
    return timedelta(seconds=int(parts[1]) * _UNITS[parts[2]])


def start_of(written: str | int) -> datetime | int:
    """Read a start: a date or time (UTC where it names no zone), or a number.

    :raises ValueError: it is neither.
    """
    if isinstance(written, int):
        return written
    time = datetime.fromisoformat(written.strip().replace("Z", "+00:00"))
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


class Incremental(Spec):
    """What a run takes of the source."""

    by: Annotated[
        Literal["new_files", "column", "data_interval"],
        Words(("new_files", "column", "data_interval")),
        Field(
            description="new_files: files that were not loaded yet; column: records from the "
            "highest value of `column` on that was loaded; data_interval: records whose `column` "
            "lies in the run's data interval."
        ),
    ]
    column: Annotated[
        Text | None,
        Field(
            description="A date or timestamp (with `by: column` also a whole number): a target "
            "column, or a source field of that name."
        ),
    ] = None
    lag: Annotated[
        Annotated[str | int, BeforeValidator(_read_lag), WithJsonSchema(_LAG_SCHEMA)] | None,
        Field(
            description="With `by: column` and merge: take so much again below the highest value, "
            "for records that come late: 1 hour, 2 days, or a number."
        ),
    ] = None
    start: Annotated[
        Annotated[str | int, BeforeValidator(_read_start), WithJsonSchema(_START_SCHEMA)] | None,
        Field(description="With `by: column`: where the first run starts; everything when absent."),
    ] = None
    max_files: Annotated[
        Annotated[int, Field(strict=True, ge=1)] | None,
        Field(description="With `by: new_files`: the most files that one run takes, by name."),
    ] = None

    @property
    def follows(self) -> bool:
        """Whether a run goes on where the last load of the pipeline ended."""
        return self.by != "data_interval"

    @model_validator(mode="after")
    def _fits(self) -> Incremental:
        faults = Faults()
        if self.column is None and self.by != "new_files":
            faults.add(("column",), f"is missing: what {self.by} looks at")
        for key, words in BELONGS_TO.items():
            if getattr(self, key) is not None and self.by not in words:
                where = " or ".join(f"`by: {word}`" for word in words)
                faults.add((key,), f"goes with {where}, not with `by: {self.by}`")
        if isinstance(self.lag, int) and isinstance(self.start, str):
            faults.add(("lag",), "is a number, and start is a time")
        if isinstance(self.lag, str) and isinstance(self.start, int):
            faults.add(("lag",), "is a span of time, and start is a number")
        faults.report()
        return self
