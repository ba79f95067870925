"""One attempt at one load into a DuckDB file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.types import to_arrow_schema
from airflow_etl_provider.engines.targets.attempt_file import AttemptFile, os_error_of
from airflow_etl_provider.engines.targets.base import LedgerEntry, Publication, Published, WriteSpec
from airflow_etl_provider.engines.targets.deletes import DELETE_MARK, with_mark
from airflow_etl_provider.engines.targets.duckdb_file.altering import alter_table, altered
from airflow_etl_provider.engines.targets.duckdb_file.layout import (
    TableLayout,
    check_fit,
    read_layout,
)
from airflow_etl_provider.engines.targets.duckdb_file.store import opened, run_sql, transaction
from airflow_etl_provider.engines.targets.incoming import fitted, with_load_columns
from airflow_etl_provider.engines.targets.ledger import entry_of
from airflow_etl_provider.exceptions import (
    EtlError,
    FencedError,
    LoadConflictError,
    TargetChangedError,
    TargetDataError,
    TargetError,
    TargetSchemaError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from typing_extensions import Self

    from airflow_etl_provider.contracts.load import Load
    from airflow_etl_provider.engines.plan import KeyLookup
    from airflow_etl_provider.engines.targets.duckdb_file.ledger import FileLedger
    from airflow_etl_provider.engines.targets.duckdb_file.lookup import DuckDbLookups
    from airflow_etl_provider.engines.targets.duckdb_file.statements import Statements
    from airflow_etl_provider.engines.targets.duckdb_file.target import DuckDbTarget

__all__ = ["DuckDbSession", "remove_load", "table_schema"]


def remove_load(connection: DuckDBPyConnection, layout: TableLayout, load_id: str) -> int:
    """Remove the rows that carry the id of a load; returns how many."""
    from airflow_etl_provider.engines.targets.duckdb_file.statements import Statements

    catalog = str(run_sql(connection, "SELECT current_database()")[0][0])
    statements = Statements(catalog, layout.schema, layout.name, columns=())
    return int(connection.execute(statements.clear_load(), [load_id]).fetchall()[0][0])


def table_schema(schema: Schema, write: WriteSpec) -> Schema:
    """The columns that the table must have: those of the load and our own."""
    full = with_load_columns(schema, write)
    if write.deletes is None or write.deletes.column is None:
        return full
    return Schema((*full.fields, Field(write.deletes.column, LogicalType("timestamptz"))))


class DuckDbSession:
    """Stages rows in a file of its own, then publishes them with the ledger row."""

    def __init__(
        self,
        target: DuckDbTarget,
        load: Load,
        schema: Schema,
        write: WriteSpec,
        layout: TableLayout | None,
        *,
        done: LedgerEntry | None = None,
        epoch: int = 0,
        replaces: bool = False,
    ) -> None:
        self._target, self._load, self._write, self._layout = target, load, write, layout
        self._schema = schema
        self._typed = _typed(schema, layout)
        self._done = done
        self._epoch = done.epoch if done else epoch
        self._replaces = replaces
        self._stage: AttemptFile | None = None
        self._rows = 0
        self._loaded_at: datetime | None = None
        self._over = done is not None

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def already_loaded(self) -> LedgerEntry | None:
        return self._done

    @property
    def arrow_schema(self) -> pa.Schema:
        return with_mark(to_arrow_schema(self._incoming()), self._write)

    def _incoming(self) -> Schema:
        """What rows bring; records that delete have nothing but the key and `latest_by`."""
        if self._write.deletes is None:
            return self._typed
        return Schema(
            tuple(
                Field(f.name, f.type, nullable=f.nullable or f.name not in self._write.key)
                for f in self._typed
            )
        )

    def open_lookups(self, wanted: Sequence[KeyLookup]) -> DuckDbLookups:
        from airflow_etl_provider.engines.targets.duckdb_file.lookup import DuckDbLookups, OwnTable

        replaced = self._load.load_id if self._replaces else None
        return DuckDbLookups(
            self._target.path,
            wanted,
            home=self._target.table,
            columns=self._schema,
            own=OwnTable(self._write, replaced_load=replaced),
            wait_seconds=self._target.wait_seconds,
        )

    def write(self, batches: pa.RecordBatchReader) -> int:
        import pyarrow as pa

        self._check_open()
        target = self._target
        columns = self._incoming()
        if self._write.deletes is not None:
            columns = Schema((*columns, Field(DELETE_MARK, LogicalType("bool"), nullable=False)))
        schema = to_arrow_schema(with_load_columns(columns, self._write))
        self._loaded_at = loaded_at = target.clock()
        load_id = self._load.load_id if self._write.load_columns else None
        try:
            stage = AttemptFile(target.path, load_id=self._load.load_id, epoch=self._epoch)
            self._stage = stage
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            writer = pa.ipc.new_stream(stage.file, schema, options=options)
        except OSError as error:
            raise os_error_of(error, target.path, doing="Staging beside") from error
        for batch in batches:
            ready = fitted(batch, schema, load_id=load_id, loaded_at=loaded_at)
            try:
                writer.write_batch(ready)
            except OSError as error:
                raise os_error_of(error, target.path, doing="Staging beside") from error
            self._rows += batch.num_rows
        try:
            writer.close()
            stage.file.flush()
        except OSError as error:
            raise os_error_of(error, target.path, doing="Staging beside") from error
        return self._rows

    def publish(self, publication: Publication) -> Published:
        self._check_open()
        target = self._target
        if self._stage is None:
            raise TargetError(f"Nothing was written for {target.name} that could be published.")
        with (
            opened(target.path, wait_seconds=target.wait_seconds) as connection,
            transaction(connection),
        ):
            ledger = target.ledger_on(connection)
            created = read_layout(connection, target.table) is None
            self._check_turn(ledger, table_exists=not created)
            published = self._publish_rows(connection)
            ledger.record(
                entry_of(
                    load=self._load,
                    write=self._write,
                    target=target.name,
                    epoch=self._epoch,
                    publication=publication,
                    published=published,
                    published_at=target.clock().isoformat(),
                    created=created,
                )
            )
        self._end()
        return published

    def abort(self) -> None:
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()

    def _check_turn(self, ledger: FileLedger, *, table_exists: bool) -> None:
        """Stop an attempt that may not publish any more.

        The first attempt that follows a position wins; of other loads the newest attempt does.
        """
        if self._load.follows is not None:
            ledger.check_position(self._load, table_exists=table_exists)
        elif ledger.current_epoch(self._load.load_id) != self._epoch:
            raise FencedError(
                f"A newer attempt of load {self._load.load_id} took over {self._target.name}; "
                f"attempt {self._epoch} published nothing."
            )

    def _end(self) -> None:
        self._over = True
        stage, self._stage = self._stage, None
        if stage is not None:
            stage.discard()

    def _check_open(self) -> None:
        if self._over:
            raise EtlError(f"This attempt at {self._target.name} is over already.")

    def _publish_rows(self, connection: DuckDBPyConnection) -> Published:
        from airflow_etl_provider.engines.targets.duckdb_file.statements import STAGED

        statements = self._prepare_table(connection)
        if self._write.mode == "replace":
            connection.execute(statements.clear())
        elif self._replaces:
            self._remove_earlier_load(connection, statements)
        self._refuse_present_keys(connection, statements)
        self._register(connection)
        if self._write.mode == "merge":
            return self._merge(connection, statements)
        if self._write.mode == "replace_partition":
            connection.execute(statements.stage())
            connection.execute(statements.clear_partitions(self._write.partition_by))
            inserted = _number(connection, statements.insert(STAGED))
        else:
            inserted = _number(connection, statements.insert())
        if inserted != self._rows:
            raise TargetError(
                f"{self._target.name} took {inserted} of {self._rows} rows. Nothing was published."
            )
        return Published(rows_loaded=inserted)

    def _refuse_present_keys(self, connection: DuckDBPyConnection, statements: Statements) -> None:
        """Look once more, now that nobody else can write, for keys that were found absent."""
        for key in self._write.absent:
            self._register(connection)
            if _number(connection, statements.count_present(key)):
                raise TargetChangedError(
                    f"Others wrote rows into {self._target.name} while this load ran, with values "
                    f"of {', '.join(key)} that the rule `unique` found absent before. Nothing was "
                    "published.",
                    hint="Run again: the rows that they brought are seen then.",
                )

    def _prepare_table(self, connection: DuckDBPyConnection) -> Statements:
        """Create the table where it is missing; one that was changed meanwhile must still fit."""
        from airflow_etl_provider.engines.targets.duckdb_file.statements import Statements

        full = table_schema(self._typed, self._write)
        catalog = str(run_sql(connection, "SELECT current_database()")[0][0])
        layout = read_layout(connection, self._target.table)
        if layout is not None:
            alter_table(connection, catalog, layout, self._write)
            layout = altered(layout, self._write) or layout
            check_fit(layout, full, self._write)
            if self._layout is not None and _types(layout, full) != _types(self._layout, full):
                raise TargetChangedError(
                    f"The columns of {self._target.name} changed while the load was running.",
                    hint="Run again.",
                )
        table = self._target.table
        statements = Statements(
            catalog=catalog,
            schema=layout.schema if layout else (table.schema or "main"),
            table=layout.name if layout else table.name,
            columns=with_load_columns(self._typed, self._write).names,
            key=self._write.key,
            latest_by=self._write.latest_by,
            deleted_at=self._write.deletes.column if self._write.deletes else None,
        )
        if layout is None:
            not_null = self._write.key if self._write.mode == "merge" else ()
            connection.execute(statements.create(full, not_null=not_null))
        return statements

    def _register(self, connection: DuckDBPyConnection) -> None:
        import pyarrow as pa

        from airflow_etl_provider.engines.targets.duckdb_file.statements import INCOMING

        if self._stage is not None:
            self._stage.file.seek(0)
            connection.register(INCOMING, pa.ipc.open_stream(self._stage.file))

    def _remove_earlier_load(self, connection: DuckDBPyConnection, statements: Statements) -> None:
        load_id = self._load.load_id
        removed = connection.execute(statements.clear_load(), [load_id]).fetchall()[0][0]
        previous, _ = self._target.ledger_on(connection).find(load_id)
        if previous is not None and previous.rows_loaded and not removed:
            raise LoadConflictError(
                f"None of the {previous.rows_loaded} rows of the earlier load {load_id} can be "
                f"found in {self._target.name}: they do not carry its id.",
                hint="It was loaded without `load_columns: true`. Remove its rows by hand, then "
                "its row in _etl_loads.",
            )

    def _merge(self, connection: DuckDBPyConnection, statements: Statements) -> Published:
        connection.execute(statements.stage())
        key = ", ".join(self._write.key)
        if nulls := _number(connection, statements.null_keys()):
            raise TargetDataError(
                f"{nulls} rows have no value in the key ({key}) of {self._target.name}.",
                hint="Add the rule `not_null: true`, so that such rows are quarantined.",
            )
        if repeated := _number(connection, statements.repeated_keys()):
            raise TargetDataError(
                f"{repeated} keys ({key}) come more than once in the load.",
                hint="Add the rule `unique: true`, or name `latest_by`.",
            )
        if ambiguous := _number(connection, statements.ambiguous_keys()):
            raise TargetSchemaError(
                f"{ambiguous} keys of the load stand in {self._target.name} more than once: "
                f"({key}) is no key of it.",
                hint="Name all columns of the key.",
            )
        deletes, kept = 0, 0
        if self._write.deletes is not None:
            kept = self._delete_rows(connection, statements)
            deletes = _number(connection, statements.drop_marked())
            self._rows -= deletes
        older_query = statements.older()
        older = _number(connection, older_query) if older_query else 0
        merged = _number(connection, statements.merge())
        expected = self._rows - older
        keys = {name.lower() for name in self._write.key}
        only_keys = all(name.lower() in keys for name in statements.columns)
        if merged != expected and not (only_keys and merged <= expected):
            raise TargetError(
                f"{self._target.name} took {merged} of {expected} rows. Nothing was published."
            )
        return Published(
            rows_loaded=expected, rows_deduplicated=older + kept, rows_deleted=deletes - kept
        )

    def _delete_rows(self, connection: DuckDBPyConnection, statements: Statements) -> int:
        """Delete what staged records delete; returns how many the table has something newer than.

        The file is ours alone until the commit, so they can be counted before.
        """
        kept = _number(connection, statements.count_kept())
        if statements.deleted_at is None:
            connection.execute(statements.delete_marked())
        else:
            extra = ("_etl_load_id", "_etl_loaded_at") if self._write.load_columns else ()
            connection.execute(statements.mark_deleted(extra), [self._loaded_at])
        return kept


def _number(connection: DuckDBPyConnection, sql: str) -> int:
    return int(str(run_sql(connection, sql)[0][0]))


def _types(layout: TableLayout, schema: Schema) -> list[str | None]:
    found = [layout.column(name) for name in schema.names]
    return [column.physical if column else None for column in found]


def _typed(schema: Schema, layout: TableLayout | None) -> Schema:
    """The load's columns with the types of the table, where it is there already."""
    if layout is None:
        return schema
    fields = []
    for field in schema:
        column = layout.column(field.name)
        fields.append(
            Field(
                field.name,
                (column.type or LogicalType("string")) if column else field.type,
                field.nullable,
            )
        )
    return Schema(tuple(fields))
