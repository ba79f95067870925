"""Rules: conditions on rows or on the whole load, with a severity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    model_validator,
)

from airflow_etl_provider.contracts.checks import (
    Between,
    Check,
    InSet,
    Length,
    LoadExpression,
    Matches,
    NotNull,
    NullShare,
    References,
    RowExpression,
    Unique,
)
from airflow_etl_provider.contracts.patterns import PATTERNS, regex_of
from airflow_etl_provider.contracts.problem import found
from airflow_etl_provider.contracts.references import ReferenceKey
from airflow_etl_provider.contracts.spec import (
    Faults,
    Flag,
    Names,
    Share,
    Spec,
    Text,
    Words,
    read_scalar,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "LOAD_NAMES",
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
    "Rule",
    "Severity",
    "Unique",
]

Severity = Literal["quarantine", "warn", "fail"]

LOAD_NAMES = (
    "rows",
    "rows_read",
    "rows_quarantined",
    "rows_filtered",
    "rows_deduplicated",
    "rows_deleted",
)
"""What the expression of a load rule may name; `rows` are those about to be loaded."""


def _read_set(value: object) -> tuple[str | int | float | bool, ...]:
    items = value if isinstance(value, list | tuple) else (value,)
    if not items:
        raise ValueError("is empty; no row could pass")
    if any(item is None for item in items):
        raise ValueError("holds null, which passes anyway; add not_null to refuse it")
    return tuple(read_scalar(item) for item in items)


Limits = tuple[str | int | float | bool | None, str | int | float | bool | None]


def _read_limits(value: object) -> Limits:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"found {found(value)}; expected two limits such as [0, 100], [0, null]")
    low, high = (None if item is None else read_scalar(item) for item in value)
    if low is None and high is None:
        raise ValueError("has no limit at all")
    numbers = isinstance(low, int | float) and isinstance(high, int | float)
    if (isinstance(low, str) and high is not None and not isinstance(high, str)) or (
        isinstance(high, str) and low is not None and not isinstance(low, str)
    ):
        raise ValueError("has limits of two kinds; write both as numbers or both as text")
    if numbers and low > high:  # type: ignore[operator]
        raise ValueError(f"starts at {low}, which is above its end {high}")
    return low, high


LengthLimits = tuple[int | None, int | None]


def _read_length(value: object) -> LengthLimits:
    if isinstance(value, dict) and value and set(value) <= {"min", "max"}:
        limits = [value.get("min"), value.get("max")]
    elif isinstance(value, list | tuple) and len(value) == 2:
        limits = list(value)
    else:
        raise ValueError(
            f"found {found(value)}; expected {{ min: 1, max: 20 }} or [1, 20] (null for no limit)"
        )
    for limit in limits:
        if limit is not None and (type(limit) is not int or limit < 0):
            raise ValueError(f"found {found(limit)}; expected a number of characters")
    low, high = limits
    if low is None and high is None:
        raise ValueError("has no limit at all")
    if low is not None and high is not None and low > high:
        raise ValueError(f"starts at {low}, which is above its end {high}")
    return low, high


def _check_pattern(value: str) -> str:
    regex_of(value)
    return value


_SCALAR = {"type": ["string", "number", "boolean"]}
_LIMIT = {"type": ["string", "number", "boolean", "null"]}
_CHARACTERS = {"type": ["integer", "null"], "minimum": 0}
_PAIR = {"type": "array", "minItems": 2, "maxItems": 2, "not": {"items": {"type": "null"}}}

_Set = Annotated[
    tuple[str | int | float | bool, ...],
    BeforeValidator(_read_set),
    WithJsonSchema({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}]}),
]

_Limits = Annotated[
    Limits, BeforeValidator(_read_limits), WithJsonSchema(_PAIR | {"items": _LIMIT})
]

_Pattern = Annotated[
    Text,
    AfterValidator(_check_pattern),
    WithJsonSchema(
        {
            "type": "string",
            "anyOf": [{"enum": list(PATTERNS)}, {"pattern": r"[^A-Za-z0-9_]|^[0-9]"}],
        }
    ),
]

_Length = Annotated[
    LengthLimits,
    BeforeValidator(_read_length),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {
                        "min": _CHARACTERS | {"description": "Fewest characters."},
                        "max": _CHARACTERS | {"description": "Most characters."},
                    },
                    "additionalProperties": False,
                    "anyOf": [
                        {"required": ["min"], "properties": {"min": {"type": "integer"}}},
                        {"required": ["max"], "properties": {"max": {"type": "integer"}}},
                    ],
                },
                _PAIR | {"items": _CHARACTERS},
            ]
        }
    ),
]

_SUBJECTS = ("column", "columns", "rows", "load")
_ROW_CHECKS = ("not_null", "unique", "in_set", "between", "matches", "length", "references")
_KEY_CHECKS = ("unique", "references")


class Rule(Spec):
    """A condition: on a column, on several together, on the rows, or on the whole load.

    Exactly one subject (`column`, `columns`, `rows`, `load`); a column may have several checks,
    which `checks` gives one by one.
    """

    column: Annotated[Text | None, Field(description="The target column that is checked.")] = None
    columns: Annotated[
        Names,
        Field(
            description="Several target columns that are unique together, or a key of another "
            "table: needs `unique: true` or `references`."
        ),
    ] = ()
    rows: Annotated[
        Text | None,
        Field(description="An SQL condition over the target columns of one row. NULL passes."),
    ] = None
    load: Annotated[
        Text | None,
        Field(
            description=f"An SQL condition over the counts of the load: {', '.join(LOAD_NAMES)}."
        ),
    ] = None
    not_null: Annotated[Flag, Field(description="Every row has a value.")] = False
    unique: Annotated[
        Flag,
        Field(
            description="No value twice within the load and, in append mode, none that the target "
            "has; rows without a value pass."
        ),
    ] = False
    in_set: Annotated[_Set | None, Field(description="The values that are allowed.")] = None
    between: Annotated[
        _Limits | None,
        Field(description="Lowest and highest value, both allowed; null is no limit."),
    ] = None
    matches: Annotated[
        _Pattern | None,
        Field(
            description="The form of the whole text: a named pattern or a regular expression (RE2)."
        ),
    ] = None
    length: Annotated[
        _Length | None,
        Field(description="How many characters the text has: [1, 20] or { min: 1, max: 20 }."),
    ] = None
    max_null_share: Annotated[
        Share | None,
        Field(description="The largest share of loaded rows without a value: 5% or 0.05."),
    ] = None
    references: Annotated[
        ReferenceKey,
        Field(
            description="A column of a table of the target's database that has the value: "
            "customers.id, sales.customers.id or { table: customers, column: id }."
        ),
    ] = None
    severity: Annotated[
        Severity,
        Words(("quarantine", "warn", "fail")),
        Field(
            description="What follows when it does not hold: the row is quarantined (default for "
            "rows), it is counted, or nothing is published (default for the load)."
        ),
    ] = "quarantine"
    name: Annotated[Text | None, Field(description="What reports call the rule.")] = None

    @model_validator(mode="before")
    @classmethod
    def _default_severity(cls, data: Any) -> Any:
        """Let a rule about the load stop the load where nothing is said."""
        if not isinstance(data, dict) or "severity" in data:
            return data
        about_load = data.get("load") is not None or data.get("max_null_share") is not None
        return data | {"severity": "fail"} if about_load else data

    @model_validator(mode="after")
    def _fits(self) -> Rule:
        faults = Faults()
        subjects = [name for name in _SUBJECTS if getattr(self, name)]
        checks = [name for name in _ROW_CHECKS if getattr(self, name) not in (None, False)]
        share = self.max_null_share is not None
        if len(subjects) != 1:
            what = f"found {' and '.join(subjects)}" if subjects else "found none"
            faults.add((), f"a rule is about one of {', '.join(_SUBJECTS)}; {what}")
        elif self.columns and not (checks and set(checks) <= set(_KEY_CHECKS)):
            faults.add(("columns",), "takes `unique: true` or `references`, and no other check")
        elif self.column and not checks and not share:
            allowed = ", ".join([*_ROW_CHECKS, "max_null_share"])
            faults.add((), f"says nothing about column {self.column!r}; add one of {allowed}")
        elif (self.rows or self.load) and (checks or share):
            extra = (checks or ["max_null_share"])[0]
            faults.add((extra,), f"belongs to a column, and this rule is about `{subjects[0]}`")
        width = len(self.columns) or 1
        if self.references is not None and len(self.references.columns) != width:
            faults.add(
                ("references",),
                f"names {len(self.references.columns)} columns for {width} of the rule; write "
                "{ table: t, columns: [x, y] }",
            )
        if share and checks:
            faults.add(
                ("max_null_share",), "is about the whole load; write it as a rule of its own"
            )
        if self.severity == "quarantine" and (self.load or (share and not checks)):
            faults.add(("severity",), "a rule about the whole load is warn or fail")
        faults.report()
        return self

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks of this rule, one by one."""
        return tuple(self._each())

    def _each(self) -> Iterator[Check]:
        if self.rows is not None:
            yield RowExpression(self.rows)
        if self.load is not None:
            yield LoadExpression(self.load)
        if self.columns and self.unique:
            yield Unique(self.columns)
        if self.column is not None:
            yield from self._each_of(self.column)
        if self.references is not None:
            yield References(self.columns or (self.column or "",), self.references)

    def _each_of(self, column: str) -> Iterator[Check]:
        if self.not_null:
            yield NotNull(column)
        if self.unique:
            yield Unique((column,))
        if self.in_set is not None:
            yield InSet(column, self.in_set)
        if self.between is not None:
            yield Between(column, *self.between)
        if self.matches is not None:
            yield Matches(column, self.matches, regex_of(self.matches))
        if self.length is not None:
            yield Length(column, *self.length)
        if self.max_null_share is not None:
            yield NullShare(column, self.max_null_share)
