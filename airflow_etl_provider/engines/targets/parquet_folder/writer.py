"""Data files of one attempt: cut at a size, and by partition."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.row_groups import GROUP_BYTES, RowGroupWriter
from airflow_etl_provider.engines.targets.parquet_folder.manifest import DataFile
from airflow_etl_provider.engines.targets.parquet_folder.partitions import split
from airflow_etl_provider.engines.targets.parquet_folder.spill import Spill
from airflow_etl_provider.exceptions import TargetDataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from airflow_etl_provider.engines.targets.parquet_folder.store import PendingFile, Store

__all__ = ["FILE_BYTES", "FileNames", "FolderWriter", "owner_of"]

FILE_BYTES = 256 * 2**20
"""A file that has become as large is followed by another."""

OPEN_FILES = 8
"""Partitions that are written at a time; the rows of others wait on disk."""

MAX_PARTITIONS = 10_000

_NAME = re.compile(
    r"part-\d+-[0-9A-Za-z]+-(?P<epoch>\d+)-(?P<table>[0-9a-f]{8})[0-9a-f]{8}\.parquet"
)


@dataclass(slots=True)
class FileNames:
    """Names that no other file of the folder ever has or had."""

    table: str
    load_id: str
    epoch: int
    count: int = 0

    def next(self, partition: str) -> str:
        """The key of one more file."""
        load = re.sub(r"[^0-9A-Za-z]", "", self.load_id)[:12] or "0"
        name = (
            f"part-{self.count:05d}-{load}-{self.epoch}-{self.table}{secrets.token_hex(4)}.parquet"
        )
        self.count += 1
        return f"{partition}/{name}" if partition else name


def owner_of(key: str, *, table: str) -> int | None:
    """The epoch of the attempt whose file it is; None where it is none of this folder's."""
    found = _NAME.fullmatch(key.rpartition("/")[2])
    return int(found["epoch"]) if found and found["table"] == table else None


class FolderWriter:
    """Takes batches and leaves sealed files that nobody sees yet.

    :param schema: of the rows, partition columns included; they are not written into the files,
        since readers take them from the folders' names.
    :param scratch: where rows wait that can't be written at once.
    """

    def __init__(
        self,
        store: Store,
        schema: pa.Schema,
        *,
        names: FileNames,
        partition_by: Sequence[str] = (),
        file_bytes: int = FILE_BYTES,
        scratch: Path | None = None,
    ) -> None:
        import pyarrow as pa

        self.pending: list[PendingFile] = []
        self.files: list[DataFile] = []
        self._store, self._names = store, names
        self._partition_by, self._file_bytes = tuple(partition_by), file_bytes
        self._schema = pa.schema([f for f in schema if f.name not in self._partition_by])
        self._open: dict[str, _OpenFile] = {}
        self._seen: set[str] = set()
        self._spill = Spill(scratch)

    def write(self, batch: pa.RecordBatch) -> None:
        """Take rows."""
        if not self._partition_by:
            self._write(self._file(""), batch)
            return
        for partition, rows in split(batch, self._partition_by):
            self._note(partition)
            if partition in self._open or (
                len(self._open) < OPEN_FILES and partition not in self._spill
            ):
                self._write(self._file(partition), rows)
            else:
                self._spill.add(partition, rows)
        self._make_room()

    def finish(self, *, at_least_one: bool) -> None:
        """Seal all files.

        :param at_least_one: write a file without rows if there would be none, so that readers of
            a folder find its columns.
        """
        for file in list(self._open.values()):
            self._seal(file)
        for partition in self._spill.partitions():
            for rows in self._spill.take(partition):
                self._write(self._file(partition), rows)
            if partition in self._open:
                self._seal(self._open[partition])
        self._spill.close()
        if at_least_one and not self.files and not self._partition_by:
            self._seal(self._file(""))

    def abandon(self) -> None:
        """Stop, and remove what was written; harmless twice."""
        for file in self._open.values():
            file.writer.abandon()
        self._open.clear()
        self._spill.close()
        for pending in self.pending:
            pending.discard()
        self.pending = []

    def _note(self, partition: str) -> None:
        self._seen.add(partition)
        if len(self._seen) > MAX_PARTITIONS:
            raise TargetDataError(
                f"The load has more than {MAX_PARTITIONS} partitions "
                f"({', '.join(self._partition_by)}). Nothing was published.",
                hint="Partition by something coarser, such as the month of a time.",
            )

    def _file(self, partition: str) -> _OpenFile:
        found = self._open.get(partition)
        if found is None:
            pending = self._store.create(self._names.next(partition))
            self.pending.append(pending)
            found = _OpenFile(partition, pending, RowGroupWriter(pending.file, self._schema))
            self._open[partition] = found
        return found

    def _write(self, file: _OpenFile, rows: pa.RecordBatch) -> None:
        file.writer.write(rows)
        if file.pending.file.tell() >= self._file_bytes:
            self._seal(file)

    def _make_room(self) -> None:
        """Keep what open files hold together within what one file may hold."""
        while sum(file.writer.held_bytes for file in self._open.values()) > 2 * GROUP_BYTES:
            max(self._open.values(), key=lambda file: file.writer.held_bytes).writer.flush()

    def _seal(self, file: _OpenFile) -> None:
        del self._open[file.partition]
        file.writer.close()
        size = file.pending.file.tell()
        file.pending.seal()
        self.files.append(DataFile(file.pending.key, file.writer.rows_in_footer, size))


@dataclass(frozen=True, slots=True)
class _OpenFile:
    partition: str
    pending: PendingFile
    writer: RowGroupWriter
