"""The logical plan: contract and rules turned into steps and checks, before any dialect.

A plan says what happens to one record of the source: is it kept (filter, data interval), which
value does each target column get, and which checks can reject it. Backends render it; the record
accounting holds for every one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_etl_provider.contracts.conversions import Conversion
    from airflow_etl_provider.contracts.mapping import OnFailure
    from airflow_etl_provider.contracts.rules import (
        Between,
        InSet,
        Length,
        LoadExpression,
        Matches,
        NotNull,
        NullShare,
        RowExpression,
        Severity,
    )
    from airflow_etl_provider.contracts.schema import Limit, Schema
    from airflow_etl_provider.contracts.types import LogicalType

__all__ = [
    "DeleteNotComputed",
    "Deletes",
    "DoesNotFit",
    "Duplicate",
    "Interval",
    "IsNull",
    "KeyLookup",
    "LoadCheck",
    "NotComputed",
    "NotConverted",
    "OutsideInterval",
    "Plan",
    "PlannedColumn",
    "RowCheck",
    "RuleBroken",
    "Step",
    "Test",
    "UniqueKey",
    "Unstorable",
    "WrongKey",
]


@dataclass(frozen=True, slots=True)
class Step:
    """One conversion of one column; its inputs are the source fields or the step before."""

    conversion: Conversion
    input_types: tuple[LogicalType, ...]
    output: LogicalType
    word: str


@dataclass(frozen=True, slots=True)
class PlannedColumn:
    """How one target column gets its value.

    :param inputs: positions of the source fields that the first step takes.
    :param when: SQL over source fields; the value is NULL where it is not true.
    :param type: what the target stores.
    """

    name: str
    type: LogicalType
    inputs: tuple[int, ...]
    steps: tuple[Step, ...]
    when: str | None
    on_failure: OnFailure
    default: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class NotConverted:
    """Step `step` of column `column` (positions) gave nothing for something."""

    column: int
    step: int


@dataclass(frozen=True, slots=True)
class DoesNotFit:
    """The text of column `column` is longer than the target holds, in characters."""

    column: int
    length: int


@dataclass(frozen=True, slots=True)
class Unstorable:
    """Column `column` holds a value that the target can't, though its type has it."""

    column: int
    limit: Limit


@dataclass(frozen=True, slots=True)
class IsNull:
    """Column `column` is NULL where the target or the key allows none."""

    column: int


@dataclass(frozen=True, slots=True)
class OutsideInterval:
    """The column of the interval has no place in any, so no run would ever take the record."""


@dataclass(frozen=True, slots=True)
class RuleBroken:
    """A rule on the row does not hold.

    :param whole: the check that `check` is one end of: cheaper to ask than both ends.
    """

    check: NotNull | InSet | Between | Matches | Length | RowExpression
    whole: Between | Length | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An earlier record of the load has the same values in `columns`."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WrongKey:
    """The values in `columns` are in the target already, or not in the table they refer to."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotComputed:
    """A condition raises on the record: the filter, or the `when` of column `column`."""

    column: int | None


@dataclass(frozen=True, slots=True)
class DeleteNotComputed:
    """The condition that says whether the record deletes raises on it."""


Test = (
    NotConverted
    | DoesNotFit
    | Unstorable
    | IsNull
    | OutsideInterval
    | NotComputed
    | DeleteNotComputed
    | RuleBroken
    | Duplicate
    | WrongKey
)


@dataclass(frozen=True, slots=True)
class RowCheck:
    """One way in which a record can fail; `severity` says what follows.

    :param message: what is wrong with the record, without a value of it.
    :param rule: what people call the rule that the check is a part of, None where it is of none.
    """

    code: str
    column: str | None
    step: str | None
    message: str
    severity: Severity
    test: Test
    rule: str | None = None

    @property
    def label(self) -> str:
        """How reports count it: the code, with the column where there is one."""
        return f"{self.code}:{self.column}" if self.column else self.code


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """Columns whose values may occur once in the load.

    :param latest_by: the newest survives and the others count as deduplicated; without it the
        first by position survives and the others are rejected.
    :param with_deletes: records that delete take part, too.
    """

    columns: tuple[str, ...]
    latest_by: str | None
    check: RowCheck | None
    with_deletes: bool = False


@dataclass(frozen=True, slots=True)
class Deletes:
    """Records that delete the row of their key.

    :param when: SQL over source fields.
    :param needs: positions of the target columns that such a record must have a value for or that
        say whether it is kept. All others are NULL in it, and no check of theirs is made.
    """

    when: str
    needs: frozenset[int]


@dataclass(frozen=True, slots=True)
class KeyLookup:
    """Keys of the load that are looked up in a table of the target's database.

    :param table: as people write it; None is the table that is loaded.
    :param table_columns: its columns, in the order of `columns`.
    :param wanted: `absent`: a row whose key is there fails; `present`: one whose key is not.
    """

    columns: tuple[str, ...]
    table: str | None
    table_columns: tuple[str, ...]
    wanted: Literal["absent", "present"]
    check: RowCheck


@dataclass(frozen=True, slots=True)
class Interval:
    """Keep records whose `column` is in [start, end).

    :param kind: what the values are compared as; a date or a time without a zone as UTC.
    :param start: None where nothing is too low; `end` likewise. Instants have a time zone.
    :param marked: the backend tells the values of the good rows (`Verdicts.marks`).
    """

    column: str
    scope: Literal["source", "target"]
    kind: Literal["instant", "integer"]
    start: datetime | int | None
    end: datetime | int | None
    marked: bool = False


@dataclass(frozen=True, slots=True)
class LoadCheck:
    """A condition on the whole load."""

    code: str
    message: str
    severity: Severity
    check: NullShare | LoadExpression
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a backend needs to know to turn source records into target rows.

    :param judges_all: keys are compared among all rows, those that fail other checks too, since
        nothing is loaded. Otherwise only rows that would be loaded compete.
    """

    source: Schema
    target: Schema
    columns: tuple[PlannedColumn, ...]
    filter: str | None
    interval: Interval | None
    row_checks: tuple[RowCheck, ...]
    unique_keys: tuple[UniqueKey, ...]
    load_checks: tuple[LoadCheck, ...]
    lookups: tuple[KeyLookup, ...] = ()
    judges_all: bool = False
    deletes: Deletes | None = None

    @property
    def key_checks(self) -> tuple[RowCheck | None, ...]:
        """What is wrong with a row whose key gives way: of `unique_keys`, then of `lookups`."""
        return (*(key.check for key in self.unique_keys), *(one.check for one in self.lookups))

    @property
    def absent_keys(self) -> tuple[tuple[str, ...], ...]:
        """Keys that the target may not have when the load is published."""
        return tuple(
            one.columns
            for one in self.lookups
            if one.wanted == "absent" and one.check.severity != "warn"
        )

    @property
    def width(self) -> int:
        """The columns of the wider side."""
        return max(len(self.source), len(self.target))

    @property
    def rejecting(self) -> tuple[int, ...]:
        """Positions of the checks that keep a row out of the target."""
        return tuple(i for i, c in enumerate(self.row_checks) if c.severity != "warn")

    @property
    def warning(self) -> tuple[int, ...]:
        return tuple(i for i, c in enumerate(self.row_checks) if c.severity == "warn")
