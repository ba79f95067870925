"""The run report: what came in, what went where, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["InputReport", "RunReport", "SelectReport", "Status"]

Status = Literal["done", "done_with_rejects", "already_loaded", "failed"]


@dataclass(frozen=True, slots=True)
class InputReport:
    """The accounting of one input, in records.

    `rows_selected` are handed to the select, in whose own rows they end; 0 without one.
    """

    input: str
    rows_read: int
    rows_loaded: int
    rows_quarantined: int
    rows_filtered: int
    rows_deduplicated: int = 0
    rows_deleted: int = 0
    rows_selected: int = 0
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class SelectReport:
    """Rows that went into the select, by the name of their input, and rows that came out of it."""

    rows_in: dict[str, int]
    rows_out: int


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one run did. Holds counts, codes and locations, never a value of a row.

    `rows_read == rows_loaded + rows_quarantined + rows_filtered + rows_deduplicated + rows_deleted`
    whenever `status` is not `failed`. `reasons` counts rejected records by `code` or
    `code:column` (a record with two reasons counts under both); `warnings` counts rows by rule of
    severity `warn`. `load_id` and `target` are None when the run failed before they were known.
    With a select, its rows are one of `inputs`, and `rows_read` counts them and the records of the
    other inputs that never reached it.
    """

    status: Status
    run_id: str
    pipeline: str
    load_id: str | None
    target: str | None
    rows_read: int = 0
    rows_loaded: int = 0
    rows_quarantined: int = 0
    rows_filtered: int = 0
    rows_deduplicated: int = 0
    rows_deleted: int = 0
    bytes_read: int = 0
    started_at: str | None = None
    seconds: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    quarantine: str | None = None
    inputs: tuple[InputReport, ...] = ()
    select: SelectReport | None = None
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: dict[str, str] | None = None

    @property
    def rows_per_second(self) -> float:
        return self.rows_read / self.seconds if self.seconds > 0 else 0.0

    @property
    def accounted(self) -> int:
        return (
            self.rows_loaded
            + self.rows_quarantined
            + self.rows_filtered
            + self.rows_deduplicated
            + self.rows_deleted
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with the derived figures."""
        return asdict(self) | {"rows_per_second": round(self.rows_per_second, 1)}
