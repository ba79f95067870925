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

    from airflow_etl_provider.contracts.types import LogicalType

__all__ = ["any_of", "call", "is_false", "is_null", "render_rule", "value_literal"]


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
