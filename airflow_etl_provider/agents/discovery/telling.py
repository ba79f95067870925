"""What is told of a column: its facts, and its values where they say nothing of a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.agents.discovery.values import shapes_of
from airflow_etl_provider.contracts.profile import FieldProfile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_etl_provider.agents.discovery.measured import Measured
    from airflow_etl_provider.agents.discovery.values import ValueFacts

__all__ = ["MASK", "profile_field", "sample_rows"]

MASK = "***"
"""In the place of a value of a personal column."""

_TOP, _CATEGORIES = 10, 50
_SAMPLE_ROWS = 5


def profile_field(measured: Measured, number: int) -> FieldProfile:
    """Tell one field; of a personal one nothing that is made of its values."""
    field, found = measured.fields[number], measured.found[number]
    facts, spread = measured.facts[number], measured.spreads[number]
    meaning, distinct = measured.meanings[number], measured.distinct[number]
    personal = meaning is not None and meaning.personal
    told = measured.told(number)
    missing = measured.seen - facts.present + facts.null_words
    quantiles, quantiles_are_of = spread.quantiles(personal=personal)
    key = (number,) in measured.keys
    return FieldProfile(
        name=field.name,
        type=found.type,
        stored=field.type,
        nullable=missing > 0,
        null_share=missing / measured.seen if measured.seen else 0.0,
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
        sketch=None if personal else spread.sketch(facts, whole=measured.whole, key=key),
    )


def sample_rows(measured: Measured) -> tuple[tuple[str | None, ...], ...]:
    """Give some of the rows that were looked at; values of personal columns are masked."""
    personal = [meaning is not None and meaning.personal for meaning in measured.meanings]
    return tuple(
        tuple(
            MASK if hidden and value is not None else _shown(value)
            for value, hidden in zip(row, personal, strict=True)
        )
        for row in measured.first_rows(_SAMPLE_ROWS)
    )


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
