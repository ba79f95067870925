"""What DuckDB says when inputs are taken or a select runs, as errors of ours and without values."""

from __future__ import annotations

import re
from typing import Literal, overload

from airflow_etl_provider.exceptions import CancelledError, EtlError, SelectError

__all__ = ["select_error"]

_NO_ROOM = ("no space left", "max_temp_directory_size", "could not write", "disk")


@overload
def select_error(
    error: BaseException, *, doing: str, cancelled: bool, always: Literal[True]
) -> EtlError: ...


@overload
def select_error(
    error: BaseException, *, doing: str, cancelled: bool, always: bool = False
) -> EtlError | None: ...


def select_error(
    error: BaseException, *, doing: str, cancelled: bool, always: bool = False
) -> EtlError | None:
    """Give the error of ours for what the machine or a person ended.

    :param always: also where the rows themselves are the cause; None then otherwise.
    """
    import duckdb

    words = str(error).lower()
    if cancelled or isinstance(error, duckdb.InterruptException):
        return CancelledError("The run was told to stop. Nothing was published.")
    if any(said in words for said in _NO_ROOM):
        return SelectError(
            f"{doing} found no more room on disk for what does not fit into memory. Nothing was "
            "published.",
            hint="Make room in the temporary folder (TMPDIR), and look whether a join meets many "
            "rows with many: each of its keys should be unique on one side.",
        )
    if isinstance(error, duckdb.OutOfMemoryException) or "out of memory" in words:
        return SelectError(
            f"{doing} takes more memory than the engine may use. Nothing was published.",
            hint="Raise `memory_limit_mb` in section [etl], or select fewer columns and groups.",
        )
    return SelectError(f"{doing} failed: {_redacted(error)}. Nothing was published.",
        hint="A cast or an overflow ends the whole select: give the field a type under `fields` of "
        "its input, which quarantines what does not convert, or use `try_cast`.",
    ) if always else None  # fmt: skip


def _redacted(error: BaseException) -> str:
    """The first line without what stood in a row: DuckDB quotes values in its messages."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    line = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", line)
    return re.sub(r"-?\d+(\.\d+)?", "...", line).rstrip(".! ") or type(error).__name__
