"""Parquet written row group by row group, so that memory stays bounded whatever the rows weigh."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RowGroupWriter"]

GROUP_BYTES = 32 * 2**20
"""Arrow bytes gathered before a row group is written."""

GROUP_ROWS = 122_880
"""The most rows of a group: what DuckDB reads as one unit."""


class RowGroupWriter:
    """Gathers record batches and writes them as zstd row groups of bounded size."""

    def __init__(
        self,
        sink: IO[bytes],
        schema: pa.Schema,
        *,
        group_bytes: int = GROUP_BYTES,
        group_rows: int = GROUP_ROWS,
    ) -> None:
        import pyarrow.parquet as pq

        self.schema = schema
        self.rows = 0
        self._bytes, self._rows = group_bytes, group_rows
        self._batches: list[pa.RecordBatch] = []
        self.held_bytes = self._held_rows = 0
        self._writer = pq.ParquetWriter(sink, schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch; a large one is cut."""
        at = 0
        step = self._step(batch)
        while at < batch.num_rows:
            piece = batch.slice(at, step)
            at += piece.num_rows
            self._batches.append(piece)
            self.held_bytes += piece.nbytes
            self._held_rows += piece.num_rows
            if self.held_bytes >= self._bytes or self._held_rows >= self._rows:
                self.flush()

    def _step(self, batch: pa.RecordBatch) -> int:
        per_row: int = max(batch.nbytes // max(batch.num_rows, 1), 1)
        return max(min(self._bytes // per_row, self._rows), 1)

    def flush(self) -> None:
        """Write what is held as a row group of its own."""
        import pyarrow as pa

        if self._batches:
            table = pa.Table.from_batches(self._batches, schema=self.schema)
            self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
            self.rows += table.num_rows
        self._batches, self.held_bytes, self._held_rows = [], 0, 0

    def close(self, *, metadata: dict[str, str] | None = None) -> None:
        """Write what is held and the footer, with `metadata` as key-value pairs."""
        self.flush()
        if metadata:
            self._writer.add_key_value_metadata(metadata)
        self._writer.close()

    @property
    def rows_in_footer(self) -> int:
        """How many rows the closed file says it holds."""
        return int(self._writer.writer.metadata.num_rows)

    def abandon(self) -> None:
        """Stop without caring for what was written; the file is going to be removed."""
        self._batches = []
        try:
            self._writer.close()
        except (OSError, ValueError):
            # The footer of a file that is thrown away may fail like the rows before it did.
            return
