"""Files that belong together: their names differ in dates and numbers only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.sources.compression import PACKED_SUFFIXES
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MOST_DATASETS", "group_names", "partitions_of", "pattern_of"]

MOST_DATASETS = 10_000
"""At one place; more would be names that are all different, and no datasets."""

_READ = (".csv", ".tsv", ".tab", ".psv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".pq")
_COUNTED = re.compile(r"\d+")
_PARTITION = re.compile(r"([^=/]+)=[^/]*")
_MAGIC = re.compile(r"[*?\[]")


def group_names(names: Iterable[str]) -> list[str]:
    """Name the datasets of some files by patterns, sorted.

    A dataset of one file has its name, without wildcards. Files that no reader knows are left out.
    However many files there are, no more than one name of each dataset is held.

    :param names: relative to the folder that holds them all.
    :raises SpecificationError: there are more datasets than a catalog of one place may have.
    """
    groups: dict[str, str | None] = {}
    for name in names:
        if not _is_read(name.rpartition("/")[2]):
            continue
        pattern = pattern_of(name)
        # None where there are several.
        groups[pattern] = name if pattern not in groups else None
        if len(groups) > MOST_DATASETS:
            raise SpecificationError(
                f"There are more than {MOST_DATASETS:,} datasets at one place; {name!r} begins the "
                "next one.",
                hint="Look at its folders one by one.",
            )
    return sorted(pattern if only is None else _escaped(only) for pattern, only in groups.items())


def pattern_of(path: str) -> str:
    """Put a wildcard in the place of what is counted: dates, numbers, values of Hive partitions."""
    folder, slash, name = path.rpartition("/")
    parts = [
        _PARTITION.sub(r"\1=*", _escaped(part)) if "=" in part else _escaped(part)
        for part in folder.split("/")
    ]
    stem, dot, suffixes = name.partition(".")
    counted = re.sub(r"\*(?:[-_T:]?\*)+", "*", _COUNTED.sub("*", _escaped(stem)))
    return f"{'/'.join(parts)}{slash}{counted}{dot}{_escaped(suffixes)}"


def partitions_of(location: str) -> tuple[str, ...]:
    """Name the columns that the folders of a location are partitioned by, in Hive's way."""
    found = (_PARTITION.fullmatch(part) for part in location.split("/")[:-1])
    return tuple(match[1] for match in found if match)


def _is_read(name: str) -> bool:
    bare = name.lower()
    for suffix in PACKED_SUFFIXES:
        bare = bare.removesuffix(suffix)
    return bare.endswith(_READ)


def _escaped(text: str) -> str:
    return _MAGIC.sub(r"[\g<0>]", text)
