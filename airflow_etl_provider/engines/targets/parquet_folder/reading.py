"""Which files of a folder hold its rows, for readers that must see exactly one version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.pipeline import TargetSpec
from airflow_etl_provider.engines.targets.parquet_folder.partitions import folder_values
from airflow_etl_provider.exceptions import ConnectionNotFoundError, SpecificationError, TargetError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connection, Connections
    from airflow_etl_provider.contracts.schema import Schema

__all__ = ["FolderFile", "FolderFiles", "read_folder"]


@dataclass(frozen=True, slots=True)
class FolderFile:
    """One live file.

    :param location: a path or URL.
    :param partition: what the names of its folders say, as text; None is NULL.
    """

    location: str
    rows: int
    bytes: int
    load_id: str
    partition: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """A folder at one version: all rows of it, none of any other."""

    name: str
    version: int
    schema: Schema
    partition_by: tuple[str, ...]
    files: tuple[FolderFile, ...]

    @property
    def locations(self) -> list[str]:
        """What to give to `read_parquet` or `pyarrow.dataset.dataset`."""
        return [file.location for file in self.files]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)


def read_folder(
    location: str,
    *,
    connection: str | None = None,
    connections: Connections | None = None,
    base: Path | None = None,
) -> FolderFiles:
    """Tell the files that hold a folder's rows now.

    :param location: as a pipeline's target has it, with its slash at the end.
    :param connection: the connection's name, where the target has one.
    :param connections: finds it.
    :raises SpecificationError: the location is no folder.
    :raises TargetError: no load has published into it.
    """
    from airflow_etl_provider.engines.targets import open_target
    from airflow_etl_provider.engines.targets.parquet_folder.target import ParquetFolderTarget

    target = open_target(
        TargetSpec(location=location, connection=connection),
        connections=connections or _no_connections,
        base=base,
        pipeline="",
    )
    if not isinstance(target, ParquetFolderTarget):
        raise SpecificationError(
            f"{location} is no folder of Parquet files.", hint="Write it with a slash at its end."
        )
    snapshot = target.history.read()
    if snapshot is None or snapshot.manifest.schema is None:
        raise TargetError(f"No load has published into {target.name} yet.")
    return FolderFiles(
        name=target.name,
        version=snapshot.version,
        schema=snapshot.manifest.schema,
        partition_by=snapshot.manifest.partition_by,
        files=tuple(
            FolderFile(
                location=target.name + file.key,
                rows=file.rows,
                bytes=file.size,
                load_id=record.load_id,
                partition=folder_values(file.partition),
            )
            for record in sorted(snapshot.records(), key=lambda record: record.version)
            for file in record.files
        ),
    )


def _no_connections(name: str) -> Connection:
    raise ConnectionNotFoundError(f"There is no connection {name!r} here.")
