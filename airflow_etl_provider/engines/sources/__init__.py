"""What can be read: files of several formats and tables, each as a `Source`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.sources.base import Account, Scan, Source
from airflow_etl_provider.exceptions import NotSupportedYetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.pipeline import SourceSpec
    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.engines.sources.files import FileInput, ListedFile

    Choose = Callable[[list[ListedFile]], tuple[FileInput, ...]]

__all__ = ["Account", "Scan", "Source", "open_chosen", "open_source"]


def open_source(
    spec: SourceSpec,
    *,
    connections: Connections,
    base: Path | None,
    all_text: bool = False,
    scratch: Path | None = None,
    expected: Schema | None = None,
) -> Source:
    """Find and understand what a specification names; nothing but samples is read yet.

    :param base: folder that relative locations start from.
    :param all_text: every column is text, also where the values or the file suggest a type.
    :param scratch: where copies of remote files go, and rejects wait; the system's temporary
        folder when absent.
    :param expected: the fields as a contract has them, for what a sample of JSON does not show.
    :raises SourceNotFoundError: nothing is there.
    :raises SourceFormatError: it is not what its format says, or its files differ.
    """
    source = open_chosen(
        spec,
        _all,
        connections=connections,
        base=base,
        all_text=all_text,
        scratch=scratch,
        expected=expected,
    )
    if source is None:
        raise AssertionError("a source without files")
    return source


def open_chosen(
    spec: SourceSpec,
    choose: Callable[[list[ListedFile]], tuple[FileInput, ...]],
    *,
    connections: Connections,
    base: Path | None,
    all_text: bool = False,
    scratch: Path | None = None,
    expected: Schema | None = None,
) -> Source | None:
    """Open some of the files that a specification names, as `open_source` opens all of them.

    :param choose: gets the files in the order of their names, none of them opened yet, and picks
        the inputs; with none of those there is no source.
    """
    from airflow_etl_provider.engines.sources.files import is_remote_source, list_files

    if spec.topic is not None:
        raise NotSupportedYetError(
            "A source with `topic` is not supported yet.",
            hint="Use `location` with files, or `table`.",
        )
    if spec.of_database:
        from airflow_etl_provider.engines.sources.tables import open_source_table

        return open_source_table(spec, connections=connections, base=base, scratch=scratch)
    if not is_remote_source(spec, connections=connections):
        files = choose(list_files(spec, connections=connections, base=base))
        files = tuple(replace(file, scratch=scratch) for file in files)
        if not files:
            return None
        return _open_files(spec, files, all_text=all_text, expected=expected)
    from airflow_etl_provider.engines.sources.depot import Depot
    from airflow_etl_provider.engines.sources.fetched import FetchedSource

    depot = Depot(scratch=scratch)
    try:
        files = choose(list_files(spec, connections=connections, base=base, depot=depot))
        if not files:
            depot.close()
            return None
        files = tuple(replace(file, scratch=scratch) for file in files)
        opened = _open_files(spec, files, all_text=all_text, expected=expected)
        return FetchedSource(opened, files, depot=depot)
    except BaseException:
        depot.close()
        raise


def _all(listed: list[ListedFile]) -> tuple[FileInput, ...]:
    return tuple(made for file in listed for made in file.inputs())


def _open_files(
    spec: SourceSpec, files: tuple[FileInput, ...], *, all_text: bool, expected: Schema | None
) -> Source:
    from airflow_etl_provider.engines.sources.files import same_format

    kind = spec.format or ("json" if spec.records else same_format(files))
    name = f"{spec.connection}/{spec.location}" if spec.connection else str(spec.location)
    if kind in ("json", "jsonl"):
        from airflow_etl_provider.engines.sources.json_files.source import JsonSource

        return JsonSource(files, spec, kind=kind, name=name, all_text=all_text, expected=expected)
    if kind == "parquet":
        from airflow_etl_provider.engines.sources.parquet import ParquetSource

        return ParquetSource(files, name=name, all_text=all_text)
    from airflow_etl_provider.engines.sources.delimited.source import DelimitedSource

    return DelimitedSource(files, spec, name=name, all_text=all_text)
