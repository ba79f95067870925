"""Open a DuckDB file for a moment: one process at a time, waiting for its turn."""

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_etl_provider.exceptions import (
    EtlError,
    TargetDataError,
    TargetError,
    TargetMissingError,
    TargetPermissionError,
    TargetSchemaError,
    TargetUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb

__all__ = ["opened", "run_sql", "transaction"]

log = logging.getLogger(__name__)

MEMORY = "512MiB"
"""What the file's own engine may hold while it publishes; the rest spills beside the file."""

_FIRST_WAIT, _LONGEST_WAIT = 0.02, 0.5


@contextmanager
def opened(
    path: Path, *, wait_seconds: float, read_only: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file, creating it where it is missing, and close it again.

    :param read_only: others may read it at the same time; nothing is created.
    :raises TargetUnavailableError: another process had it open for longer than `wait_seconds`.
    """
    import duckdb

    connection = _connect(path, wait_seconds=wait_seconds, read_only=read_only)
    try:
        # Instants as text and text as instants mean UTC, wherever the machine stands.
        connection.execute("SET TimeZone = 'UTC'")
        # DuckDB draws it on standard output wherever Python was started without a script.
        connection.execute("SET enable_progress_bar = false")
        yield connection
    except duckdb.Error as error:
        raise _error_of(error, path) from (None if _quotes_values(error) else error)
    finally:
        _close(connection, path)


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit at the end, roll back on any error."""
    import duckdb

    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        try:
            connection.rollback()
        except duckdb.Error:
            # DuckDB has ended the transaction itself; the first error says why.
            log.debug("The transaction had ended before it was rolled back.")
        raise


def run_sql(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[object] | None = None
) -> list[tuple[object, ...]]:
    """Run one statement and fetch all of its (few) rows."""
    return connection.execute(sql, parameters or []).fetchall()


def _connect(path: Path, *, wait_seconds: float, read_only: bool) -> duckdb.DuckDBPyConnection:
    import duckdb

    if path.is_dir():
        raise TargetError(f"{path} is a folder.", hint="Give the target a file name.")
    if not path.parent.is_dir():
        raise TargetMissingError(
            f"The folder {path.parent} does not exist.", hint="Create it first."
        )
    deadline = time.monotonic() + wait_seconds
    wait = _FIRST_WAIT
    while True:
        try:
            return _connect_once(path, read_only=read_only)
        except duckdb.Error as error:
            holder = _holder(error)
            if holder is None:
                raise _error_of(error, path) from error
            if time.monotonic() >= deadline:
                raise TargetUnavailableError(
                    f"{path} is open in {holder}, not closed within {wait_seconds:.0f} s; a "
                    "DuckDB file has one writer at a time.",
                    hint="Close what holds the file (a shell, a notebook, another load), then run "
                    "again.",
                ) from error
        time.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)


def _connect_once(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    import duckdb

    ours: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    try:
        return duckdb.connect(str(path), read_only=read_only, config=ours)
    except duckdb.ConnectionException:
        # This process has the file open with other settings; then they hold for us, too.
        return duckdb.connect(str(path), read_only=read_only)


def _holder(error: duckdb.Error) -> str | None:
    """Who has the file open, when that is what is wrong."""
    text = str(error)
    if "Could not set lock" in text:
        process = re.search(r"PID (\d+)", text)
        return f"process {process[1]}" if process else "another process"
    if "Unique file handle conflict" in text or "different configuration" in text:
        return "this process, with other settings"
    return None


def _close(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    import duckdb

    try:
        connection.close()
    except duckdb.Error as error:
        # What was committed is safe in the write-ahead log; only its merging was put off.
        log.warning("%s was not closed cleanly: %s", path, type(error).__name__)


def _quotes_values(error: duckdb.Error) -> bool:
    import duckdb

    return isinstance(
        error,
        duckdb.ConstraintException
        | duckdb.ConversionException
        | duckdb.OutOfRangeException
        | duckdb.InvalidInputException
        | duckdb.DataError,
    )


def _error_of(error: duckdb.Error, path: Path) -> EtlError:
    import duckdb

    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    ending = "Nothing was published."
    if _quotes_values(error):
        return TargetDataError(
            f"{path} refused the rows: {_refusal(error)}. {ending}",
            hint="Add a rule for that column, so that such rows are quarantined.",
        )
    lowered = first.lower()
    if any(word in lowered for word in ("no space", "disk full", "file too large", "quota")):
        return TargetError(f"The disk that holds {path} is full. {ending}", hint="Free space.")
    if isinstance(error, duckdb.TransactionException):
        return TargetUnavailableError(
            f"Another transaction of this process changed {path} at the same time. {ending}",
            hint="Run again.",
        )
    if isinstance(error, duckdb.IOException | duckdb.FatalException):
        if "permission denied" in lowered or "read-only" in lowered:
            return TargetPermissionError(
                f"{path} can't be written. {ending}", hint="Give this user the right to write it."
            )
        if "not a valid duckdb database file" in lowered:
            return TargetError(f"{path} is there, but is no DuckDB file. {ending}")
    if isinstance(error, duckdb.OutOfMemoryException):
        return TargetError(f"{path} needs more memory than {MEMORY}. {ending}")
    if isinstance(
        error, duckdb.CatalogException | duckdb.BinderException | duckdb.DependencyException
    ):
        return TargetSchemaError(f"The table in {path} does not fit the load: {first} {ending}")
    return TargetError(f"{path} failed: {first} {ending}")


def _refusal(error: duckdb.Error) -> str:
    """What was wrong with a row, in words of our own: DuckDB's repeat the row's values."""
    import duckdb

    text = str(error)
    if column := re.search(r"NOT NULL constraint failed: (.+)", text):
        return f"NULL in {column[1]}, which is NOT NULL"
    for words, told in (
        ("check constraint", "a CHECK constraint does not hold"),
        ("foreign key", "a FOREIGN KEY constraint does not hold"),
        ("duplicate key", "a PRIMARY KEY or UNIQUE constraint does not hold"),
    ):
        if words in text.lower():
            return told
    if isinstance(error, duckdb.ConstraintException):
        return "a constraint does not hold"
    return "a value does not fit the type of its column"
