"""Profile a dataset: how it is written, what its values are and mean, and what was measured."""

from __future__ import annotations

import math
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

from airflow_etl_provider.agents.discovery.chosen_files import MOST_FILES, ChosenFiles
from airflow_etl_provider.agents.discovery.facts import (
    Facts,
    aggregates_of,
    facts_of,
    merge_facts,
)
from airflow_etl_provider.agents.discovery.grouping import partitions_of
from airflow_etl_provider.agents.discovery.meanings import Column, Meaning, find_meanings
from airflow_etl_provider.agents.discovery.reading import Reading
from airflow_etl_provider.agents.discovery.sketching import measure_spreads
from airflow_etl_provider.agents.discovery.values import ValueFacts, shapes_of, understand
from airflow_etl_provider.contracts.profile import DatasetProfile, FieldProfile
from airflow_etl_provider.engines.sources import open_chosen
from airflow_etl_provider.engines.sources.base import Described, PartlyRead
from airflow_etl_provider.engines.sources.tables.table import TableSource
from airflow_etl_provider.exceptions import SourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.schema import Field
    from airflow_etl_provider.contracts.source_spec import SourceSpec
    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
    from airflow_etl_provider.engines.sources.base import Part, Source

__all__ = ["SAMPLE_ROWS", "profile_dataset", "profile_source"]

SAMPLE_ROWS = 20_000
"""Rows whose values are looked at one by one."""

MEMORY = 256 * 2**20

_TOP, _CATEGORIES = 10, 50
_MEASURES = ("float32", "float64", "bool", "json", "array", "struct", "binary", "duration")
_MOST_FOR_PAIRS = 8
_DEPENDENT = ("bool", "decimal", "float64")
_UNIQUE_ENOUGH = 0.7
"""Distinct counts are off by 2.6 % (one standard deviation, measured), with DuckDB 1.5 by 14 %:
above this share of the rows a column may be a key, which the rows that were looked at decide."""


def profile_dataset(
    spec: SourceSpec,
    *,
    connections: Connections,
    base: Path | None = None,
    name: str | None = None,
    sample: int = SAMPLE_ROWS,
    memory_limit: int = MEMORY,
    scratch: Path | None = None,
    whole: bool = True,
) -> DatasetProfile:
    """Profile what a source names: a file, files of one kind, or a table.

    Rows are counted exactly, and so are NULLs, lengths and extremes. What values are and mean is
    told from `sample` rows drawn from all over; `margin` says how far shares may be off.

    :param name: of the dataset; the source's own when absent.
    :param memory_limit: bytes that counting may take; the rest goes to disk.
    :param whole: read all files. Else, of more than a hundred, some from all over.
    :raises EtlError: it is not there, or can't be read as what it is.
    """
    files = ChosenFiles(most=None if whole else MOST_FILES)
    source = open_chosen(spec, files.choose, connections=connections, base=base, scratch=scratch)
    if source is None:
        raise SourceNotFoundError(f"There is no file in {spec.location!r} to look at.")
    if isinstance(source, TableSource):
        # Which rows they are is no question here, and a digest of all of them costs a reading.
        source.versioned = False
    with closing(source):
        return profile_source(
            source,
            spec,
            name=name or source.name,
            sample=sample,
            memory_limit=memory_limit,
            scratch=scratch,
            part=files.part,
        )


def profile_source(
    source: Source,
    spec: SourceSpec,
    *,
    name: str,
    sample: int = SAMPLE_ROWS,
    memory_limit: int = MEMORY,
    scratch: Path | None = None,
    whole: bool = True,
    part: Part | None = None,
    session: ComputeSession | None = None,
) -> DatasetProfile:
    """Profile a source that is open already.

    :param part: of the dataset, that the source is.
    :param session: to count in, where many sources are profiled one after the other.
    :param whole: read all of it. Else of a large table some pages are read: rows and distinct
        values are estimated then, and all other facts are those of the part.
    :raises EtlError: it can't be read as what it is.
    """
    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession

    if not whole and isinstance(source, PartlyRead):
        part = source.sample(sample)
    with ExitStack() as stack:
        if session is None:
            session = ComputeSession(
                memory_limit=memory_limit, scratch=scratch, columns=len(source.schema)
            )
            stack.enter_context(session)
        reading = Reading(source, session, most=sample)
        reading.sample()
        profile = _Profile(source, reading, part)
        found = profile.finish(name=name, location=spec.location or spec.table or "")
        return replace(found, connection=spec.connection)


