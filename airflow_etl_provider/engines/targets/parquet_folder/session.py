"""One attempt at one load of a folder."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.engines.backends.duckdb.types import to_arrow_schema
from airflow_etl_provider.engines.targets.base import Published
from airflow_etl_provider.engines.targets.incoming import fitted, with_load_columns
from airflow_etl_provider.engines.targets.intervals import storable, storable_schema
from airflow_etl_provider.engines.targets.ledger import check_position, entry_of, token_of
from airflow_etl_provider.engines.targets.parquet_folder.layout import layout_of
from airflow_etl_provider.engines.targets.parquet_folder.manifest import attempt_name
from airflow_etl_provider.engines.targets.parquet_folder.publish import add_load
from airflow_etl_provider.engines.targets.parquet_folder.sweep import (
    attempt_list,
    list_key,
    note,
    sweep,
)
from airflow_etl_provider.engines.targets.parquet_folder.writer import FileNames, FolderWriter
from airflow_etl_provider.exceptions import (
    EtlError,
    FencedError,
    TargetChangedError,
    TargetError,
    TargetUnavailableError,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import Self

    from airflow_etl_provider.contracts.load import Load
    from airflow_etl_provider.engines.targets.base import LedgerEntry, Publication, WriteSpec
    from airflow_etl_provider.engines.targets.parquet_folder.history import Snapshot
    from airflow_etl_provider.engines.targets.parquet_folder.manifest import Manifest
    from airflow_etl_provider.engines.targets.parquet_folder.target import ParquetFolderTarget

__all__ = ["GRACE", "FolderSession"]

log = logging.getLogger(__name__)

GRACE = timedelta(days=7)
"""An attempt that has not published by then is taken for dead by the loads that come after it."""


class FolderSession:
    """Writes files that nobody sees, then shows them by one new manifest.

    :param layout: columns and partitions of the folder once the load is in it.
    """

    def __init__(
        self,
        target: ParquetFolderTarget,
        load: Load,
        schema: Schema,
        write: WriteSpec,
        *,
        layout: tuple[Schema, tuple[str, ...]],
        done: LedgerEntry | None = None,
        begun: Snapshot | None = None,
    ) -> None:
        self._target, self._load, self._write = target, load, write
        self._schema, self._layout = schema, layout
        self._done = done
        self._begun = begun
        self._epoch = done.epoch if done else begun.manifest.epoch if begun else 0
        self._writer: FolderWriter | None = None
        self._rows = 0
        self._shown = self._tried = self._in_doubt = False
        self._over = done is not None
        self._list_keys = [list_key(self._epoch)]
        self._attempt_list = attempt_list(self._epoch)

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def already_loaded(self) -> LedgerEntry | None:
        return self._done

    @property
    def arrow_schema(self) -> pa.Schema:
        return to_arrow_schema(_typed(self._schema, self._layout[0]))

    def write(self, batches: pa.RecordBatchReader) -> int:
        begun, target = self._check_open(), self._target
        columns, partition_by = self._layout
        typed = _typed(with_load_columns(self._schema, self._write), columns)
        taken, whole = to_arrow_schema(typed), to_arrow_schema(columns)
        stored = storable_schema(whole)
        load_id = self._load.load_id if self._write.load_columns else None
        loaded_at = target.clock()
        writer = self._writer = FolderWriter(
            target.store,
            stored,
            names=FileNames(begun.manifest.table, self._load.load_id, self._epoch),
            partition_by=partition_by,
            file_bytes=target.file_bytes,
            scratch=target.scratch,
        )
        for batch in batches:
            ready = fitted(batch, taken, load_id=load_id, loaded_at=loaded_at)
            with target.store.reporting("Writing into"):
                writer.write(storable(_widened(ready, whole), stored))
            self._rows += batch.num_rows
        first = begun.manifest.schema is None
        with target.store.reporting("Writing into"):
            writer.finish(at_least_one=first or self._write.mode == "replace")
        return self._rows

    def publish(self, publication: Publication) -> Published:
        begun = self._check_open()
        target, writer = self._target, self._writer
        if writer is None:
            raise TargetError(f"Nothing was written for {target.name} that could be published.")
        rows = sum(file.rows for file in writer.files)
        if rows != self._rows:
            raise TargetError(
                f"The files for {target.name} hold {rows} of {self._rows} rows. "
                "Nothing was published."
            )
        published = Published(rows_loaded=rows)
        entry = entry_of(
            load=self._load,
            write=self._write,
            target=target.name,
            epoch=self._epoch,
            publication=publication,
            published=published,
            published_at=target.clock().isoformat(),
            created=begun.manifest.schema is None,
        )
        self._check_turn(target.history.read())
        self._note_shown()
        self._shown = True
        target.store.reveal(writer.pending)
        after = self._commit(entry)
        self._over, self._in_doubt = True, False
        sweep(target.history, after)
        return published

    def abort(self) -> None:
        if self._over:
            return
        self._over = True
        writer, self._writer = self._writer, None
        if writer is None or self._in_doubt:
            # Nobody knows whether the last manifest arrived; the next load will.
            return
        writer.abandon()
        if self._shown:
            # What refused a manifest may have taken it all the same: what is live stays.
            found = self._target.history.read()
            live = found.named_keys() if found is not None else set()
            shown = [*(file.key for file in writer.files), *self._list_keys, self._attempt_list]
            self._target.store.delete(key for key in shown if key not in live)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.abort()
        except EtlError as error:
            if exc[0] is None:
                raise
            # What stopped the load is the news; the next load sweeps what is left.
            log.warning("%s could not be tidied up (%s).", self._target.name, error.code)

    def _commit(self, entry: LedgerEntry) -> Snapshot:
        try:
            return self._target.history.commit(lambda before: self._decide(before, entry))
        except TargetUnavailableError:
            raise
        except EtlError:
            # Who refuses has not done it.
            self._in_doubt = False
            raise

    def _note_shown(self) -> None:
        """Write down what is to be swept if this attempt dies."""
        files = self._writer.files if self._writer is not None else []
        keys = [*(file.key for file in files), *self._list_keys]
        note(self._target.store, self._attempt_list, keys)

    def _decide(self, before: Snapshot, entry: LedgerEntry) -> Manifest | None:
        """The version that has this load, on whatever others published meanwhile.

        None where the folder has it: a try that was thought to have failed had not.
        """
        there = before.find(self._load.load_id)
        if there is not None and there.entry.epoch == self._epoch:
            return None
        # Whoever publishes lives no longer: an attempt that lives has not published.
        self._check_turn(before)
        self._in_doubt = False
        target, manifest = self._target, before.manifest
        full = with_load_columns(self._schema, self._write)
        columns, partition_by = layout_of(manifest, full, self._write, name=target.name)
        # Readers find the columns of a file by their names, so the order is the folder's.
        if _by_name(columns) != _by_name(self._layout[0]) or partition_by != self._layout[1]:
            raise TargetChangedError(
                f"Another load changed the columns or partitions of {target.name} while this one "
                "was running. Nothing was published.",
                hint="Run again.",
            )
        files = tuple(self._writer.files) if self._writer is not None else ()
        version = before.version + 1
        rewrite = add_load(before, entry, files, version=version)
        if self._tried:
            # The list of an earlier try may yet be found to be live: it is never written over.
            self._list_keys.append(list_key(self._epoch))
            self._note_shown()
        self._tried = True
        ref = target.write_list(rewrite, key=self._list_keys[-1], version=version)
        attempts = {
            name: attempt
            for name, attempt in manifest.attempts.items()
            if name.partition("/")[0] != self._load.load_id
        }
        self._in_doubt = True
        return replace(
            manifest,
            schema=columns,
            partition_by=partition_by,
            lists=(*rewrite.kept, ref),
            attempts=attempts,
        )

    def _check_turn(self, snapshot: Snapshot | None) -> None:
        """Stop an attempt that may not publish any more."""
        if self._load.follows is not None:
            entries = snapshot.entries() if snapshot is not None else []
            token = token_of(entries, self._load.pipeline)
            check_position(self._load, token, where=self._target.name)
        manifest = snapshot.manifest if snapshot is not None else None
        name = attempt_name(self._load, self._epoch)
        newest = manifest.attempts.get(name) if manifest is not None else None
        begun = self._begun.manifest if self._begun is not None else None
        same = manifest is not None and begun is not None and manifest.table == begun.table
        if newest is None or newest.epoch != self._epoch or not same:
            raise FencedError(
                f"A newer attempt at load {self._load.load_id} took over {self._target.name}, or "
                f"this one took longer than {GRACE.days} days; attempt {self._epoch} published "
                "nothing."
            )

    def _check_open(self) -> Snapshot:
        if self._over or self._begun is None:
            raise EtlError(f"This attempt at {self._target.name} is over already.")
        return self._begun


def _typed(schema: Schema, columns: Schema) -> Schema:
    """The load's columns with the types of the folder."""
    return Schema(tuple(Field(f.name, columns[f.name].type, f.nullable) for f in schema))


def _by_name(columns: Schema) -> dict[str, Field]:
    return {field.name: field for field in columns}


def _widened(batch: pa.RecordBatch, whole: pa.Schema) -> pa.RecordBatch:
    """The same rows with NULL in the columns of the folder that the load does not have."""
    import pyarrow as pa

    if batch.schema.names == whole.names:
        return pa.RecordBatch.from_arrays(batch.columns, schema=whole)
    there = set(batch.schema.names)
    columns = [
        batch.column(field.name) if field.name in there else pa.nulls(batch.num_rows, field.type)
        for field in whole
    ]
    return pa.RecordBatch.from_arrays(columns, schema=whole)
