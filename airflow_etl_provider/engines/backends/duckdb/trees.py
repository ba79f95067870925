"""Small pieces of DuckDB's SQL as trees, built so that every sqlglot renders them as written."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "atom",
    "call",
    "cast",
    "check_regex",
    "check_zone",
    "choose",
    "is_null",
    "matches",
    "not_null",
    "number",
    "one_of",
    "text",
    "try_",
    "try_cast",
    "when",
]

_ATOMS = (
    exp.Column,
    exp.Literal,
    exp.Anonymous,
    exp.Paren,
    exp.Cast,
    exp.Case,
    exp.Null,
    exp.Boolean,
)


def atom(tree: exp.Expr) -> exp.Expr:
    """A copy that can stand next to any operator."""
    copy = tree.copy()
    return copy if isinstance(copy, _ATOMS) else exp.Paren(this=copy)


def call(name: str, *arguments: exp.Expr) -> exp.Expr:
    """A DuckDB function by its own name, whatever the dialect layer thinks of it."""
    return exp.Anonymous(this=name, expressions=[argument.copy() for argument in arguments])


def text(value: str) -> exp.Expr:
    """Give a text literal; the dialect escapes it."""
    return exp.Literal.string(value)


def number(value: int) -> exp.Expr:
    """Give a whole number."""
    if value < 0:
        return exp.Paren(this=exp.Neg(this=exp.Literal.number(-value)))
    return exp.Literal.number(value)


def cast(tree: exp.Expr, to: LogicalType) -> exp.Expr:
    """Cast what can't fail."""
    return exp.Cast(this=tree.copy(), to=to_duckdb(to))


def try_cast(tree: exp.Expr, to: LogicalType) -> exp.Expr:
    """Cast by DuckDB's own rules, NULL where they fail."""
    return exp.TryCast(this=tree.copy(), to=to_duckdb(to))


def try_(tree: exp.Expr) -> exp.Expr:
    """NULL where the computation fails; must not hold a volatile function."""
    return call("try", tree)


def when(condition: exp.Expr, value: exp.Expr) -> exp.Expr:
    """The value where the condition holds, else NULL."""
    return choose((condition, value))


def choose(*branches: tuple[exp.Expr, exp.Expr], otherwise: exp.Expr | None = None) -> exp.Expr:
    """The value of the first branch whose condition holds."""
    return exp.Case(
        ifs=[exp.If(this=test.copy(), true=value.copy()) for test, value in branches],
        default=otherwise.copy() if otherwise is not None else None,
    )


def is_null(tree: exp.Expr) -> exp.Expr:
    """Whether it is NULL."""
    return exp.Is(this=atom(tree), expression=exp.Null())


def not_null(tree: exp.Expr) -> exp.Expr:
    """Whether it is a value."""
    return exp.Not(this=exp.Paren(this=is_null(tree)))


HASHED_FROM = 64
"""How many values make a hash table cheaper than comparing one by one."""


def one_of(tree: exp.Expr, values: Sequence[exp.Expr]) -> exp.Expr:
    """Whether it is one of the values; NULL for NULL.

    DuckDB makes a join of `IN`, which computes `tree` for every row, also in a branch that few
    rows reach: some text read as bool took twenty times as long by it.
    """
    if len(values) >= HASHED_FROM:
        return exp.In(this=atom(tree), expressions=[value.copy() for value in values])
    return call("list_contains", call("list_value", *values), tree)


def matches(tree: exp.Expr, pattern: str) -> exp.Expr:
    """Whether the whole text is as the regular expression (RE2) says."""
    return call("regexp_full_match", tree, text(pattern))


@functools.lru_cache(maxsize=256)
def check_regex(pattern: str) -> None:
    """Refuse a pattern that the engine can't read.

    :raises SpecificationError: with what is wrong with it.
    """
    _ask(f"Regular expression {pattern!r}", call("regexp_matches", text(""), text(pattern)))


@functools.lru_cache(maxsize=256)
def check_zone(name: str) -> None:
    """Refuse a time zone that the engine does not know.

    :raises SpecificationError: it is not in the engine's own database.
    """
    epoch = cast(text("1970-01-01"), LogicalType("timestamp"))
    _ask(f"Time zone {name!r}", call("timezone", text(name), epoch))


def _ask(what: str, tree: exp.Expr) -> None:
    import duckdb

    connection = duckdb.connect(config={"enable_external_access": "false", "threads": "1"})
    try:
        connection.execute(exp.select(tree).sql(dialect="duckdb")).fetchall()
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise SpecificationError(f"{what} is not understood: {reason}") from error
    finally:
        connection.close()
