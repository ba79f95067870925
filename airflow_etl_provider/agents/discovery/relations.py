"""Columns whose values are keys of another dataset: foreign keys, found by sketches and names."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.agents.discovery.drift.types import family_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_etl_provider.contracts.profile import DatasetProfile, FieldProfile

__all__ = ["Relation", "find_relations"]

_NEARLY_ALL, _MOST = 0.95, 0.75
"""Of the values, that must be keys over there: without and with a name that says so."""

_TELLING = 10
"""Values that must be looked at where names say nothing."""

_SPARSE = 0.1
"""The share of whole numbers between the smallest and the largest key that are keys: below it,
numbers are not keys by chance."""

_REFERENCES = frozenset(
    {"id", "key", "code", "no", "nr", "num", "number", "fk", "ref", "uuid", "sk"}
)
_OF_THE_SAME = frozenset(
    {"parent", "manager", "supervisor", "boss", "previous", "next", "report", "to", "predecessor"}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True, slots=True)
class Relation:
    """A column of one dataset, whose values are in the key of another.

    :param share: of the looked-at values, that are keys over there.
    :param confidence: 0 to 1: by the share, the names, and how unlikely chance is.
    :param looked_at: values of which both sides would know.
    """

    dataset: str
    columns: tuple[str, ...]
    other: str
    key: tuple[str, ...]
    share: float
    confidence: float
    looked_at: int

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON of the command."""
        return {
            "dataset": self.dataset,
            "columns": list(self.columns),
            "references": {"dataset": self.other, "columns": list(self.key)},
            "share": round(self.share, 4),
            "confidence": round(self.confidence, 3),
            "values_looked_at": self.looked_at,
        }


def find_relations(datasets: Sequence[DatasetProfile]) -> list[Relation]:
    """Find the foreign keys between datasets, or within one, by the sketches of their values.

    A column refers to a key where nearly all of its values are there, and where that is no chance:
    because the name says so, or because so many values, out of so many possible ones, are not all
    there by chance. Small numbers are keys of any table that counts from one: of them, the name
    must say so.
    """
    keys = [(dataset, field) for dataset in datasets for field in _keys(dataset)]
    found = []
    for dataset in datasets:
        for field in dataset.fields:
            refers = [
                relation
                for other, key in keys
                if not (other is dataset and key is field)
                and (relation := _relation(dataset, field, other, key)) is not None
            ]
            found += _best(refers)
    return _to_the_root(found)


def _to_the_root(found: list[Relation]) -> list[Relation]:
    """Leave out keys that refer to a key themselves: `film_category.film_id` is a film's."""
    refers = defaultdict(set)
    for one in found:
        refers[one.dataset, one.columns].add((one.other, one.key))
    return [
        one for one in found if not refers[one.other, one.key] & refers[one.dataset, one.columns]
    ]


def _keys(dataset: DatasetProfile) -> Iterator[FieldProfile]:
    single = {key[0] for key in (*dataset.keys, dataset.primary_key) if len(key) == 1}
    for field in dataset.fields:
        if field.name in single and field.sketch is not None:
            yield field


def _best(found: list[Relation]) -> list[Relation]:
    """Of several keys a column refers to one: the surest; of equal ones to each."""
    top = max((one.confidence for one in found), default=0.0)
    return [one for one in found if one.confidence >= top - 0.01]


def _relation(
    dataset: DatasetProfile, field: FieldProfile, other: DatasetProfile, key: FieldProfile
) -> Relation | None:
    if dataset.hashing != other.hashing or family_of(field) != family_of(key):
        return None
    if field.sketch is None or key.sketch is None or field.distinct > key.distinct * 1.25:
        return None
    named = _named(dataset, field, other, key)
    overlap = field.sketch.inside(key.sketch)
    if not overlap.looked_at or overlap.share < (_MOST if named else _NEARLY_ALL):
        return None
    if not named and not _unlikely(key, overlap.shared):
        return None
    if _is_key(dataset, field) and not _refers_by_key(dataset, other, key):
        return None
    confidence = overlap.share * (0.95 if named else 0.8)
    return Relation(
        dataset.name,
        (field.name,),
        other.name,
        (key.name,),
        overlap.share,
        confidence,
        overlap.looked_at,
    )


def _is_key(dataset: DatasetProfile, field: FieldProfile) -> bool:
    return (field.name,) in dataset.keys or dataset.primary_key == (field.name,)


def _refers_by_key(dataset: DatasetProfile, other: DatasetProfile, key: FieldProfile) -> bool:
    """Two keys with the same values: the one refers whose dataset is named after the other one.

    `film_text.film_id` is a `film.film_id`, and no film is a text because of its number.
    """
    if dataset is other:
        return False
    words, mine = set(_words(_table(other.name))), set(_words(_table(dataset.name)))
    entity = [word for word in _words(key.name) if word not in _REFERENCES]
    return bool(words < mine) or (bool(entity) and set(entity) == words and words != mine)


def _unlikely(key: FieldProfile, shared: int) -> bool:
    """Whether so many values are keys by more than chance, whatever the names."""
    if family_of(key) == "number":
        low, high = _number(key.minimum), _number(key.maximum)
        sparse = low is not None and high is not None and key.distinct < _SPARSE * (high - low + 1)
        return sparse and shared >= _TELLING
    if key.type.kind == "string":
        # Codes out of many possible ones; a word or two may stand in any list.
        return shared >= 3 and (key.longest or 0) >= 2 and key.distinct >= 3
    return shared >= 3


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _named(
    dataset: DatasetProfile, field: FieldProfile, other: DatasetProfile, key: FieldProfile
) -> bool:
    """Whether the name says whose key it is: `customer_id` of `customers.id`, `tailnum`."""
    mine, its = _words(field.name), _words(key.name)
    entity = [word for word in its if word not in _REFERENCES] or _words(_table(other.name))
    wanted = [word for word in mine if word not in _REFERENCES]
    if dataset is other:
        # `manager_id`, `parent_category_id`: one of the same kind as the row.
        rest = [word for word in wanted if word not in _OF_THE_SAME]
        return len(rest) < len(wanted) and (not rest or rest[-len(entity) :] == entity)
    if mine == its and wanted:
        return True
    # `ship_country_code`: the name ends as the key's, with the table's before.
    return bool(wanted) and bool(entity) and wanted[-len(entity) :] == entity


def _table(name: str) -> str:
    """The last part of a dataset's name: `warehouse/sales.orders` and `in/orders_*.csv`."""
    last = name.rstrip("/").rpartition("/")[2]
    if last.lower().endswith(
        (".csv", ".gz", ".parquet", ".json", ".jsonl", ".tsv", ".zst", ".txt")
    ):
        return last.partition(".")[0]
    return last.rpartition(".")[2]


def _words(name: str) -> list[str]:
    """Split a name into words in lower case and the singular."""
    return [_singular(word.lower()) for word in _WORD.findall(name)]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
