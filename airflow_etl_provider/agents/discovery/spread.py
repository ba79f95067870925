"""How the values of a column spread, and the hashes that it is compared with others by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_etl_provider.contracts.types import Kind

__all__ = ["HASHES", "hash_of", "hash_probe", "hashes_of", "in_words", "length_of", "number_of"]

HASHES = 4096
"""That are held while all rows are counted; values that are there thirty times leave a sketch of
its full size."""


def in_words(text: exp.Expr, words: Collection[str]) -> exp.In:
    """Whether a text is one of the words that stand for NULL."""
    literals = [exp.Literal.string(word) for word in sorted(words)]
    return exp.In(this=text.copy(), expressions=literals)


def hashes_of(text: exp.Expr, nulls: Collection[str]) -> exp.Expr:
    """Give the aggregate of the smallest hashes of texts; one that is there twice, twice.

    Nothing is sorted and nothing is made distinct: of a billion values it holds so many hashes.
    """
    smallest = exp.Anonymous(this="min", expressions=[_hash(text), exp.Literal.number(HASHES)])
    return exp.Filter(this=smallest, expression=exp.Where(this=_there(text, nulls)))


def hash_of(text: exp.Expr, nulls: Collection[str]) -> exp.Expr:
    """Give the hash of each text, NULL where it stands for no value."""
    return _where_there(_hash(text), text, nulls)


def hash_probe() -> exp.Expr:
    """Give what tells two ways of hashing apart: another version of the engine may have another."""
    return exp.Anonymous(this="hash", expressions=[exp.Literal.string("airflow-etl")])


def number_of(value: exp.Expr, text: exp.Expr, nulls: Collection[str], *, kind: Kind) -> exp.Expr:
    """Give each value as a number; dates and times in seconds.

    :param value: what is ordered, in its own type.
    :param text: the same as it is written.
    """
    if kind in ("date", "timestamp", "timestamptz", "time"):
        number: exp.Expr = exp.Anonymous(this="epoch", expressions=[value])
    else:
        number = exp.TryCast(this=value, to=exp.DataType.build("double", dialect="duckdb"))
    return _where_there(number, text, nulls)


def length_of(text: exp.Expr, nulls: Collection[str]) -> exp.Expr:
    """Give the length of each text, in characters."""
    return _where_there(exp.Length(this=text.copy()), text, nulls)


def _hash(text: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this="hash", expressions=[text.copy()])


def _where_there(value: exp.Expr, text: exp.Expr, nulls: Collection[str]) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=_there(text, nulls), true=value)])


def _there(text: exp.Expr, nulls: Collection[str]) -> exp.Expr:
    there: exp.Expr = exp.Not(this=exp.Is(this=text.copy(), expression=exp.Null()))
    return exp.and_(there, exp.Not(this=in_words(text, nulls))) if nulls else there
