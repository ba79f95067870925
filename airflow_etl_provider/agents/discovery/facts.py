"""The measured facts of a column: the aggregates that give them, and those of two inputs as one."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.agents.discovery.spread import HASHES, hashes_of, in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_etl_provider.agents.discovery.values import ValueFacts
    from airflow_etl_provider.contracts.schema import Field
    from airflow_etl_provider.contracts.types import Kind

__all__ = ["Facts", "aggregates_of", "facts_of", "merge_facts", "ordered_value"]

_NESTED = frozenset({"json", "array", "struct", "binary"})
_NARROW, _SPARE = 18, 4
_ORDERED = {
    "int64": "bigint",
    "decimal": "decimal(38,10)",
    "float64": "double",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "time": "time",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of a column over all rows.

    :param distinct: approximate; None where several inputs were counted apart.
    :param hashes: the smallest ones of all values, where they were asked for.
    """

    present: int
    null_words: int
    distinct: int | None
    minimum: str | None
    maximum: str | None
    shortest: int | None
    longest: int | None
    hashes: tuple[int, ...] | None = None


def aggregates_of(field: Field, found: ValueFacts, *, hashed: bool) -> list[exp.Expr]:
    """Give the aggregates that measure a column; `facts_of` reads what they give.

    :param hashed: whether the smallest hashes of its values are wanted too.
    """
    column = exp.column(field.name, quoted=True)
    text = _as_text(column)
    ordered = ordered_value(column, found, stored=field.type.kind)
    length = exp.Length(this=text.copy())
    return [
        exp.Count(this=column.copy()),
        exp.CountIf(this=in_words(text, found.nulls)) if found.nulls else exp.Literal.number(0),
        exp.ApproxDistinct(this=text.copy() if field.type.kind in _NESTED else column.copy()),
        *(
            (_as_text(exp.Min(this=ordered)), _as_text(exp.Max(this=ordered.copy())))
            if ordered is not None
            else (exp.Null(), exp.Null())
        ),
        *(
            (exp.Min(this=length), exp.Max(this=length.copy()))
            if field.type.kind == "string"
            else (exp.Null(), exp.Null())
        ),
        hashes_of(text, found.nulls) if hashed else exp.Null(),
    ]


def facts_of(answer: list[Any]) -> Facts:
    """Read what the aggregates of a column gave."""
    present, null_words, distinct, minimum, maximum, shortest, longest, hashes = answer
    return Facts(
        int(present or 0),
        int(null_words or 0),
        None if distinct is None else int(distinct),
        minimum,
        maximum,
        shortest,
        longest,
        None if hashes is None else tuple(hashes),
    )


def merge_facts(
    found: Sequence[ValueFacts], ones: list[list[Any]], others: list[list[Any]]
) -> list[list[Any]]:
    """Put the answers of two inputs together; counts of distinct values can't be added.

    :param found: what the values of each column are, which says how extremes compare.
    """
    merged = []
    for of, a, b in zip(found, ones, others, strict=True):
        lowest, highest, shortest, longest, hashes = (
            [one for one in (a[n], b[n]) if one is not None] for n in range(3, 8)
        )
        as_value = _comparable(of)
        merged.append(
            [
                (a[0] or 0) + (b[0] or 0),
                (a[1] or 0) + (b[1] or 0),
                None,
                min(lowest, key=as_value, default=None),
                max(highest, key=as_value, default=None),
                min(shortest, default=None),
                max(longest, default=None),
                # Of each input the smallest ones: those of both are among them.
                sorted({one for some in hashes for one in some})[:HASHES] if hashes else None,
            ]
        )
    return merged


def _comparable(found: ValueFacts) -> Callable[[str], Any]:
    """How texts of values compare; those of dates and times do as they stand."""
    if found.type.is_integer or found.type.kind == "decimal":
        return Decimal
    return float if found.type.is_number else str


def ordered_value(column: exp.Expr, found: ValueFacts, *, stored: Kind) -> exp.Expr | None:
    """Give what extremes are taken of: numbers and dates as such, also where they are text."""
    if stored in _NESTED:
        return None
    if stored != "string":
        return column.copy()
    target = _ORDERED.get(found.type.kind)
    if target is None:
        return column.copy()
    text: exp.Expr = exp.Trim(this=column.copy())
    if found.type.kind in ("date", "timestamp", "timestamptz") and found.format:
        form = exp.Literal.string(found.format.split(" | ")[0])
        text = exp.Anonymous(this="try_strptime", expressions=[text, form])
    elif found.unit or found.format:
        text = _plain_number(text, found.format or "")
    precision, scale = found.type.precision, found.type.scale
    if precision is not None and precision <= _NARROW - _SPARE:
        # Twice as fast as the widest one, with room for larger numbers than were looked at.
        target = f"decimal({_NARROW},{scale})"
    return exp.TryCast(this=text, to=exp.DataType.build(target, dialect="duckdb"))


def _plain_number(text: exp.Expr, form: str) -> exp.Expr:
    """Make `1.234,5 €` into `1234.5`: `form` is how 1234.5 is written."""
    signs = [c for c in form if not c.isdigit()]
    point = signs[-1] if form.endswith("5") and signs else "."
    kept = f"[^0-9{point}+-]"
    bare = exp.Anonymous(
        this="regexp_replace",
        expressions=[
            text,
            exp.Literal.string(kept),
            exp.Literal.string(""),
            exp.Literal.string("g"),
        ],
    )
    return exp.Anonymous(
        this="replace", expressions=[bare, exp.Literal.string(point), exp.Literal.string(".")]
    )


def _as_text(of: exp.Expr) -> exp.Expr:
    return exp.Cast(this=of.copy(), to=exp.DataType.build("text"))
