"""A table in a DuckDB file: rows wait beside the file and enter it in one short transaction.

The file has one writer at a time. So it is opened only to hand out the epoch and to publish; an
attempt that stands still in between keeps no one out, and is refused when it wakes up too late.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.targets.attempt_file import os_error_of, sweep_dead_attempts
from airflow_etl_provider.engines.targets.base import Position, Undone
from airflow_etl_provider.engines.targets.deletes import require_deletes
from airflow_etl_provider.engines.targets.duckdb_file.altering import altered, check_alterable
from airflow_etl_provider.engines.targets.duckdb_file.layout import check_fit, read_layout
from airflow_etl_provider.engines.targets.duckdb_file.ledger import FileLedger
from airflow_etl_provider.engines.targets.duckdb_file.session import (
    DuckDbSession,
    remove_load,
    table_schema,
)
from airflow_etl_provider.engines.targets.duckdb_file.store import opened, transaction
from airflow_etl_provider.engines.targets.ledger import (
    check_undone,
    judge_reload,
    judge_undo,
    later_by_column,
    refuse_undo_below_mark,
    require_load_columns,
    require_partition,
)
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
    from airflow_etl_provider.contracts.schema import Limit, Schema
    from airflow_etl_provider.contracts.types import LogicalType
    from airflow_etl_provider.engines.plan import KeyLookup
    from airflow_etl_provider.engines.targets.base import LedgerEntry, WriteSpec
    from airflow_etl_provider.engines.targets.duckdb_file.lookup import DuckDbLookups

__all__ = ["WAIT_SECONDS", "DuckDbTarget"]

WAIT_SECONDS = 60.0
"""How long to wait for another process where the pipeline does not say."""


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
        wait_seconds: float = WAIT_SECONDS,
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

    def limit_of(self, of: LogicalType) -> Limit | None:
        return None

    def position(self, pipeline: str, *, with_inputs: bool) -> Position:
        if not self.path.exists():
            return Position()
        with opened(self.path, wait_seconds=self.wait_seconds) as connection:
            exists = read_layout(connection, self.table) is not None
            return self.ledger_on(connection).position(
                pipeline, with_inputs=with_inputs, table_exists=exists
            )

    def begin(self, *, load: Load, schema: Schema, write: WriteSpec) -> DuckDbSession:
        _check_mode(schema, write)
        require_load_columns(load, write)
        full = table_schema(schema, write)
        _check_names(full)
        try:
            with opened(self.path, wait_seconds=self.wait_seconds) as connection:
                sweep_dead_attempts(self.path)
                with transaction(connection):
                    ledger = self.ledger_on(connection)
                    ledger.create()
                    held = read_layout(connection, self.table)
                    layout = altered(held, write)
                    if held is not None and layout is not None:
                        check_alterable(connection, held, write)
                        check_fit(layout, full, write)
                    previous, superseded = ledger.find(load.load_id)
                    if layout is None:
                        # Somebody dropped the table, and the rows of every load with it.
                        previous = None
                    verdict = judge_reload(previous, load=load, write=write, superseded=superseded)
                    if verdict == "already_loaded":
                        return DuckDbSession(self, load, schema, write, layout, done=previous)
                    ledger.check_position(load, table_exists=layout is not None)
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

    def undo(self, load_id: str) -> Undone:
        if not self.path.exists():
            judge_undo(None, load_id, target=self.name, load_columns=False)
        with (
            opened(self.path, wait_seconds=self.wait_seconds) as connection,
            transaction(connection),
        ):
            ledger = self.ledger_on(connection)
            found, superseded = ledger.find(load_id)
            layout = read_layout(connection, self.table)
            marked = layout is None or layout.column("_etl_load_id") is not None
            entry = judge_undo(found, load_id, target=self.name, load_columns=marked)
            gone = superseded or layout is None
            later = later_by_column(ledger.entries(), load_id)
            refuse_undo_below_mark(entry, later=later, gone=gone)
            deleted = 0
            if layout is not None:
                deleted = remove_load(connection, layout, load_id)
            check_undone(entry, deleted=deleted, gone=gone)
            ledger.forget(entry)
        return Undone(entry, deleted)

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
    if write.mode not in ("append", "replace", "replace_partition", "merge"):
        raise NotSupportedYetError(f"Mode {write.mode!r} is not supported yet by a DuckDB file.")
    require_partition(schema, write)
    require_deletes(schema, write)
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
