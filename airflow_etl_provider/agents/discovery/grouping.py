"""Files of a folder that belong together: their names differ in dates and numbers only."""

from __future__ import annotations

import os
import re
from pathlib import Path

from airflow_etl_provider.engines.sources.compression import PACKED_SUFFIXES

__all__ = ["group_names", "partitions_of", "pattern_of"]

_READ = (".csv", ".tsv", ".tab", ".psv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".pq")
_COUNTED = re.compile(r"\d+")
_PARTITION = re.compile(r"([^=/]+)=[^/]*")
_MAGIC = re.compile(r"[*?\[]")


def group_names(folder: Path) -> list[str]:
    """Look through a folder, and name its datasets by patterns relative to it, sorted.

    A dataset of one file has its name, without wildcards. Hidden files and folders are left out, as
    are files that no reader knows.
    """
    groups: dict[str, list[str]] = {}
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if one[0] not in "._")
        for name in names:
            if name[0] in "._" or not _is_read(name):
                continue
            relative = (Path(at) / name).relative_to(folder).as_posix()
            groups.setdefault(pattern_of(relative), []).append(relative)
    return sorted(
        _escaped(members[0]) if len(members) == 1 else pattern
        for pattern, members in groups.items()
    )


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
