"""A table in a DuckDB file: rows wait beside the file and enter it in one short transaction.

The file has one writer at a time. So it is opened only to hand out the epoch and to publish; an
attempt that stands still in between keeps no one out, and is refused when it wakes up too late.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.targets.attempt_file import os_error_of, sweep_dead_attempts
from airflow_etl_provider.engines.targets.duckdb_file.layout import check_fit, read_layout
from airflow_etl_provider.engines.targets.duckdb_file.ledger import FileLedger
from airflow_etl_provider.engines.targets.duckdb_file.session import DuckDbSession
from airflow_etl_provider.engines.targets.duckdb_file.store import opened, transaction
from airflow_etl_provider.engines.targets.incoming import with_load_columns
from airflow_etl_provider.engines.targets.ledger import judge_reload, require_load_columns
from airflow_etl_provider.engines.targets.table_name import parse_table_name
from airflow_etl_provider.exceptions import (
    NotSupportedYetError,
    SpecificationError,
    TargetSchemaError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.load import Load
    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.engines.plan import KeyLookup
    from airflow_etl_provider.engines.targets.base import LedgerEntry, WriteSpec
    from airflow_etl_provider.engines.targets.duckdb_file.lookup import DuckDbLookups

__all__ = ["DuckDbTarget"]


class DuckDbTarget:
    """A table in a DuckDB file.

    :param table: `table` or `schema.table`; made on the first load when it does not exist.
    :param wait_seconds: how long to wait for another process that has the file open.
    """

    def __init__(
        self,
        path: Path,
        *,
        table: str,
        wait_seconds: float = 60.0,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.path = path.expanduser().resolve()
        self.table = parse_table_name(table)
        self.wait_seconds = wait_seconds
        self.clock = clock or (lambda: datetime.now(timezone.utc))

    @property
    def name(self) -> str:
        return f"duckdb:///{self.path}#{self.table}"

    @property
    def quarantine_home(self) -> str | None:
        return f"{self.path}.quarantine"

    def schema(self) -> Schema | None:
        if not self.path.exists():
            return None
        with opened(self.path, wait_seconds=self.wait_seconds) as connection:
            layout = read_layout(connection, self.table)
        return layout.as_schema() if layout else None

    def ledger(self) -> list[LedgerEntry]:
        if not self.path.exists():
            return []
        with opened(self.path, wait_seconds=self.wait_seconds) as connection:
            return self.ledger_on(connection).entries()

    def begin(self, *, load: Load, schema: Schema, write: WriteSpec) -> DuckDbSession:
        _check_mode(schema, write)
        require_load_columns(load, write)
        full = with_load_columns(schema, write)
        _check_names(full)
        try:
            with opened(self.path, wait_seconds=self.wait_seconds) as connection:
                sweep_dead_attempts(self.path)
                with transaction(connection):
                    ledger = self.ledger_on(connection)
                    ledger.create()
                    layout = read_layout(connection, self.table)
                    if layout is not None:
                        check_fit(layout, full, write)
                    previous, superseded = ledger.find(load.load_id)
                    if layout is None:
                        # Somebody dropped the table, and the rows of every load with it.
                        previous = None
                    verdict = judge_reload(previous, load=load, write=write, superseded=superseded)
                    if verdict == "already_loaded":
                        return DuckDbSession(self, load, schema, write, layout, done=previous)
                    epoch = ledger.next_epoch(load.load_id, previous=previous)
        except OSError as error:
            raise os_error_of(error, self.path, doing="Opening") from error
        return DuckDbSession(
            self, load, schema, write, layout, epoch=epoch, replaces=verdict == "replace_load"
        )

    def open_lookups(self, wanted: Sequence[KeyLookup], *, columns: Schema) -> DuckDbLookups:
        from airflow_etl_provider.engines.targets.duckdb_file.lookup import DuckDbLookups

        return DuckDbLookups(
            self.path,
            wanted,
            home=self.table,
            columns=columns,
            own=None,
            wait_seconds=self.wait_seconds,
        )

    def close(self) -> None:
        return

    def ledger_on(self, connection: DuckDBPyConnection) -> FileLedger:
        """The ledger of this table on an open connection."""
        schema = self.table.schema or "main"
        key = f"{schema}.{self.table.name}".lower()
        return FileLedger(connection, table=key, shown=self.name)


def _check_mode(schema: Schema, write: WriteSpec) -> None:
    if not len(schema):
        raise SpecificationError("The load has no columns.")
    if write.mode not in ("append", "replace", "merge"):
        raise NotSupportedYetError(
            f"Mode {write.mode!r} is not supported yet by a DuckDB file; append, replace and merge "
            "are."
        )
    if write.mode == "merge" and not write.key:
        raise SpecificationError("Mode 'merge' needs a `key`.", hint="Write `key: [column]`.")
    used = [*write.key, *([write.latest_by] if write.latest_by else [])]
    for name in used if write.mode == "merge" else []:
        if name not in schema:
            raise SpecificationError(
                f"The load has no column {name!r}, which is a key or `latest_by` of the target.",
                hint=f"It has: {', '.join(schema.names)}.",
            )


def _check_names(schema: Schema) -> None:
    seen: dict[str, str] = {}
    for name in schema.names:
        if not name or "\0" in name:
            raise TargetSchemaError(f"A DuckDB table can't have a column named {name!r}.")
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise TargetSchemaError(
                f"The columns {other!r} and {name!r} differ only in case, which DuckDB does not "
                "tell apart.",
                hint="Give one of them another name in the contract.",
            )
