"""What datasets a place holds: files of a folder or prefix, tables of a database."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.agents.discovery.grouping import group_names
from airflow_etl_provider.agents.discovery.topics import TopicPlace
from airflow_etl_provider.contracts.source_spec import SourceSpec
from airflow_etl_provider.engines.sources.files import in_bucket
from airflow_etl_provider.engines.sources.listing import list_below, list_below_url
from airflow_etl_provider.engines.sources.tables.listing import DATABASES, list_tables
from airflow_etl_provider.engines.storage.connection_folder import folder_of
from airflow_etl_provider.engines.storage.filesystem import is_remote
from airflow_etl_provider.exceptions import ConnectionNotFoundError, SourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_etl_provider.contracts.connection import Connection, Connections

__all__ = ["Wanted", "find_datasets"]

_FILES = ("file", "fs")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which names of datasets are looked at.

    :param include: patterns, of which one must fit, where there are any.
    :param exclude: patterns, of which none may fit.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def of(self, names: Iterable[str]) -> list[str]:
        """Give the names that are wanted."""
        return [name for name in names if self._fits(name)]

    def _fits(self, name: str) -> bool:
        chosen = not self.include or any(fnmatchcase(name, one) for one in self.include)
        return chosen and not any(fnmatchcase(name, one) for one in self.exclude)


def find_datasets(
    place: str,
    *,
    connections: Connections,
    base: Path | None,
    connection: str | None,
    tables: Sequence[str],
    wanted: Wanted,
) -> Sequence[SourceSpec | TopicPlace]:
    """Name the datasets at a place; see `scan.discover` for what a place is.

    :raises ConnectionNotFoundError: it is a word, and neither path nor connection.
    :raises EtlError: it is not there, or can't be listed.
    """
    if tables:
        return [SourceSpec(connection=place, table=table) for table in tables]
    if connection is not None:
        return _of_connection(connections(connection), place, wanted)
    if _is_connection(place, base):
        return _of_connection(connections(place), "", wanted)
    name, slash, rest = place.partition("/")
    if slash and rest and _is_connection(name, base):
        try:
            return _of_connection(connections(name), rest, wanted)
        except ConnectionNotFoundError:
            # A path that is not there, which the reader says better.
            return [SourceSpec(location=place)]
    return _of_location(place, base, wanted)


def _of_connection(
    connection: Connection, inside: str, wanted: Wanted
) -> Sequence[SourceSpec | TopicPlace]:
    """Look into a connection, or at what is named inside of it."""
    name, kind = connection.name, connection.kind
    if kind in DATABASES:
        if inside:
            return [SourceSpec(connection=name, table=inside)]
        found = wanted.of(str(table) for table in list_tables(connection))
        return [SourceSpec(connection=name, table=table) for table in found]
    if kind in _FILES:
        folder = (folder_of(connection) or Path()) / inside
        if not folder.is_dir():
            return [SourceSpec(connection=name, location=inside)]
        return _below(wanted.of(group_names(list_below(folder))), inside, connection=name)
    if kind == "aws":
        url = inside if "://" in inside else in_bucket(inside, connection)
        return _of_url(url, inside, wanted, connection=connection)
    if kind == "kafka":
        topics = [inside] if inside else wanted.of(_topics(connection))
        return [TopicPlace(name, topic) for topic in topics]
    if inside:
        return [SourceSpec(connection=name, location=inside)]
    # Neither files nor tables: the listing says what connections can be looked into.
    list_tables(connection)
    return []


def _topics(connection: Connection) -> list[str]:
    from airflow_etl_provider.engines.sources.topics import TopicReader

    with closing(TopicReader(connection)) as reader:
        return reader.topics()


def _of_location(place: str, base: Path | None, wanted: Wanted) -> list[SourceSpec]:
    """Name the datasets of a folder by patterns; anything else is one dataset."""
    if is_remote(place):
        return _of_url(place, place, wanted, connection=None)
    if "://" in place:
        return [SourceSpec(location=place)]
    folder = (base or Path()) / Path(place).expanduser()
    if not folder.is_dir():
        return [SourceSpec(location=place)]
    return _below(wanted.of(group_names(list_below(folder))), place)


def _of_url(
    url: str, written: str, wanted: Wanted, *, connection: Connection | None
) -> list[SourceSpec]:
    """Look through what is below a prefix, unless the URL names an object or a pattern."""
    name = connection.name if connection is not None else None
    below = list_below_url(url, connection=connection)
    if below is None:
        return [SourceSpec(connection=name, location=written)]
    return _below(wanted.of(group_names(below)), written, connection=name)


def _below(
    patterns: Sequence[str], folder: str, *, connection: str | None = None
) -> list[SourceSpec]:
    if not patterns:
        raise SourceNotFoundError(
            f"There is no file in {folder or connection!r} that a reader knows, or none is wanted.",
            hint="Files are known by their names: .csv, .tsv, .txt, .json, .jsonl, .parquet, also "
            "packed.",
        )
    start = f"{folder.rstrip('/')}/" if folder else ""
    return [SourceSpec(connection=connection, location=start + one) for one in patterns]


def _is_connection(place: str, base: Path | None) -> bool:
    """Whether a word names a connection: it is no path, and nothing of that name is there."""
    return (
        re.fullmatch(r"[A-Za-z0-9_-]+", place) is not None
        and not ((base or Path()) / place).exists()
    )
