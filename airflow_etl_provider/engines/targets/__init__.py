"""Where data goes: PostgreSQL, DuckDB files, Parquet and CSV files, folders of Parquet files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.engines.targets.location import (
    SUPPORTED,
    TargetLocation,
    locate,
    parse_target,
)
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.pipeline import TargetSpec
    from airflow_etl_provider.engines.targets.base import Target

__all__ = ["open_target", "parse_target"]


def open_target(
    spec: TargetSpec, *, connections: Connections, base: Path | None, pipeline: str
) -> Target:
    """Open what a pipeline names as its target; nothing is created or written yet.

    :param base: the folder that relative locations start from; the current one when absent.
    :param pipeline: names the table where the target is a database and none is given.
    :raises SpecificationError: the kind of target is not supported, or something is missing.
    """
    at = locate(spec, connections=connections, base=base)
    table = spec.table or pipeline
    if at.kind == "postgres":
        if at.connection is None:
            raise SpecificationError("A PostgreSQL target needs a connection.")
        from airflow_etl_provider.engines.targets.postgres import LOCK_TIMEOUT, PostgresTarget

        return PostgresTarget(
            at.connection,
            table=table,
            lock_timeout=spec.lock_timeout or LOCK_TIMEOUT,
            statement_timeout=spec.statement_timeout,
        )
    _refuse_timeouts(spec, at)
    if at.kind == "folder":
        _refuse_table(spec, at)
        return _open_folder(spec, at)
    if at.path is None:
        raise SpecificationError(f"The target names no file. {SUPPORTED}")
    if at.kind == "duckdb":
        from airflow_etl_provider.engines.targets.duckdb_file import WAIT_SECONDS, DuckDbTarget

        return DuckDbTarget(at.path, table=table, wait_seconds=spec.lock_timeout or WAIT_SECONDS)
    _refuse_table(spec, at)
    if at.kind == "parquet":
        from airflow_etl_provider.engines.targets.parquet_file import ParquetFileTarget

        return ParquetFileTarget(at.path)
    from airflow_etl_provider.engines.targets.csv_file import CsvFileTarget

    return CsvFileTarget(at.path)


def _refuse_timeouts(spec: TargetSpec, at: TargetLocation) -> None:
    wanted = [("statement_timeout", spec.statement_timeout)]
    if at.kind != "duckdb":
        wanted.append(("lock_timeout", spec.lock_timeout))
    for key, value in wanted:
        if value is not None:
            raise SpecificationError(
                f"`target.{key}` means nothing for {at.url or at.path}.",
                hint=f"Leave `{key}` away.",
            )


def _open_folder(spec: TargetSpec, at: TargetLocation) -> Target:
    from airflow_etl_provider.engines.targets.parquet_folder import ParquetFolderTarget, open_store

    store = open_store(at)
    bucket_alone = store.name.count("/") == 3 and at.url is not None
    # In a bucket that is the folder itself, readers pass over names with a line in front.
    home = f"{store.name}_quarantine" if bucket_alone else f"{store.name[:-1]}.quarantine"
    return ParquetFolderTarget(
        store,
        quarantine_home=home,
        reshape=spec.mode == "replace",
        keep_versions=spec.keep_versions,
    )


def _refuse_table(spec: TargetSpec, at: TargetLocation) -> None:
    if spec.table is not None:
        raise SpecificationError(
            f"The target {at.url or at.path} is a {'folder' if at.kind == 'folder' else 'file'}; "
            f"it has no table {spec.table!r}.",
            hint="Leave `table` away.",
        )