class _Profile:
    """One dataset on the way to its profile."""

    def __init__(self, source: Source, reading: Reading, part: Part | None) -> None:
        self._source, self._reading, self._part = source, reading, part
        self._fields = list(source.schema)
        self._values = [reading.values(number) for number in range(len(self._fields))]
        self._found = [
            _facts_of_values(field, values)
            for field, values in zip(self._fields, self._values, strict=True)
        ]
        self._spreads = measure_spreads(reading, self._found)

    def finish(self, *, name: str, location: str) -> DatasetProfile:
        personal = (
            self._likely_personal() if any(spread.hashed for spread in self._spreads) else set()
        )
        counted = self._reading.count(
            [
                aggregates_of(
                    field, self._found[n], hashed=self._spreads[n].hashed and n not in personal
                )
                for n, field in enumerate(self._fields)
            ],
            merge=partial(merge_facts, self._found),
        )
        rows = counted.rows if self._part is None else self._part.total(counted.rows)
        facts = [facts_of(answer) for answer in counted.facts] or [_NOTHING] * len(self._fields)
        distinct = [self._distinct(number, one) for number, one in enumerate(facts)]
        keys = self._keys(facts, distinct, rows=counted.rows)
        if self._part is not None:
            distinct = [
                min(self._reading.estimate_distinct(n, rows=rows), rows)
                for n in range(len(self._fields))
            ]
        for key in keys:
            if len(key) == 1:
                distinct[key[0]] = rows
        meanings = find_meanings(
            [
                self._column(number, facts[number], distinct[number], keys, rows=counted.rows)
                for number in range(len(self._fields))
            ]
        )
        looked_at = self._reading.looked_at
        whole = looked_at >= rows
        drawn = looked_at if self._part is None else self._part.independent(looked_at)
        return DatasetProfile(
            name=name,
            location=location,
            format=_format_of(self._source),
            rows=rows,
            counted=self._part is None,
            kind="table" if isinstance(self._source, TableSource) else "files",
            rejected=counted.rejected,
            inputs=len(self._source.inputs),
            bytes_read=counted.bytes_read,
            looked_at=looked_at,
            # The widest 95 % interval of a share, at one half.
            margin=0.0 if whole else 0.98 / math.sqrt(max(drawn, 1)),
            dialect=_dialect_of(self._source),
            fields=tuple(
                self._profile(
                    n,
                    facts[n],
                    distinct[n],
                    meanings[n],
                    rows=counted.rows,
                    whole=whole,
                    key=(n,) in keys,
                )
                for n in range(len(self._fields))
            ),
            dependencies=self._dependencies(facts, distinct, rows=counted.rows),
            primary_key=self._source.key if isinstance(self._source, TableSource) else (),
            partitions=partitions_of(location),
            hashing=self._reading.hashing(),
            keys=tuple(tuple(self._fields[n].name for n in key) for key in keys),
            notes=tuple(dict.fromkeys(counted.notes)),
        )

    def _likely_personal(self) -> set[int]:
        """Tell, before all rows are read, of which columns no value will be told."""
        meanings = find_meanings(
            [
                Column(
                    name=field.name,
                    type=found.type,
                    values={t: c for t, c in values.items() if t not in found.nulls},
                    distinct_share=len(values) / max(sum(values.values()), 1),
                )
                for field, found, values in zip(
                    self._fields, self._found, self._values, strict=True
                )
            ]
        )
        return {n for n, meaning in enumerate(meanings) if meaning and meaning.personal}

    def _distinct(self, number: int, facts: Facts) -> int:
        values = self._values[number]
        if facts.distinct is None or self._reading.looked_at >= facts.present:
            return len(values) if len(values) < 5000 else self._reading.distinct([number])
        return min(facts.distinct, facts.present)

    def _keys(self, facts: list[Facts], distinct: list[int], *, rows: int) -> list[tuple[int, ...]]:
        """Find columns that tell rows apart; pairs only where all rows were looked at."""
        looked_at = self._reading.looked_at
        if rows < 2 or looked_at < 2:
            return []
        full = [
            n
            for n, one in enumerate(facts)
            if one.present - one.null_words == rows and _may_identify(self._found[n])
        ]
        likely = [n for n in full if distinct[n] >= _UNIQUE_ENOUGH * rows]
        single: list[tuple[int, ...]] = [
            (n,) for n in likely if self._reading.distinct([n]) == looked_at
        ]
        if single or looked_at < rows:
            return single[:_MOST_FOR_PAIRS]
        widest = sorted(full, key=lambda n: -distinct[n])[:_MOST_FOR_PAIRS]
        pairs = [
            pair
            for pair in combinations(sorted(widest), 2)
            if distinct[pair[0]] * distinct[pair[1]] >= rows
        ]
        return [pair for pair in pairs if self._reading.distinct(pair) == looked_at]

    def _dependencies(
        self, facts: list[Facts], distinct: list[int], *, rows: int
    ) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Tell which columns determine others; those with a value of their own in every row do."""
        likely = [
            n
            for n, one in enumerate(facts)
            if 1 < distinct[n] < _UNIQUE_ENOUGH * max(one.present, 1)
            and (_may_identify(self._found[n]) or self._found[n].type.kind in _DEPENDENT)
        ]
        likely.sort(key=lambda n: distinct[n])
        found = self._reading.dependencies(likely) if rows else []
        return tuple(
            (self._fields[left].name, tuple(self._fields[n].name for n in right))
            for left, right in sorted(found)
        )

    def _column(
        self,
        number: int,
        facts: Facts,
        distinct: int,
        keys: list[tuple[int, ...]],
        *,
        rows: int,
    ) -> Column:
        found, nulls = self._found[number], self._found[number].nulls
        sequential = False
        if (number,) in keys and facts.minimum and facts.maximum and found.type.kind == "int64":
            sequential = int(facts.maximum) - int(facts.minimum) + 1 == rows
        return Column(
            name=self._fields[number].name,
            type=found.type,
            values={t: c for t, c in self._values[number].items() if t not in nulls},
            distinct_share=distinct / max(facts.present - facts.null_words, 1),
            sequential=sequential,
        )

    def _profile(
        self,
        number: int,
        facts: Facts,
        distinct: int,
        meaning: Meaning | None,
        *,
        rows: int,
        whole: bool,
        key: bool,
    ) -> FieldProfile:
        field, found, values = self._fields[number], self._found[number], self._values[number]
        spread = self._spreads[number]
        personal = meaning is not None and meaning.personal
        told = {text: count for text, count in values.items() if text not in found.nulls}
        missing = rows - facts.present + facts.null_words
        quantiles, quantiles_are_of = spread.quantiles(personal=personal)
        return FieldProfile(
            name=field.name,
            type=found.type,
            stored=field.type,
            nullable=missing > 0,
            null_share=missing / rows if rows else 0.0,
            distinct=distinct,
            format=found.format,
            unit=found.unit,
            semantic_type=meaning.semantic_type if meaning else None,
            personal=personal,
            confidence=meaning.confidence if meaning else 0.0,
            null_words=dict(found.nulls),
            minimum=None if personal else _extreme(facts.minimum, found),
            maximum=None if personal else _extreme(facts.maximum, found),
            shortest=facts.shortest,
            longest=facts.longest,
            top=() if personal else _top(told, categories=distinct == len(told) <= _CATEGORIES),
            patterns=() if personal else shapes_of(told),
            notes=found.notes,
            fits=found.share,
            almost=found.almost,
            quantiles=quantiles,
            quantiles_of=quantiles_are_of,
            repeats=spread.repeats,
            sketch=None if personal else spread.sketch(facts, whole=whole, key=key),
        )


_NOTHING = Facts(0, 0, 0, None, None, None, None)


def _facts_of_values(field: Field, values: Mapping[str, int]) -> ValueFacts:
    """Understand text; what the source types itself is of that type."""
    if field.type.kind == "string":
        return understand(values)
    return ValueFacts(field.type)


def _may_identify(found: ValueFacts) -> bool:
    """Measurements and documents tell rows apart by chance only."""
    kind = found.type.kind
    return kind not in _MEASURES and not (kind == "decimal" and (found.type.scale or 0) > 0)


def _top(values: Mapping[str, int], *, categories: bool) -> tuple[tuple[str, int], ...]:
    """Values that are there more than once; a list of single ones would say nothing.

    :param categories: these are all values that there are.
    """
    most = _CATEGORIES if categories else _TOP
    often = [(text, count) for text, count in values.items() if count > 1][:most]
    return tuple((_shown(text) or "", count) for text, count in often)


def _extreme(text: str | None, found: ValueFacts) -> str | None:
    if text is not None and found.type.kind == "decimal" and "." in text:
        return text.rstrip("0").rstrip(".")
    return _shown(text)


def _shown(text: str | None) -> str | None:
    return text if text is None or len(text) <= 100 else f"{text[:99]}…"


def _format_of(source: Source) -> str:
    return source.format if isinstance(source, Described) else "files"


def _dialect_of(source: Source) -> dict[str, Any] | None:
    """Tell the dialect of delimited files, with the words of a pipeline."""
    dialect = source.dialect if isinstance(source, Described) else None
    if dialect is None:
        return None
    found = asdict(dialect)
    found["columns"] = len(dialect.columns)
    found["null_values"] = list(dialect.null_values)
    return found
