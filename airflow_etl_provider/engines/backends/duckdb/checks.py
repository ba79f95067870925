"""Checks as DuckDB trees: each is true for a row that fails, and never NULL."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.contracts.rules import (
    Between,
    InSet,
    Length,
    Matches,
    NotNull,
    RowExpression,
)
from airflow_etl_provider.engines.backends.duckdb.trees import one_of
from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_etl_provider.contracts.schema import Limit
    from airflow_etl_provider.contracts.types import LogicalType

__all__ = [
    "any_of",
    "call",
    "is_false",
    "is_null",
    "render_rule",
    "render_unstorable",
    "value_literal",
]


def call(name: str, *arguments: exp.Expr) -> exp.Expr:
    """A DuckDB function by its own name, whatever the dialect layer thinks of it."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def is_null(value: exp.Expr) -> exp.Expr:
    """True where there is no value."""
    return exp.Is(this=exp.paren(value.copy()), expression=exp.null())


def is_not_null(value: exp.Expr) -> exp.Expr:
    """True where there is a value."""
    return exp.Not(this=is_null(value))


def is_false(condition: exp.Expr) -> exp.Expr:
    """True where the condition is false; a NULL condition passes a rule."""
    return exp.Not(
        this=exp.paren(call("coalesce", exp.paren(condition.copy()), exp.Boolean(this=True)))
    )


def any_of(conditions: list[exp.Expr]) -> exp.Expr:
    """True where one of them is; false where there are none."""
    if not conditions:
        return exp.Boolean(this=False)
    return exp.or_(*[exp.paren(c) for c in conditions])


def value_literal(value: object, of: LogicalType) -> exp.Expr:
    """A constant that a person wrote, as a value of the column's type."""
    if value is None:
        return exp.null()
    if isinstance(value, bool):
        inner: exp.Expr = exp.Boolean(this=value)
    elif isinstance(value, int | float | Decimal):
        inner = exp.Literal.string(str(value))
    elif isinstance(value, datetime | date | time):
        inner = exp.Literal.string(value.isoformat())
    else:
        inner = exp.Literal.string(str(value))
    return exp.Cast(this=inner, to=to_duckdb(of))


def render_rule(
    check: NotNull | InSet | Between | Matches | Length | RowExpression,
    *,
    column: Callable[[str], tuple[exp.Expr, LogicalType]],
    bind: Callable[[str], exp.Expr],
    constant: Callable[[object, LogicalType], exp.Expr],
) -> exp.Expr:
    """The condition that a row breaks the rule.

    :param column: gives tree and type of a target column.
    :param bind: gives the checked tree of an SQL condition over target columns.
    :param constant: gives a constant of the rule as a value of the column's type.
    """
    if isinstance(check, RowExpression):
        return is_false(bind(check.sql))
    value, of = column(check.column)
    if isinstance(check, NotNull):
        return is_null(value)
    if isinstance(check, InSet):
        allowed = [constant(v, of) for v in check.values]
        return is_false(one_of(value, allowed))
    if isinstance(check, Between):
        bounds: list[exp.Expr] = []
        if check.low is not None:
            bounds.append(exp.GTE(this=value.copy(), expression=constant(check.low, of)))
        if check.high is not None:
            bounds.append(exp.LTE(this=value.copy(), expression=constant(check.high, of)))
        return is_false(exp.and_(*bounds))
    if isinstance(check, Matches):
        pattern = exp.Literal.string(check.regex)
        return is_false(call("regexp_full_match", value.copy(), pattern))
    length = call("length", value.copy())
    bounds = []
    if check.min is not None:
        bounds.append(exp.GTE(this=length.copy(), expression=exp.Literal.number(check.min)))
    if check.max is not None:
        bounds.append(exp.LTE(this=length.copy(), expression=exp.Literal.number(check.max)))
    return is_false(exp.and_(*bounds))


_FIRST_DAY, _LAST_DAY = "4714-11-24 (BC)", "5874897-12-31"
"""PostgreSQL's dates. Its timestamps begin on the same day, and end later than DuckDB's."""

_NUL_ESCAPE = r"(^|[^\\])(\\\\)*\\u0000"
"""The escape of NUL, behind an even number of backslashes: after an odd one it is text."""

_MAYBE_LARGE = r"[0-9][eE][+-]?[0-9]{5}"
_LARGE = r"[eE]([+]?0*[1-9][0-9]{5}|-0*(1[6-9]|[2-9][0-9])[0-9]{3}|-0*[1-9][0-9]{5})"
_TEXT_IN_JSON = r'"([^"\\]|\\.)*"'
_MANY_DIGITS = 16_000
"""Numbers in jsonb have at most 131,072 digits before the point and 16,383 behind it."""


def render_unstorable(value: exp.Expr, of: LogicalType, *, limit: Limit) -> exp.Expr:
    """The condition that PostgreSQL can't hold a value, cheap where it can."""
    if limit == "text":
        text = call("array_to_string", value, _text("")) if of.element is not None else value
        return _known(call("contains", text, call("chr", exp.Literal.number(0))))
    if limit == "jsonb":
        text = call("array_to_string", value, _text(",")) if of.element is not None else value
        return _known(_breaks_jsonb(exp.cast(text, "VARCHAR", dialect="duckdb")))
    kind = to_duckdb(of)
    first = exp.Cast(this=_text(_FIRST_DAY), to=kind)
    early = exp.and_(exp.LT(this=value.copy(), expression=first), call("isfinite", value.copy()))
    if limit == "timestamp":
        return _known(early)
    last = exp.Cast(this=_text(_LAST_DAY), to=kind.copy())
    late = exp.and_(exp.GT(this=value.copy(), expression=last), call("isfinite", value.copy()))
    return _known(exp.or_(early, late))


def _breaks_jsonb(text: exp.Expr) -> exp.Expr:
    """What DuckDB takes for JSON and jsonb refuses; each part only where a hint of it is there."""
    bare = call("regexp_replace", text.copy(), _text(_TEXT_IN_JSON), _text(""), _text("g"))
    numbers = call("regexp_extract_all", bare, _text("[.]?[0-9]+"))
    number = exp.to_identifier("number")
    too_long = exp.GT(
        this=call("length", exp.column("number")),
        expression=exp.Case(
            ifs=[
                exp.If(
                    this=call("starts_with", exp.column("number"), _text(".")),
                    true=exp.Literal.number(16_384),
                )
            ],
            default=exp.Literal.number(131_072),
        ),
    )
    long_ones = call(
        "list_filter", numbers, exp.Lambda(this=too_long, expressions=[number], colon=True)
    )
    hints = [
        (
            call("contains", text.copy(), _text("\\u0000")),
            call("regexp_matches", text.copy(), _text(_NUL_ESCAPE)),
        ),
        (
            call("regexp_matches", text.copy(), _text(_MAYBE_LARGE)),
            call("regexp_matches", bare.copy(), _text(_LARGE)),
        ),
        (
            exp.GT(this=call("length", text.copy()), expression=exp.Literal.number(_MANY_DIGITS)),
            exp.GT(this=call("len", long_ones), expression=exp.Literal.number(0)),
        ),
    ]
    return any_of(
        [
            exp.Case(ifs=[exp.If(this=hint, true=proof)], default=exp.Boolean(this=False))
            for hint, proof in hints
        ]
    )


def _known(condition: exp.Expr) -> exp.Expr:
    return call("coalesce", exp.paren(condition), exp.Boolean(this=False))


def _text(text: str) -> exp.Literal:
    return exp.Literal.string(text)
