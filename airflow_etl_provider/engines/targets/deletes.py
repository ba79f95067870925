"""Records that delete on their way into a target: rows with a mark, known by their key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.engines.targets.base import WriteSpec

__all__ = ["DELETE_MARK", "require_deletes", "with_mark"]

DELETE_MARK = "_etl_delete"
"""A boolean column behind those of the load, where `WriteSpec.deletes` is given."""


def with_mark(schema: pa.Schema, write: WriteSpec) -> pa.Schema:
    """What `write` takes: the load's columns, and the mark where records may delete."""
    import pyarrow as pa

    return schema if write.deletes is None else schema.append(pa.field(DELETE_MARK, pa.bool_()))


def require_deletes(schema: Schema, write: WriteSpec) -> None:
    """Refuse deletes where they mean nothing, and columns that the load fills itself.

    :raises SpecificationError: the options contradict each other.
    """
    if write.deletes is None:
        return
    if write.mode != "merge":
        raise SpecificationError(f"`deletes` goes with mode merge, and the mode is {write.mode}.")
    for name in filter(None, (DELETE_MARK, write.deletes.column)):
        if name in schema:
            raise SpecificationError(
                f"Column {name!r} is filled by `deletes` itself and can't be mapped.",
                hint="Take it out of the contract, or name another `deletes.column`.",
            )
