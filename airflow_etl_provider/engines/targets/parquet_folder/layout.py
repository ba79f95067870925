"""The columns of the folder, and whether a load fits into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.engines.targets.deletes import require_deletes
from airflow_etl_provider.engines.targets.parquet_folder.partitions import check_partition_by
from airflow_etl_provider.exceptions import (
    NotSupportedYetError,
    SpecificationError,
    TargetSchemaError,
)

if TYPE_CHECKING:
    from airflow_etl_provider.engines.targets.base import WriteSpec
    from airflow_etl_provider.engines.targets.parquet_folder.manifest import Manifest

__all__ = ["MODES", "check_write", "layout_of"]

MODES = ("append", "replace", "replace_partition")


def check_write(full: Schema, write: WriteSpec) -> None:
    """Check what can be checked without looking at the folder.

    :raises SpecificationError: the mode or the columns can't be.
    """
    if not len(full):
        raise SpecificationError("The load has no columns.")
    if write.mode not in MODES:
        raise NotSupportedYetError(
            f"Mode {write.mode!r} is not possible with a folder of Parquet files; "
            f"{', '.join(MODES)} are.",
            hint="A merge needs a DuckDB file or a PostgreSQL table as the target.",
        )
    if write.mode == "replace_partition" and not write.partition_by:
        raise SpecificationError(
            "Mode replace_partition needs `partition_by`: the columns that name a partition."
        )
    require_deletes(full, write)
    check_partition_by(write.partition_by, full)
    seen: dict[str, str] = {}
    for name in full.names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise TargetSchemaError(
                f"The columns {other!r} and {name!r} differ only in case, which many readers of "
                "Parquet do not tell apart.",
                hint="Give one of them another name in the contract.",
            )


def layout_of(
    manifest: Manifest, full: Schema, write: WriteSpec, *, name: str
) -> tuple[Schema, tuple[str, ...]]:
    """The columns and partitions that the folder has once the load is in it.

    A replaced folder takes those of the load, since nothing stays in it. Otherwise the folder's
    hold: columns that the load does not have are NULL in its rows.

    :raises TargetSchemaError: the load has a column or partitions that the folder does not have.
    """
    there = manifest.schema
    if there is None or write.mode == "replace":
        return _nullable(full), write.partition_by
    for field in full:
        if field.name not in there:
            added = " (`load_columns: true` needs it)" if field.name.startswith("_etl_") else ""
            raise TargetSchemaError(
                f"{name} has no column {field.name!r}{added}. It has: {', '.join(there.names)}.",
                hint="Take it out of the contract, or load the folder anew with `mode: replace`.",
            )
    if write.partition_by and write.partition_by != manifest.partition_by:
        has = ", ".join(manifest.partition_by) or "none"
        raise TargetSchemaError(
            f"{name} is partitioned by other columns ({has}) than the load "
            f"({', '.join(write.partition_by)}).",
            hint="Name the folder's own under `partition_by`, or load it anew with "
            "`mode: replace`.",
        )
    missing = [column for column in manifest.partition_by if column not in full]
    if missing:
        raise TargetSchemaError(
            f"{name} is partitioned by {missing[0]!r}, which the load does not fill.",
            hint="Add that column to the contract.",
        )
    return there, manifest.partition_by


def _nullable(schema: Schema) -> Schema:
    return Schema(tuple(Field(field.name, field.type) for field in schema))
