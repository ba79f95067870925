"""What a column's values are: the logical type that they show, and how they are written."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from airflow_etl_provider.agents.discovery.dates import find_date_format
from airflow_etl_provider.agents.discovery.nulls import null_numbers, null_words
from airflow_etl_provider.agents.discovery.numbers import find_number_format
from airflow_etl_provider.contracts.types import LogicalType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_etl_provider.contracts.types import Kind

__all__ = ["ENOUGH", "ValueFacts", "shapes_of", "understand"]

ENOUGH = 0.98
"""The share of values that must be of a type: a column with more exceptions is text."""

STRING = LogicalType("string")

_BOOLS = (
    ("true", "false"),
    ("t", "f"),
    ("yes", "no"),
    ("y", "n"),
    ("ja", "nein"),
    ("j", "n"),
    ("oui", "non"),
    ("o", "n"),
    ("si", "no"),
    ("sí", "no"),
    ("sì", "no"),
    ("sim", "não"),
    ("ja", "nee"),
    ("ja", "nej"),
    ("tak", "nie"),
    ("да", "нет"),
    ("是", "否"),
    ("on", "off"),
    ("wahr", "falsch"),
    ("vrai", "faux"),
)
_TIME = re.compile(r"(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?")
_UUID = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_OFTEN, _SELDOM = 300, 700
"""Values whose shapes are looked at: the most frequent ones, and so many of the others."""

_SHAPES = str.maketrans(dict.fromkeys("0123456789", "9"))
_LETTERS = re.compile(r"[^\W\d_]")
_RUNS = re.compile(r"(.)\1{3,}")


@dataclass(frozen=True, slots=True)
class ValueFacts:
    """What values say of themselves.

    :param share: of the values that are none of `nulls`, those that are of the type.
    :param nulls: texts that stand for NULL.
    :param almost: of text: a type that at least half of the values have, and their share.
    """

    type: LogicalType
    share: float = 1.0
    format: str | None = None
    unit: str | None = None
    nulls: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    almost: tuple[Kind, float] | None = None


def understand(values: Mapping[str, int]) -> ValueFacts:
    """Find the narrowest type that (nearly) all values have.

    What is not of the type will be rejected by a load that casts to it, so that in doubt they stay
    text. Codes with leading zeros are text.

    :param values: distinct texts with how often each stands there; NULL is none of them.
    """
    doubtful = null_words(values, all_words=True)
    rest = {text: count for text, count in values.items() if text not in doubtful}
    stripped = {text.strip(): count for text, count in rest.items()}
    found = _typed(stripped, enough=ENOUGH)
    if found is not None:
        numbers = null_numbers(rest) if found.type.kind in ("int64", "decimal", "float64") else {}
        return replace(found, nulls=doubtful | numbers)
    certain = null_words(values, all_words=False)
    codes = [t for t in rest if len(t) > 1 and t[0] == "0" and t.isdigit()]
    digits = sum(count for text, count in rest.items() if text.isdigit())
    form = "leading zeros" if codes and digits >= ENOUGH * sum(rest.values()) else None
    return ValueFacts(
        STRING, format=form, nulls=certain, almost=_almost(stripped, coded=bool(codes))
    )


def _almost(values: dict[str, int], *, coded: bool) -> tuple[Kind, float] | None:
    """Tell what the column would be without its exceptions: with fewer of them it will be that."""
    if coded:
        total = sum(values.values())
        plain = sum(n for t, n in values.items() if t.isdigit() and (t == "0" or t[0] != "0"))
        return ("int64", plain / total) if 2 * plain >= total else None
    found = _typed(values, enough=0.5)
    return None if found is None else (found.type.kind, found.share)


def _typed(values: dict[str, int], *, enough: float) -> ValueFacts | None:
    total = sum(values.values())
    if not total:
        return None
    lowered = {text.lower() for text in values}
    for pair in _BOOLS:
        if lowered == set(pair) or (len(lowered) == 1 and lowered <= {"true", "false"}):
            # Which of a pair's words is which is told by its order.
            plain = pair == ("true", "false") or len(lowered) == 1
            return ValueFacts(LogicalType("bool"), format=None if plain else "/".join(pair))
    date = find_date_format(values, enough=enough)
    if date is not None:
        twofold = len(date.formats) > 1
        notes = ("Nothing tells day from month: no value has a day above twelve.",)
        iso = date.formats[0] in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z")
        form = None if iso else " | ".join(date.formats)
        return ValueFacts(LogicalType(date.kind), date.share, form, notes=notes if twofold else ())  # type: ignore[arg-type]
    number = find_number_format(values, enough=enough)
    if number is not None:
        unsure = ("A single separator may be for thousands or for decimals.",)
        return ValueFacts(
            number.type,
            number.share,
            number.form,
            number.unit,
            notes=unsure if number.ambiguous else (),
        )
    for kind, fits in (("time", _TIME.fullmatch), ("uuid", _UUID.fullmatch), ("json", _is_json)):
        share = sum(count for text, count in values.items() if fits(text)) / total
        if share >= enough:
            return ValueFacts(LogicalType(kind), share)  # type: ignore[arg-type]
    return None


def _is_json(text: str) -> bool:
    if text[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def shapes_of(values: Mapping[str, int], *, most: int = 5) -> tuple[tuple[str, float], ...]:
    """Tell the shapes of values, most frequent first: letters are `a` or `A`, digits `9`.

    Four and more of a kind in a row are `a*`, so that names of any length have one shape.
    """
    shapes: Counter[str] = Counter()
    often = islice(values.items(), _OFTEN)
    step = max((len(values) - _OFTEN) // _SELDOM, 1)
    for text, count in often:
        shapes[_shape(text)] += count
    # Of what is left, evenly spaced ones stand for those beside them.
    for text, count in islice(values.items(), _OFTEN, None, step):
        shapes[_shape(text)] += count * step
    total = sum(shapes.values())
    return tuple((shape, count / total) for shape, count in shapes.most_common(most))


def _shape(text: str) -> str:
    digits = text[:200].translate(_SHAPES)
    letters = _LETTERS.sub(lambda m: "A" if m[0].isupper() else "a", digits)
    return _RUNS.sub(r"\1*", letters)
