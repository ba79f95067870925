"""What compares a column with another one: quantiles, and a sketch of its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sqlglot import exp

from airflow_etl_provider.agents.discovery.facts import ordered_value
from airflow_etl_provider.agents.discovery.spread import HASHES, hash_of, length_of, number_of
from airflow_etl_provider.contracts.sketch import HELD, HELD_OF_KEYS, SIZE, Sketch, sketch_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

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

QUANTILES = 33
"""Points, the extremes among them: every 1/32 of the values."""


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

    def sketch(self, facts: Facts, *, whole: bool, key: bool) -> Sketch | None:
        """Sketch the values by all rows, or by those that were looked at.

        :param whole: all rows were looked at.
        :param key: the column tells rows apart.
        """
        if self.hashes is None:
            return None
        size = HELD_OF_KEYS if key else HELD
        if facts.hashes and not whole:
            found = sketch_of(facts.hashes, size=size)
            if len(found.hashes) >= _ENOUGH_HASHES:
                return Sketch(found.hashes, complete=False)
        found = sketch_of(self.hashes, size=size)
        return Sketch(found.hashes, complete=found.complete and whole)


def measure_spreads(reading: Reading, found: Sequence[ValueFacts]) -> list[Spread]:
    """Measure all columns by the rows that were looked at."""

    def wanted(number: int, text: exp.Column) -> list[exp.Expr]:
        of, kind = found[number], found[number].type.kind
        value = ordered_value(text, of, stored="string") if kind in _MEASURED else None
        return [
            length_of(text, of.nulls) if kind in (*_SKETCHED, "string") else exp.Null(),
            exp.Null() if value is None else number_of(value, text, of.nulls, kind=kind),
            hash_of(text, of.nulls) if _is_sketched(of) else exp.Null(),
        ]

    return [
        _spread(reading, number, columns, found[number])
        for number, columns in enumerate(reading.compute(wanted))
    ]


def _is_sketched(found: ValueFacts) -> bool:
    kind = found.type.kind
    return kind in _SKETCHED and not (kind == "decimal" and (found.type.scale or 0) > 0)


def _spread(
    reading: Reading, number: int, columns: Sequence[pa.ChunkedArray], found: ValueFacts
) -> Spread:
    lengths, values, hashes = (_numbers(column) for column in columns)
    present, distinct = reading.present(number)
    there, kinds = present - sum(found.nulls.values()), distinct - len(found.nulls)
    short = _is_sketched(found) and (not len(lengths) or int(lengths.max()) <= _LONGEST)
    return Spread(
        lengths=_quantiles(lengths) if found.type.kind == "string" else (),
        values=_quantiles(values),
        hashed=short and not reading.whole and kinds > _OFTEN_NEW * there,
        hashes=tuple(np.unique(hashes)[:HASHES].tolist()) if short else None,
        repeats=there - kinds,
    )


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    import pyarrow as pa

    if pa.types.is_null(column.type):
        return np.empty(0)
    return column.drop_null().to_numpy()


def _quantiles(numbers: NDArray[Any]) -> tuple[float, ...]:
    """Give quantiles that are values themselves, as numbers that JSON has; or none."""
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return ()
    places = np.ceil(np.linspace(0, 1, QUANTILES) * len(numbers)).astype(int) - 1
    points = np.sort(numbers)[np.maximum(places, 0)]
    return tuple(float(f"{point:.12g}") for point in points)
