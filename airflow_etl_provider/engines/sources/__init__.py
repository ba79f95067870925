"""What can be read: files of several formats, each as a `Source`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.sources.base import Account, Scan, Source
from airflow_etl_provider.exceptions import NotSupportedYetError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.pipeline import SourceSpec
    from airflow_etl_provider.engines.sources.files import FileInput

__all__ = ["Account", "Scan", "Source", "open_source"]


def open_source(
    spec: SourceSpec,
    *,
    connections: Connections,
    base: Path | None,
    all_text: bool = False,
    scratch: Path | None = None,
) -> Source:
    """Find and understand what a specification names; nothing but samples is read yet.

    :param base: folder that relative locations start from.
    :param all_text: every column is text, also where the values or the file suggest a type.
    :param scratch: where copies of remote files go, and rejects wait; the system's temporary
        folder when absent.
    :raises SourceNotFoundError: nothing is there.
    :raises SourceFormatError: it is not what its format says, or its files differ.
    """
    from airflow_etl_provider.engines.sources.files import find_files, is_remote_source

    for key in ("table", "query", "topic"):
        if getattr(spec, key) is not None:
            raise NotSupportedYetError(
                f"A source with `{key}` is not supported yet.", hint="Use `location` with files."
            )
    if spec.format == "json":
        raise NotSupportedYetError(
            "The format json is not supported yet.",
            hint="Write `format: jsonl` where every line is an object.",
        )
    if not is_remote_source(spec, connections=connections):
        files = find_files(spec, connections=connections, base=base)
        files = tuple(replace(file, scratch=scratch) for file in files)
        return _open_files(spec, files, all_text=all_text)
    from airflow_etl_provider.engines.sources.depot import Depot
    from airflow_etl_provider.engines.sources.fetched import FetchedSource

    depot = Depot(scratch=scratch)
    try:
        files = find_files(spec, connections=connections, base=base, depot=depot)
        files = tuple(replace(file, scratch=scratch) for file in files)
        return FetchedSource(_open_files(spec, files, all_text=all_text), files, depot=depot)
    except BaseException:
        depot.close()
        raise


def _open_files(spec: SourceSpec, files: tuple[FileInput, ...], *, all_text: bool) -> Source:
    from airflow_etl_provider.engines.sources.files import same_format

    kind = spec.format or same_format(files)
    name = f"{spec.connection}/{spec.location}" if spec.connection else str(spec.location)
    if kind == "jsonl":
        from airflow_etl_provider.engines.sources.jsonl import JsonLinesSource

        return JsonLinesSource(files, spec, name=name, all_text=all_text)
    if kind == "parquet":
        from airflow_etl_provider.engines.sources.parquet import ParquetSource

        return ParquetSource(files, name=name, all_text=all_text)
    from airflow_etl_provider.engines.sources.delimited.source import DelimitedSource

    return DelimitedSource(files, spec, name=name, all_text=all_text)
