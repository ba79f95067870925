"""A difference between two looks at one dataset, and how much it matters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_etl_provider.contracts.drift import Effect

__all__ = [
    "CHANGE_KINDS",
    "SCHEMA_KINDS",
    "SEVERITIES",
    "ChangeKind",
    "DataChange",
    "Severity",
    "worst",
]

ChangeKind = Literal[
    "column_added",
    "column_removed",
    "column_renamed",
    "type_widened",
    "type_narrowed",
    "type_changed",
    "format_changed",
    "nullability_changed",
    "order_changed",
    "key_changed",
    "key_lost",
    "value_added",
    "value_removed",
    "partitioning_changed",
    "dialect_changed",
    "volume_changed",
    "emptied",
    "null_share_changed",
    "broken_share_changed",
    "distribution_changed",
    "late",
]

CHANGE_KINDS: tuple[ChangeKind, ...] = get_args(ChangeKind)

SCHEMA_KINDS = frozenset(
    {
        "column_added",
        "column_removed",
        "column_renamed",
        "type_widened",
        "type_narrowed",
        "type_changed",
        "order_changed",
    }
)
"""What makes another schema version; all others are changes of the data in it."""

Severity = Literal["info", "warning", "critical"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True, slots=True)
class DataChange:
    """One typed difference.

    :param column: as it is called now; None where it concerns the whole dataset.
    :param was: a name, a type, a share, a count, ...; never a value of a personal column.
    :param evidence: what shows it: the test, its p-value and the size of the effect.
    :param breaks: the pipelines and contracts that read the column.
    """

    kind: ChangeKind
    effect: Effect
    severity: Severity
    message: str
    column: str | None = None
    was: Any = None
    now: Any = None
    evidence: dict[str, Any] = field(default_factory=dict)
    breaks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON of the command and of the schema history."""
        return {
            "kind": self.kind,
            "column": self.column,
            "effect": self.effect,
            "severity": self.severity,
            "message": self.message,
            "was": self.was,
            "now": self.now,
            "evidence": self.evidence,
            "breaks": list(self.breaks),
        }


def worst(changes: Iterable[DataChange]) -> Severity | None:
    """Give the highest severity; None where nothing changed."""
    found = {change.severity for change in changes}
    return next((one for one in reversed(SEVERITIES) if one in found), None)
