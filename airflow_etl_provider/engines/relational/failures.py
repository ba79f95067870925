"""What DuckDB says when inputs are taken or a select runs, as errors of ours and without values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from airflow_etl_provider.engines.backends.duckdb.messages import stem_of
from airflow_etl_provider.exceptions import CancelledError, EtlError, SelectError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["select_error"]

_NO_ROOM = ("no space left", "max_temp_directory_size", "could not write")


@overload
def select_error(
    error: BaseException,
    *,
    doing: str,
    cancelled: bool,
    always: Literal[True],
    columns: Collection[str] = (),
) -> EtlError: ...


@overload
def select_error(
    error: BaseException,
    *,
    doing: str,
    cancelled: bool,
    always: bool = False,
    columns: Collection[str] = (),
) -> EtlError | None: ...


def select_error(
    error: BaseException,
    *,
    doing: str,
    cancelled: bool,
    always: bool = False,
    columns: Collection[str] = (),
) -> EtlError | None:
    """Give the error of ours for what the machine or a person ended.

    :param always: also where the rows themselves are the cause; None then otherwise.
    :param columns: names of columns, one of which the message may tell.
    """
    import duckdb

    words = str(error).lower()
    if cancelled or isinstance(error, duckdb.InterruptException):
        return CancelledError("The run was told to stop. Nothing was published.")
    no_room = any(said in words for said in _NO_ROOM)
    if no_room or isinstance(error, duckdb.OutOfMemoryException) or "out of memory" in words:
        what = "disk" if no_room else "memory, or more disk,"
        return SelectError(
            f"{doing} takes more {what} than there is. Nothing was published.",
            hint="Look whether a join meets many rows with many: its key should be unique on one "
            "side. Else make room in the temporary folder (TMPDIR), where all goes that does not "
            "fit into memory, or raise `memory_limit_mb` in section [etl].",
        )
    return SelectError(f"{doing} failed: {stem_of(error, columns=columns)}. Nothing was published.",
        hint="A cast or an overflow ends the whole select: give the field a type under `fields` of "
        "its input, which quarantines what does not convert, or use `try_cast`.",
    ) if always else None  # fmt: skip
