"""Columns whose values are keys of another dataset: foreign keys, found by sketches and names."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_etl_provider.agents.discovery.drift.types import family_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from airflow_etl_provider.contracts.profile import DatasetProfile, FieldProfile
    from airflow_etl_provider.contracts.sketch import Sketch

__all__ = ["Relation", "find_relations"]

_NEARLY_ALL, _MOST = 0.95, 0.75
"""Of the values, that must be keys over there: without and with a name that says so."""

_TELLING, _TELLING_TEXTS = 10, 3
"""Values that must be keys over there, numbers and others, where names say nothing."""

_GLANCE = 16
"""Of the smallest hashes of a column, one must be a key's where no name says anything."""

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
    index = _Index(datasets)
    found = []
    for dataset in datasets:
        for field in dataset.fields:
            likely = index.likely(dataset, field)
            refers = (_relation(dataset, field, key) for key in likely)
            found += _best([one for one in refers if one is not None])
    return _to_the_root(found)


class _Index:
    """Finds the few keys of many that a column may refer to: by its name, or by its values."""

    def __init__(self, datasets: Sequence[DatasetProfile]) -> None:
        self._own = {id(dataset): list(_keys(dataset)) for dataset in datasets}
        self._named: dict[tuple[str, str, str], list[_Key]] = defaultdict(list)
        telling: dict[tuple[str, str], list[_Key]] = defaultdict(list)
        for key in (key for keys in self._own.values() for key in keys):
            hashing, family = key.dataset.hashing, family_of(key.field)
            if key.entity:
                self._named[hashing, family, key.entity[-1]].append(key)
            if key.telling:
                telling[hashing, family].append(key)
        self._telling = {family: _Values(keys) for family, keys in telling.items()}

    def likely(self, dataset: DatasetProfile, field: FieldProfile) -> list[_Key]:
        """Give keys of the same family, each once, in the order of the datasets."""
        if field.sketch is None:
            return []
        family = family_of(field)
        wanted = _without_references(_words(field.name))
        found = [key for key in self._own[id(dataset)] if family_of(key.field) == family]
        if wanted:
            found += self._named.get((dataset.hashing, family, wanted[-1]), ())
        telling = self._telling.get((dataset.hashing, family))
        if telling is not None:
            found += telling.keys_of(field.sketch)
        return list({id(key): key for key in found}.values())


class _Values:
    """All hashes of some keys, in order, with the key of each."""

    def __init__(self, keys: Sequence[_Key]) -> None:
        self._keys = keys
        hashes = np.concatenate([np.frombuffer(key.sketch.hashes, np.uint64) for key in keys])
        counts = np.array([len(key.sketch.hashes) for key in keys])
        owners: NDArray[Any] = np.repeat(np.arange(len(keys)), counts)
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._owners = hashes[order], owners[order]

    def keys_of(self, sketch: Sketch) -> list[_Key]:
        """Give the keys that have one of the smallest hashes of a column."""
        found: set[int] = set()
        for one in sketch.hashes[:_GLANCE]:
            at = int(np.searchsorted(self._hashes, np.uint64(one), "left"))
            while at < len(self._hashes) and int(self._hashes[at]) == one:
                found.add(int(self._owners[at]))
                at += 1
        return [self._keys[n] for n in sorted(found)]


def _to_the_root(found: list[Relation]) -> list[Relation]:
    """Leave out keys that refer to a key themselves: `film_category.film_id` is a film's."""
    refers = defaultdict(set)
    for one in found:
        refers[one.dataset, one.columns].add((one.other, one.key))
    return [
        one for one in found if not refers[one.other, one.key] & refers[one.dataset, one.columns]
    ]


@dataclass(frozen=True, slots=True)
class _Key:
    """A column that tells the rows of a dataset apart.

    :param entity: the words that name what it is a key of: those of its name, else of its table.
    :param telling: whether values can show, without a name, that they are its keys.
    """

    dataset: DatasetProfile
    field: FieldProfile
    sketch: Sketch
    words: tuple[str, ...]
    entity: tuple[str, ...]
    telling: bool


