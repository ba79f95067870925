"""One dataset, measured: what its values are, how many there are, which of them tell rows apart."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

from airflow_etl_provider.agents.discovery.facts import (
    Facts,
    aggregates_of,
    facts_of,
    merge_facts,
)
from airflow_etl_provider.agents.discovery.meanings import Column, find_meanings
from airflow_etl_provider.agents.discovery.sketching import measure_spreads
from airflow_etl_provider.agents.discovery.values import ValueFacts, understand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_etl_provider.agents.discovery.reading import Reading
    from airflow_etl_provider.contracts.schema import Field
    from airflow_etl_provider.engines.sources.base import Part, Source

__all__ = ["Measured"]

_MEASURES = ("float32", "float64", "bool", "json", "array", "struct", "binary", "duration")
_DEPENDENT = ("bool", "decimal", "float64")
_MOST_FOR_PAIRS = 8
_UNIQUE_ENOUGH = 0.7
"""Distinct counts are off by 2.6 % (one standard deviation, measured), with DuckDB 1.5 by 14 %:
above this share of the rows a column may be a key, which the rows that were looked at decide."""

_NOTHING = Facts(0, 0, 0, None, None, None, None)


class Measured:
    """Looks at some rows one by one, then counts all of them.

    What is told by number is told of the fields in their order.

    :ivar found: what the values of each field are, by those that were looked at.
    :ivar spreads: of each field, by the same.
    :ivar counted: what reading all gave.
    :ivar seen: rows that were read.
    :ivar rows: of the whole dataset; an estimate, where a part was read.
    :ivar whole: all rows were looked at one by one.
    :ivar facts: of each field, over all rows that were read.
    :ivar distinct: values of each field; approximate above some thousands.
    :ivar keys: fields, or pairs of them, that tell rows apart.
    :ivar meanings: of each field.
    """

    def __init__(self, source: Source, reading: Reading, part: Part | None) -> None:
        self._reading, self._part = reading, part
        self.fields = list(source.schema)
        self._values = [reading.values(number) for number in range(len(self.fields))]
        self.found = [
            _facts_of_values(field, values)
            for field, values in zip(self.fields, self._values, strict=True)
        ]
        self.spreads = measure_spreads(reading, self.found)
        self._count()

    def _count(self) -> None:
        hashed = [spread.hashed for spread in self.spreads]
        personal = self._likely_personal() if any(hashed) else set()
        self.counted = self._reading.count(
            [
                aggregates_of(field, self.found[n], hashed=hashed[n] and n not in personal)
                for n, field in enumerate(self.fields)
            ],
            merge=partial(merge_facts, self.found),
        )
        numbers = range(len(self.fields))
        self.seen = self.counted.rows
        self.rows = self.seen if self._part is None else self._part.total(self.seen)
        self.whole = self._reading.looked_at >= self.rows
        self.facts = [facts_of(answer) for answer in self.counted.facts] or [
            _NOTHING for _ in numbers
        ]
        self.distinct = [self._count_distinct(n) for n in numbers]
        self.keys = self._find_keys()
        if self._part is not None:
            estimate = self._reading.estimate_distinct
            self.distinct = [min(estimate(n, rows=self.rows), self.rows) for n in numbers]
        for key in self.keys:
            if len(key) == 1:
                self.distinct[key[0]] = self.rows
        self.meanings = find_meanings([self._column(n) for n in numbers])

    @property
    def looked_at(self) -> int:
        """Rows that were looked at one by one."""
        return self._reading.looked_at

    @property
    def drawn(self) -> int:
        """Those of them that were drawn each by itself, at the least."""
        if self._part is None:
            return self._reading.looked_at
        return self._part.independent(self._reading.looked_at)

    @property
    def in_part(self) -> bool:
        """Whether only a part was read."""
        return self._part is not None

    def first_rows(self, most: int) -> list[tuple[str | None, ...]]:
        """Give the first of the rows that were looked at, as text."""
        return self._reading.first_rows(most)

    def told(self, number: int) -> dict[str, int]:
        """Give the values of a field that were looked at, without null words."""
        nulls = self.found[number].nulls
        return {text: n for text, n in self._values[number].items() if text not in nulls}

    def _likely_personal(self) -> set[int]:
        """Tell, before all rows are read, of which columns no value will be told."""
        meanings = find_meanings(
            [
                Column(
                    name=field.name,
                    type=self.found[n].type,
                    values=self.told(n),
                    distinct_share=len(self._values[n]) / max(sum(self._values[n].values()), 1),
                )
                for n, field in enumerate(self.fields)
            ]
        )
        return {n for n, meaning in enumerate(meanings) if meaning and meaning.personal}

    def _count_distinct(self, number: int) -> int:
        facts = self.facts[number]
        values = self._values[number]
        if facts.distinct is None or self._reading.looked_at >= facts.present:
            return len(values) if len(values) < 5000 else self._reading.distinct([number])
        return min(facts.distinct, facts.present)

    def _find_keys(self) -> list[tuple[int, ...]]:
        """Find columns that tell rows apart; pairs only where all rows were looked at."""
        looked_at, rows = self._reading.looked_at, self.seen
        if rows < 2 or looked_at < 2:
            return []
        full = [
            n
            for n, one in enumerate(self.facts)
            if one.present - one.null_words == rows and _may_identify(self.found[n])
        ]
        likely = [n for n in full if self.distinct[n] >= _UNIQUE_ENOUGH * rows]
        single: list[tuple[int, ...]] = [
            (n,) for n in likely if self._reading.distinct([n]) == looked_at
        ]
        if single or not self.whole:
            return single[:_MOST_FOR_PAIRS]
        widest = sorted(full, key=lambda n: -self.distinct[n])[:_MOST_FOR_PAIRS]
        pairs = [
            pair
            for pair in combinations(sorted(widest), 2)
            if self.distinct[pair[0]] * self.distinct[pair[1]] >= rows
        ]
        return [pair for pair in pairs if self._reading.distinct(pair) == looked_at]

    def dependencies(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Tell which columns determine others; those with a value of their own in every row do."""
        likely = [
            n
            for n, one in enumerate(self.facts)
            if 1 < self.distinct[n] < _UNIQUE_ENOUGH * max(one.present, 1)
            and (_may_identify(self.found[n]) or self.found[n].type.kind in _DEPENDENT)
        ]
        likely.sort(key=lambda n: self.distinct[n])
        found = self._reading.dependencies(likely) if self.seen else []
        return tuple(
            (self.fields[left].name, tuple(self.fields[n].name for n in right))
            for left, right in sorted(found)
        )

    def _column(self, number: int) -> Column:
        found, facts = self.found[number], self.facts[number]
        sequential = False
        if (
            (number,) in self.keys
            and facts.minimum
            and facts.maximum
            and found.type.kind == "int64"
        ):
            sequential = int(facts.maximum) - int(facts.minimum) + 1 == self.seen
        return Column(
            name=self.fields[number].name,
            type=found.type,
            values=self.told(number),
            distinct_share=self.distinct[number] / max(facts.present - facts.null_words, 1),
            sequential=sequential,
        )


def _facts_of_values(field: Field, values: Mapping[str, int]) -> ValueFacts:
    """Understand text; what the source types itself is of that type."""
    if field.type.kind == "string":
        return understand(values)
    return ValueFacts(field.type)


def _may_identify(found: ValueFacts) -> bool:
    """Measurements and documents tell rows apart by chance only."""
    kind = found.type.kind
    return kind not in _MEASURES and not (kind == "decimal" and (found.type.scale or 0) > 0)
