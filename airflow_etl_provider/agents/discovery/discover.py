"""Profile a dataset: how it is written, what its values are and mean, and what was measured."""

from __future__ import annotations

import math
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from airflow_etl_provider.agents.discovery.chosen_files import MOST_FILES, ChosenFiles
from airflow_etl_provider.agents.discovery.grouping import partitions_of
from airflow_etl_provider.agents.discovery.measured import Measured
from airflow_etl_provider.agents.discovery.reading import Reading
from airflow_etl_provider.agents.discovery.telling import profile_field, sample_rows
from airflow_etl_provider.contracts.profile import DatasetProfile
from airflow_etl_provider.engines.sources import open_chosen
from airflow_etl_provider.engines.sources.base import Described, PartlyRead
from airflow_etl_provider.engines.sources.tables.table import TableSource
from airflow_etl_provider.exceptions import SourceNotFoundError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.source_spec import SourceSpec
    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
    from airflow_etl_provider.engines.sources.base import Part, Source

__all__ = ["SAMPLE_ROWS", "profile_dataset", "profile_source"]

SAMPLE_ROWS = 20_000
"""Rows whose values are looked at one by one."""

MEMORY = 256 * 2**20

_SAMPLED_COLUMNS = 500
"""Rows with more are no help to anybody who reads them."""


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
        measured = Measured(source, reading, part)
        location = spec.location or spec.table or ""
        return replace(
            _profile(source, measured, name=name, location=location),
            connection=spec.connection,
            hashing=reading.hashing(),
        )


def _profile(source: Source, measured: Measured, *, name: str, location: str) -> DatasetProfile:
    counted, fields = measured.counted, measured.fields
    table = source if isinstance(source, TableSource) else None
    return DatasetProfile(
        name=name,
        location=location,
        format=source.format if isinstance(source, Described) else "files",
        rows=measured.rows,
        counted=not measured.in_part,
        kind="files" if table is None else "table",
        rejected=counted.rejected,
        inputs=len(source.inputs),
        bytes_read=counted.bytes_read,
        looked_at=measured.looked_at,
        # The widest 95 % interval of a share, at one half.
        margin=0.0 if measured.whole else 0.98 / math.sqrt(max(measured.drawn, 1)),
        dialect=_dialect_of(source),
        fields=tuple(
            replace(
                profile_field(measured, number),
                required=table is not None and field.name in table.required,
                description=table.comments.get(field.name) if table is not None else None,
            )
            for number, field in enumerate(fields)
        ),
        description=table.comment if table is not None else None,
        sample=sample_rows(measured) if len(fields) <= _SAMPLED_COLUMNS else (),
        dependencies=measured.dependencies(),
        primary_key=table.key if table is not None else (),
        partitions=partitions_of(location),
        keys=tuple(tuple(fields[n].name for n in key) for key in measured.keys),
        notes=tuple(dict.fromkeys(counted.notes)),
    )


def _dialect_of(source: Source) -> dict[str, Any] | None:
    """Tell the dialect of delimited files, with the words of a pipeline."""
    dialect = source.dialect if isinstance(source, Described) else None
    if dialect is None:
        return None
    found = asdict(dialect)
    found["columns"] = len(dialect.columns)
    found["null_values"] = list(dialect.null_values)
    return found
