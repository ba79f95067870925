"""What compares a column with another one: quantiles, and a sketch of its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlglot import exp

from airflow_etl_provider.agents.discovery.facts import ordered_value
from airflow_etl_provider.agents.discovery.spread import hashes_of, lengths_of, quantiles_of
from airflow_etl_provider.contracts.sketch import SIZE, Sketch, sketch_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.agents.discovery.facts import Facts
    from airflow_etl_provider.agents.discovery.reading import Reading
    from airflow_etl_provider.agents.discovery.values import ValueFacts

__all__ = ["Spread", "measure_spreads"]

_MEASURED = frozenset(
    {"int16", "int32", "int64", "decimal", "float32", "float64",
     "date", "time", "timestamp", "timestamptz"}
)  # fmt: skip
_SKETCHED = frozenset({"int16", "int32", "int64", "decimal", "string", "uuid"})
_LONGEST = 100
"""Characters: longer texts are compared by their lengths, and hashing them would take long."""

_OFTEN_NEW = 0.5
"""The share of looked-at values that are different: from here on most others are yet unseen."""

_ENOUGH_HASHES = SIZE // 2


@dataclass(frozen=True, slots=True)
class Spread:
    """What the looked-at rows say of one column.

    :param hashed: whether hashes of all rows are wanted, because these are too few.
    :param hashes: of the looked-at values, smallest first; None where values are not compared.
    :param repeats: looked-at values that another row had before.
    """

    lengths: tuple[float, ...]
    values: tuple[float, ...]
    hashed: bool
    hashes: tuple[int, ...] | None
    repeats: int

    def quantiles(
        self, *, personal: bool
    ) -> tuple[tuple[float, ...], Literal["value", "length"] | None]:
        """Give the quantiles, of values where there are any, and what they are of."""
        if self.values and not personal:
            return self.values, "value"
        return self.lengths, "length" if self.lengths else None

    def sketch(self, facts: Facts, *, whole: bool) -> Sketch | None:
        """Sketch the values by all rows, or by those that were looked at.

        :param whole: all rows were looked at.
        """
        if self.hashes is None:
            return None
        if facts.hashes and not whole:
            found = sketch_of(facts.hashes)
            if len(found.hashes) >= _ENOUGH_HASHES:
                return Sketch(found.hashes, complete=False)
        found = sketch_of(self.hashes)
        return Sketch(found.hashes, complete=found.complete and whole)


def measure_spreads(reading: Reading, found: Sequence[ValueFacts]) -> list[Spread]:
    """Measure all columns by the rows that were looked at."""

    def wanted(number: int, text: exp.Column) -> list[exp.Expr]:
        of, kind = found[number], found[number].type.kind
        value = ordered_value(text, of, stored="string") if kind in _MEASURED else None
        return [
            exp.Count(this=text.copy()),
            lengths_of(text, of.nulls) if kind == "string" else exp.Null(),
            exp.Null() if value is None else quantiles_of(value, text, of.nulls, kind=kind),
            hashes_of(text, of.nulls) if _is_sketched(of) else exp.Null(),
            exp.Max(this=exp.Length(this=text.copy())),
        ]

    return [
        _spread(reading, number, answer, sketched=_is_sketched(found[number]))
        for number, answer in enumerate(reading.ask_sample(wanted))
    ]


def _is_sketched(found: ValueFacts) -> bool:
    kind = found.type.kind
    return kind in _SKETCHED and not (kind == "decimal" and (found.type.scale or 0) > 0)


def _spread(reading: Reading, number: int, answer: list[Any], *, sketched: bool) -> Spread:
    present, lengths, values, hashes, longest = answer
    distinct = reading.distinct_values(number)
    short = sketched and (longest or 0) <= _LONGEST
    return Spread(
        lengths=_points(lengths),
        values=_points(values),
        hashed=short and distinct > _OFTEN_NEW * present,
        hashes=tuple(hashes or ()) if short else None,
        repeats=int(present) - distinct,
    )


def _points(quantiles: list[float | None] | None) -> tuple[float, ...]:
    """Quantiles as numbers that JSON has, or none."""
    points = [float(one) for one in quantiles or () if one is not None]
    finite = all(abs(one) < float("inf") for one in points)
    return tuple(float(f"{one:.12g}") for one in points) if finite else ()
