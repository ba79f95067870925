"""A folder of Parquet files as a target: rows become visible by one new manifest.

Every version of the folder is an object of its own that is created once. Who creates version N + 1
wins; who comes second reads it, and tries N + 2 if it may. Beginning a load makes a version, too,
so that an attempt that was overtaken learns of it before it can publish.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.targets.base import Undone
from airflow_etl_provider.engines.targets.incoming import with_load_columns
from airflow_etl_provider.engines.targets.ledger import (
    check_position,
    judge_reload,
    judge_undo,
    later_by_column,
    position_of,
    refuse_undo_below_mark,
    token_of,
)
from airflow_etl_provider.engines.targets.parquet_folder.history import KEPT_VERSIONS, History
from airflow_etl_provider.engines.targets.parquet_folder.layout import check_write, layout_of
from airflow_etl_provider.engines.targets.parquet_folder.manifest import (
    LivingAttempt,
    attempt_name,
)
from airflow_etl_provider.engines.targets.parquet_folder.publish import remove_load
from airflow_etl_provider.engines.targets.parquet_folder.session import GRACE, FolderSession
from airflow_etl_provider.engines.targets.parquet_folder.sweep import (
    list_key,
    note,
    replaced_list,
    sweep,
)
from airflow_etl_provider.engines.targets.parquet_folder.writer import FILE_BYTES
from airflow_etl_provider.exceptions import TargetChangedError, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_etl_provider.contracts.load import Load
    from airflow_etl_provider.contracts.schema import Limit, Schema
    from airflow_etl_provider.contracts.types import LogicalType
    from airflow_etl_provider.engines.targets.base import LedgerEntry, Position, WriteSpec
    from airflow_etl_provider.engines.targets.parquet_folder.history import Snapshot
    from airflow_etl_provider.engines.targets.parquet_folder.manifest import ListRef, Manifest
    from airflow_etl_provider.engines.targets.parquet_folder.publish import Rewrite
    from airflow_etl_provider.engines.targets.parquet_folder.store import Store

__all__ = ["ParquetFolderTarget"]


class ParquetFolderTarget:
    """A folder of Parquet files with its ledger under `_etl/`.

    :param store: the place.
    :param quarantine_home: the folder for rejected rows.
    :param reshape: every load replaces the folder, so that it may bring other columns.
    :param keep_versions: for so many more publishes the files of replaced rows stay.
    :param file_bytes: a file of that size is followed by another.
    :param scratch: where rows of many partitions wait; the system's temporary folder when None.
    :param wait_seconds: how long to go on trying while other loads publish.
    """

    def __init__(
        self,
        store: Store,
        *,
        quarantine_home: str | None,
        reshape: bool = False,
        keep_versions: int = 0,
        file_bytes: int = FILE_BYTES,
        scratch: Path | None = None,
        clock: Callable[[], datetime] | None = None,
        wait_seconds: float = 120.0,
    ) -> None:
        self.store = store
        self.clock = clock or (lambda: datetime.now(timezone.utc))
        self.file_bytes, self.scratch = file_bytes, scratch
        self.history = History(store, clock=self.clock, wait_seconds=wait_seconds)
        self._quarantine_home = quarantine_home
        self._reshape, self._keep_versions = reshape, keep_versions

    @property
    def name(self) -> str:
        return self.store.name

    @property
    def quarantine_home(self) -> str | None:
        return self._quarantine_home

    def schema(self) -> Schema | None:
        """None where every load replaces the folder: then its columns are those of the load."""
        snapshot = None if self._reshape else self.history.read()
        return snapshot.manifest.schema if snapshot is not None else None

    def limit_of(self, of: LogicalType) -> Limit | None:
        return None

    def ledger(self) -> list[LedgerEntry]:
        snapshot = self.history.read()
        return snapshot.entries() if snapshot is not None else []

    def position(self, pipeline: str, *, with_inputs: bool) -> Position:
        return position_of(self.ledger(), pipeline, with_inputs=with_inputs)

    def close(self) -> None:
        return

    def begin(self, *, load: Load, schema: Schema, write: WriteSpec) -> FolderSession:
        full = with_load_columns(schema, write)
        check_write(full, write)
        self.store.prepare()
        done: list[LedgerEntry] = []

        def decide(before: Snapshot) -> Manifest | None:
            self._refuse_strangers(before)
            layout_of(before.manifest, full, write, name=self.name)
            found = before.find(load.load_id)
            previous = found.entry if found is not None else None
            superseded = found is not None and found.superseded
            verdict = judge_reload(
                previous, load=load, write=write, superseded=superseded, finds_rows=True
            )
            if verdict == "already_loaded" and previous is not None:
                done.append(previous)
                return None
            if load.follows is not None:
                check_position(load, token_of(before.entries(), load.pipeline), where=self.name)
            return self._with_attempt(before.manifest, load)

        begun = self.history.commit(decide)
        layout = layout_of(begun.manifest, full, write, name=self.name)
        # What attempts left that this one overtook, so that nobody reads it any longer; and what
        # whoever was killed after publishing could not remove.
        sweep(self.history, begun)
        return FolderSession(
            self, load, schema, write, layout=layout, begun=begun, done=done[0] if done else None
        )

    def undo(self, load_id: str) -> Undone:
        if self.history.read() is not None:
            self.store.prepare()
        undone: list[Undone] = []
        tried: list[int] = []

        def decide(before: Snapshot) -> Manifest | None:
            found = before.find(load_id)
            if tried:
                if found is None:
                    # A try that was thought to have failed had not.
                    return None
                if found.version != tried[-1]:
                    raise TargetChangedError(
                        f"Load {load_id} was loaded into {self.name} again while it was undone.",
                        hint="Undo it again if its new rows are to go, too.",
                    )
            entry = judge_undo(
                found.entry if found is not None else None,
                load_id,
                target=self.name,
                load_columns=True,
            )
            refuse_undo_below_mark(
                entry,
                later=later_by_column(before.entries(), load_id),
                gone=found is not None and found.superseded,
            )
            files = found.files if found is not None else ()
            tried[:] = [found.version] if found is not None else []
            undone.append(Undone(entry, sum(file.rows for file in files)))
            version = before.version + 1
            key = list_key(before.manifest.epoch)
            note(self.store, replaced_list(version), [key])
            rewrite = remove_load(before, load_id)
            ref = self.write_list(rewrite, key=key, version=version)
            attempts = {
                other: attempt
                for other, attempt in before.manifest.attempts.items()
                if other.partition("/")[0] != load_id
            }
            return replace(before.manifest, lists=(*rewrite.kept, ref), attempts=attempts)

        sweep(self.history, self.history.commit(decide))
        return undone[-1]

    def write_list(self, rewrite: Rewrite, *, key: str, version: int) -> ListRef:
        """Write the list that a version adds, and note what is not needed once that is there."""
        if rewrite.dropped_files:
            due = replaced_list(version + self._keep_versions)
            note(self.store, due, rewrite.dropped_files)
        if rewrite.dropped_lists:
            note(self.store, replaced_list(version + KEPT_VERSIONS), rewrite.dropped_lists)
        self.history.write_list(key, rewrite.fresh)
        return rewrite.ref(key)

    def _with_attempt(self, manifest: Manifest, load: Load) -> Manifest:
        """Hand out an epoch; attempts that began too long ago lose theirs."""
        now = self.clock()
        living = {
            other: attempt
            for other, attempt in manifest.attempts.items()
            if datetime.fromisoformat(attempt.begun_at) > now - GRACE
        }
        epoch = manifest.epoch + 1
        living[attempt_name(load, epoch)] = LivingAttempt(epoch, now.isoformat())
        return replace(manifest, epoch=epoch, attempts=living)

    def _refuse_strangers(self, before: Snapshot) -> None:
        """A folder that is not ours yet must not hold what readers would take for its rows."""
        if before.version > 0:
            return
        for key in self.store.keys("", limit=1000):
            if not any(part.startswith(("_", ".")) for part in key.split("/")):
                raise TargetError(
                    f"{self.name} holds {key!r}, which no load of ours wrote. Nothing was changed.",
                    hint="Name an empty folder, or load those files into it by a pipeline.",
                )