def _keys(dataset: DatasetProfile) -> Iterator[_Key]:
    single = {key[0] for key in (*dataset.keys, dataset.primary_key) if len(key) == 1}
    for field in dataset.fields:
        if field.name not in single or field.sketch is None:
            continue
        words = _words(field.name)
        yield _Key(
            dataset,
            field,
            field.sketch,
            words,
            _without_references(words) or _words(_table(dataset.name)),
            _is_telling(field),
        )


def _is_telling(key: FieldProfile) -> bool:
    """Whether its values are some of many possible ones."""
    if family_of(key) == "number":
        low, high = _number(key.minimum), _number(key.maximum)
        return low is not None and high is not None and key.distinct < _SPARSE * (high - low + 1)
    # A letter or two may stand in any list.
    return key.type.kind != "string" or ((key.longest or 0) >= 2 and key.distinct >= 3)


def _best(found: list[Relation]) -> list[Relation]:
    """Of several keys a column refers to one: the surest; of equal ones to each."""
    top = max((one.confidence for one in found), default=0.0)
    return [one for one in found if one.confidence >= top - 0.01]


def _relation(dataset: DatasetProfile, field: FieldProfile, key: _Key) -> Relation | None:
    if field is key.field or field.sketch is None or field.distinct > key.field.distinct * 1.25:
        return None
    named = _named(dataset, field, key)
    if not named and not key.telling:
        return None
    overlap = field.sketch.inside(key.sketch)
    if not overlap.looked_at or overlap.share < (_MOST if named else _NEARLY_ALL):
        return None
    least = _TELLING if family_of(field) == "number" else _TELLING_TEXTS
    if not named and overlap.shared < least:
        return None
    if _is_key(dataset, field) and not _refers_by_key(dataset, key):
        return None
    return Relation(
        dataset.name,
        (field.name,),
        key.dataset.name,
        (key.field.name,),
        overlap.share,
        overlap.share * (0.95 if named else 0.8),
        overlap.looked_at,
    )


def _is_key(dataset: DatasetProfile, field: FieldProfile) -> bool:
    return (field.name,) in dataset.keys or dataset.primary_key == (field.name,)


def _refers_by_key(dataset: DatasetProfile, key: _Key) -> bool:
    """Two keys with the same values: the one refers whose dataset is named after the other one.

    `film_text.film_id` is a `film.film_id`, and no film is a text because of its number.
    """
    if dataset is key.dataset:
        return False
    words, mine = set(_words(_table(key.dataset.name))), set(_words(_table(dataset.name)))
    entity = set(_without_references(key.words))
    return words < mine or (bool(entity) and entity == words and words != mine)


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _named(dataset: DatasetProfile, field: FieldProfile, key: _Key) -> bool:
    """Whether the name says whose key it is: `customer_id` of `customers.id`, `tailnum`."""
    mine = _words(field.name)
    wanted, entity = _without_references(mine), key.entity
    if dataset is key.dataset:
        # `manager_id`, `parent_category_id`: one of the same kind as the row.
        rest = tuple(word for word in wanted if word not in _OF_THE_SAME)
        return len(rest) < len(wanted) and (not rest or rest[-len(entity) :] == entity)
    if mine == key.words and wanted:
        return True
    # `ship_country_code`: the name ends as the key's, with the table's before.
    return bool(wanted) and bool(entity) and wanted[-len(entity) :] == entity


def _without_references(words: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out the words that only say that it is a key: `id`, `code`."""
    return tuple(word for word in words if word not in _REFERENCES)


@lru_cache(maxsize=10_000)
def _table(name: str) -> str:
    """The last part of a dataset's name: `warehouse/sales.orders` and `in/orders_*.csv`."""
    last = name.rstrip("/").rpartition("/")[2]
    if last.lower().endswith(
        (".csv", ".gz", ".parquet", ".json", ".jsonl", ".tsv", ".zst", ".txt")
    ):
        return last.partition(".")[0]
    return last.rpartition(".")[2]


@lru_cache(maxsize=50_000)
def _words(name: str) -> tuple[str, ...]:
    """Split a name into words in lower case and the singular."""
    return tuple(_singular(word.lower()) for word in _WORD.findall(name))


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
