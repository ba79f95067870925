"""One Parquet file as a target; its ledger is in the file, so that rows and proof are one step."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING

from airflow_etl_provider.engines.row_groups import RowGroupWriter
from airflow_etl_provider.engines.targets.intervals import storable, storable_schema
from airflow_etl_provider.engines.targets.ledger import entry_from_dict, entry_to_dict
from airflow_etl_provider.engines.targets.whole_file import Encoder, WholeFileTarget

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_etl_provider.engines.targets.base import LedgerEntry

__all__ = ["ParquetFileTarget"]

LEDGER_KEY = "airflow_etl_ledger"
"""The key of the ledger among the file's key-value metadata."""


class ParquetFileTarget(WholeFileTarget):
    """A Parquet file, compressed with zstd, in row groups of bounded size."""

    kind = "Parquet"

    def read_ledger(self, load_id: str | None = None) -> list[LedgerEntry]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self.path.exists():
            return []
        try:
            metadata = pq.read_metadata(self.path).metadata or {}
            values = json.loads(metadata.get(LEDGER_KEY.encode(), b"[]"))
            return [entry_from_dict(value) for value in values]
        except (pa.ArrowInvalid, ValueError):
            # Whatever has the name now, it was not published by a load of ours.
            return []

    def encoder(self, file: IO[bytes], schema: pa.Schema) -> Encoder:
        return _ParquetEncoder(file, schema)


class _ParquetEncoder(Encoder):
    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self._file = file
        self._writer = RowGroupWriter(file, storable_schema(schema))

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write(storable(batch, self._writer.schema))

    def finish(self, ledger: list[LedgerEntry]) -> int:
        import pyarrow.parquet as pq

        entries = json.dumps([entry_to_dict(entry) for entry in ledger])
        self._writer.close(metadata={LEDGER_KEY: entries})
        self._file.flush()
        self._file.seek(0)
        rows: int = pq.read_metadata(self._file).num_rows
        return rows

    def abandon(self) -> None:
        self._writer.abandon()
