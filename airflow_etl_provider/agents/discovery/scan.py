"""Find the datasets at a place, and profile each; a broken one never stops the others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.agents.discovery.discover import SAMPLE_ROWS, profile_dataset
from airflow_etl_provider.agents.discovery.grouping import group_names
from airflow_etl_provider.contracts.profile import DatasetProfile, NotRead
from airflow_etl_provider.contracts.source_spec import SourceSpec
from airflow_etl_provider.engines.storage.filesystem import is_remote
from airflow_etl_provider.exceptions import EtlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_etl_provider.contracts.connection import Connections

__all__ = ["discover"]

log = logging.getLogger(__name__)


def discover(
    place: str,
    *,
    connections: Connections,
    base: Path | None = None,
    connection: str | None = None,
    tables: Sequence[str] = (),
    sample: int = SAMPLE_ROWS,
) -> Iterator[DatasetProfile | NotRead]:
    """Profile what is at a place, one dataset after the other.

    A folder is looked through with all that is below it; files whose names differ in numbers only
    are one dataset.

    :param place: a file, a folder, a pattern or a URL; with `tables`, an Airflow connection.
    :param connection: that the place is relative to.
    :param tables: tables of the connection that `place` names.
    :param sample: rows of each dataset whose values are looked at one by one.
    """
    specs: list[SourceSpec] = []
    try:
        if tables:
            specs = [SourceSpec(connection=place, table=table) for table in tables]
        else:
            specs = [
                SourceSpec(connection=connection, location=location)
                for location in _locations(place, base, connection)
            ]
    except EtlError as error:
        yield NotRead(place, place, error.code, str(error))
    for spec in specs:
        yield _profiled(spec, connections=connections, base=base, sample=sample)


def _profiled(
    spec: SourceSpec, *, connections: Connections, base: Path | None, sample: int
) -> DatasetProfile | NotRead:
    location = str(spec.location or spec.table)
    named = f"{spec.connection}/{location}" if spec.connection else location
    try:
        return profile_dataset(spec, connections=connections, base=base, name=named, sample=sample)
    except EtlError as error:
        return NotRead(named, location, error.code, str(error))
    except Exception as error:
        # Its text may hold values of rows.
        log.debug("Profiling %s failed.", named, exc_info=True)
        kind = type(error).__qualname__
        return NotRead(named, location, "internal_error", f"It could not be profiled: {kind}.")


def _locations(place: str, base: Path | None, connection: str | None) -> list[str]:
    """Name the datasets of a folder by patterns; anything else is one dataset."""
    if connection is not None or is_remote(place) or "://" in place:
        return [place]
    folder = (base or Path()) / Path(place).expanduser()
    if not folder.is_dir():
        return [place]
    return [str(Path(place) / pattern) for pattern in group_names(folder)]
