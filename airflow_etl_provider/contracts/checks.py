"""The checks that rules are made of: what each says, and what is wrong where it does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from airflow_etl_provider.contracts.patterns import PATTERNS
from airflow_etl_provider.contracts.problem import found

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.references import Reference

__all__ = [
    "Between",
    "Check",
    "InSet",
    "Length",
    "LoadExpression",
    "Matches",
    "NotNull",
    "NullShare",
    "References",
    "RowExpression",
    "Unique",
]


@dataclass(frozen=True, slots=True)
class NotNull:
    """The column has a value in every row."""

    column: str
    code: ClassVar[str] = "rule:not_null"

    def describe(self) -> str:
        return f"{self.column} is not null"

    @property
    def breach(self) -> str:
        return f"{self.column} has no value"


@dataclass(frozen=True, slots=True)
class Unique:
    """No two rows of the load have the same values in the columns; rows with a NULL there pass."""

    columns: tuple[str, ...]
    code: ClassVar[str] = "rule:unique"

    def describe(self) -> str:
        return f"{_named(self.columns)} is unique"

    @property
    def breach(self) -> str:
        return f"{_named(self.columns)} occurs in an earlier record"

    @property
    def breach_in_target(self) -> str:
        """What is wrong with a row whose key another load brought before."""
        return f"{_named(self.columns)} is in the target already"


@dataclass(frozen=True, slots=True)
class References:
    """The values together are a key of another table; rows with a NULL there pass."""

    columns: tuple[str, ...]
    reference: Reference
    code: ClassVar[str] = "rule:references"

    def describe(self) -> str:
        return f"{_named(self.columns)} is in {self.reference}"

    @property
    def breach(self) -> str:
        return f"{_named(self.columns)} is not in {self.reference}"


@dataclass(frozen=True, slots=True)
class InSet:
    """The value is one of a list."""

    column: str
    values: tuple[str | int | float | bool, ...]
    code: ClassVar[str] = "rule:in_set"

    def describe(self) -> str:
        return f"{self.column} is one of {self._shown}"

    @property
    def breach(self) -> str:
        return f"{self.column} is none of {self._shown}"

    @property
    def _shown(self) -> str:
        shown = ", ".join(_show(value) for value in self.values[:10])
        more = f", ... ({len(self.values)} in all)" if len(self.values) > 10 else ""
        return f"{shown}{more}"


@dataclass(frozen=True, slots=True)
class Between:
    """The value lies between two limits, both included; None is no limit."""

    column: str
    low: str | int | float | bool | None
    high: str | int | float | bool | None
    code: ClassVar[str] = "rule:between"

    def describe(self) -> str:
        if self.low is None:
            return f"{self.column} is at most {_show(self.high)}"
        if self.high is None:
            return f"{self.column} is at least {_show(self.low)}"
        return f"{self.column} is between {_show(self.low)} and {_show(self.high)}"

    @property
    def breach(self) -> str:
        if self.low is None:
            return f"{self.column} is above {_show(self.high)}"
        if self.high is None:
            return f"{self.column} is below {_show(self.low)}"
        return f"{self.column} is not between {_show(self.low)} and {_show(self.high)}"

    @property
    def ends(self) -> tuple[Between, ...]:
        """A check for each limit, so that a reason can say which one was broken."""
        low = Between(self.column, self.low, None) if self.low is not None else None
        high = Between(self.column, None, self.high) if self.high is not None else None
        return tuple(end for end in (low, high) if end is not None)


@dataclass(frozen=True, slots=True)
class Matches:
    """The whole text has the form of a pattern.

    :param pattern: as written: a name or a regular expression.
    :param regex: the regular expression in RE2's syntax.
    """

    column: str
    pattern: str
    regex: str
    code: ClassVar[str] = "rule:matches"

    def describe(self) -> str:
        if self.pattern in PATTERNS:
            return f"{self.column} looks like {self.pattern}"
        return f"{self.column} matches {self.pattern}"

    @property
    def breach(self) -> str:
        if self.pattern in PATTERNS:
            return f"{self.column} does not look like {self.pattern}"
        return f"{self.column} does not match {self.pattern}"


@dataclass(frozen=True, slots=True)
class Length:
    """The text has so many characters, both ends included; None is no limit."""

    column: str
    min: int | None
    max: int | None
    code: ClassVar[str] = "rule:length"

    def describe(self) -> str:
        if self.min == self.max:
            return f"{self.column} has {self.min} characters"
        if self.min is None:
            return f"{self.column} has at most {self.max} characters"
        if self.max is None:
            return f"{self.column} has at least {self.min} characters"
        return f"{self.column} has {self.min} to {self.max} characters"

    @property
    def breach(self) -> str:
        if self.min is None:
            return f"{self.column} has more than {self.max} characters"
        if self.max is None:
            return f"{self.column} has fewer than {self.min} characters"
        return f"{self.column} has not {self.min} to {self.max} characters"

    @property
    def ends(self) -> tuple[Length, ...]:
        """A check for each limit, so that a reason can say which one was broken."""
        least = Length(self.column, self.min, None) if self.min is not None else None
        most = Length(self.column, None, self.max) if self.max is not None else None
        return tuple(end for end in (least, most) if end is not None)


@dataclass(frozen=True, slots=True)
class RowExpression:
    """An SQL condition over the target columns of one row; NULL passes."""

    sql: str
    code: ClassVar[str] = "rule:rows"

    def describe(self) -> str:
        return self.sql

    @property
    def breach(self) -> str:
        return f"{self.sql} does not hold"


@dataclass(frozen=True, slots=True)
class NullShare:
    """Of the rows to be loaded, at most this share has no value in the column."""

    column: str
    share: float
    code: ClassVar[str] = "rule:null_share"

    def describe(self) -> str:
        return f"at most {self.share * 100:g} % of {self.column} is null"

    @property
    def breach(self) -> str:
        return f"more than {self.share * 100:g} % of {self.column} is null"


@dataclass(frozen=True, slots=True)
class LoadExpression:
    """An SQL condition over the counts of the load (`LOAD_NAMES`)."""

    sql: str
    code: ClassVar[str] = "rule:load"

    def describe(self) -> str:
        return self.sql

    @property
    def breach(self) -> str:
        return f"{self.sql} does not hold"


Check = (
    NotNull
    | Unique
    | InSet
    | Between
    | Matches
    | Length
    | References
    | RowExpression
    | NullShare
    | LoadExpression
)


def _show(value: object) -> str:
    return repr(value) if isinstance(value, str) else found(value)


def _named(columns: tuple[str, ...]) -> str:
    return columns[0] if len(columns) == 1 else f"({', '.join(columns)})"
