"""Rows of many partitions wait in one file on disk, and are read back partition by partition."""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

__all__ = ["Spill"]

HELD_BYTES = 64 * 2**20
"""Arrow bytes of all partitions together that wait in memory."""


class Spill:
    """Gathers batches by partition; memory is bounded whatever their number and order.

    Each partition's rows are a chain of chunks in the file, whose places are kept in memory.

    :param folder: where the file is; the system's temporary folder when None. It has no name, so
        that nothing stays of it however the process ends.
    """

    def __init__(self, folder: Path | None, *, held_bytes: int = HELD_BYTES) -> None:
        self._folder, self._limit = folder, held_bytes
        self._file: IO[bytes] | None = None
        self._held: dict[str, list[pa.RecordBatch]] = {}
        self._bytes: dict[str, int] = {}
        self._total = 0
        self._chunks: dict[str, list[tuple[int, int]]] = {}

    def __contains__(self, partition: str) -> bool:
        return partition in self._held or partition in self._chunks

    def add(self, partition: str, rows: pa.RecordBatch) -> None:
        """Keep rows until they are read back."""
        self._held.setdefault(partition, []).append(rows)
        self._bytes[partition] = self._bytes.get(partition, 0) + rows.nbytes
        self._total += rows.nbytes
        if self._total > self._limit:
            self._make_room()

    def partitions(self) -> list[str]:
        """All that have rows, in order of their names."""
        return sorted({*self._held, *self._chunks})

    def take(self, partition: str) -> Iterator[pa.RecordBatch]:
        """The rows of one partition in the order in which they came; only once."""
        import pyarrow as pa

        for start, size in self._chunks.pop(partition, []):
            file = self._open()
            file.seek(start)
            with pa.ipc.open_stream(pa.py_buffer(file.read(size))) as chunk:
                yield from chunk
        held = self._held.pop(partition, [])
        self._total -= self._bytes.pop(partition, 0)
        yield from held

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
        self._held, self._chunks = {}, {}

    def _make_room(self) -> None:
        """Write the largest out until half of the room is free, so that chunks are not tiny."""
        for partition in sorted(self._bytes, key=lambda name: self._bytes[name], reverse=True):
            if self._total <= self._limit // 2:
                return
            self._write_out(partition)

    def _write_out(self, partition: str) -> None:
        import pyarrow as pa

        file, batches = self._open(), self._held.pop(partition)
        start = file.seek(0, 2)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        # One batch of many small ones, which would each cost a header.
        table = pa.Table.from_batches(batches).combine_chunks()
        with pa.ipc.new_stream(file, table.schema, options=options) as writer:
            writer.write_table(table)
        self._chunks.setdefault(partition, []).append((start, file.tell() - start))
        self._total -= self._bytes.pop(partition)

    def _open(self) -> IO[bytes]:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix="etl-")  # noqa: SIM115
        return self._file
