"""Failed rows wait here until their record numbers are known, in memory first, then on disk.

A row's record number depends on what the reader itself rejected before it, which is known only when
the input was read to its end.
"""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING

from airflow_etl_provider.engines.arrow_values import array_of
from airflow_etl_provider.engines.backends.base import FailedRow
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

__all__ = ["FailedRowSpool"]

CHUNK_ROWS = 5_000
CHUNK_BYTES = 4 * 2**20


class FailedRowSpool:
    """Append rows in order, then read them once, in chunks."""

    def __init__(self, *, scratch: Path | None = None) -> None:
        self._scratch = scratch
        self._rows: list[FailedRow] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._writer: pa.RecordBatchStreamWriter | None = None

    def add(self, rows: Iterable[FailedRow]) -> None:
        for row in rows:
            self._rows.append(row)
            self._bytes += len(row.record)
            if len(self._rows) >= CHUNK_ROWS or self._bytes >= CHUNK_BYTES:
                self._spill()

    def chunks(self) -> Iterator[list[FailedRow]]:
        """All rows in order; ends the spool's use."""
        import pyarrow as pa

        if self._file is not None and self._writer is not None:
            self._writer.close()
            self._file.seek(0)
            for batch in pa.ipc.open_stream(self._file):
                columns = batch.to_pydict()
                yield [
                    FailedRow(row, tuple(checks), record)
                    for row, checks, record in zip(
                        columns["row"], columns["checks"], columns["record"], strict=True
                    )
                ]
        if self._rows:
            yield self._rows
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._writer, self._rows = None, None, []

    def _spill(self) -> None:
        import pyarrow as pa

        schema = pa.schema(
            [
                ("row", pa.int64()),
                ("checks", pa.list_(pa.int32())),
                ("record", pa.large_string()),
            ]
        )
        try:
            if self._file is None or self._writer is None:
                self._file = tempfile.TemporaryFile(  # noqa: SIM115 - close() ends it
                    prefix="airflow-etl-", dir=self._scratch
                )
                self._writer = pa.ipc.new_stream(self._file, schema)
            self._writer.write_batch(
                pa.RecordBatch.from_arrays(
                    [
                        array_of([r.row for r in self._rows], schema.field(0).type),
                        array_of([list(r.checks) for r in self._rows], schema.field(1).type),
                        array_of([r.record for r in self._rows], schema.field(2).type),
                    ],
                    schema=schema,
                )
            )
        except OSError as error:
            folder = self._scratch or tempfile.gettempdir()
            raise QuarantineError(
                f"Rejected rows can't be kept in {folder}: {error.strerror or error}.",
                hint="Make room there, or point the scratch folder elsewhere. Nothing was "
                "published.",
            ) from error
        self._rows, self._bytes = [], 0
