"""One CSV file as a target: RFC 4180 in UTF-8, with one header row.

https://www.rfc-editor.org/rfc/rfc4180
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import IO, TYPE_CHECKING, Any

from airflow_etl_provider.engines.targets.attempt_file import sync_folder
from airflow_etl_provider.engines.targets.csv_text import csv_lines, header_line
from airflow_etl_provider.engines.targets.ledger import entry_from_dict, entry_to_dict
from airflow_etl_provider.engines.targets.whole_file import Encoder, WholeFileTarget

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from airflow_etl_provider.engines.targets.base import LedgerEntry

__all__ = ["CsvFileTarget"]


class CsvFileTarget(WholeFileTarget):
    """A CSV file. Its ledger lies beside it and is believed only if size and checksum match."""

    kind = "CSV"

    @property
    def ledger_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.etl.json")

    def read_ledger(self, load_id: str | None = None) -> list[LedgerEntry]:
        sidecar, entries = self._sidecar()
        if load_id is not None and all(entry.load_id != load_id for entry in entries):
            return []
        return entries if entries and self._is_described_by(sidecar) else []

    def history(self) -> list[LedgerEntry]:
        return self._sidecar()[1]

    def _sidecar(self) -> tuple[dict[str, Any], list[LedgerEntry]]:
        try:
            sidecar = json.loads(self.ledger_path.read_bytes())
            return sidecar, [entry_from_dict(value) for value in sidecar["ledger"]]
        except (FileNotFoundError, KeyError, TypeError, AttributeError, ValueError):
            # No sidecar, or none of ours: then nothing is proved, and a load simply writes anew.
            return {}, []

    def _is_described_by(self, sidecar: dict[str, Any]) -> bool:
        if not self.path.exists() or self.path.stat().st_size != sidecar.get("size"):
            return False
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
        return bool(digest.hexdigest() == sidecar.get("sha256"))

    def encoder(self, file: IO[bytes], schema: pa.Schema) -> Encoder:
        return _CsvEncoder(file, schema)

    def prove(self, encoder: Encoder, ledger: list[LedgerEntry]) -> None:
        """Write the proof; without it the file is whole, and the next run writes it anew."""
        if not isinstance(encoder, _CsvEncoder):
            raise TypeError(type(encoder))
        sidecar = {
            "file": self.path.name,
            "size": encoder.size,
            "sha256": encoder.digest.hexdigest(),
            "ledger": [entry_to_dict(entry) for entry in ledger],
        }
        temporary = self.ledger_path.with_name(f".{self.ledger_path.name}.tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(sidecar, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.ledger_path)
        sync_folder(self.path.parent)


class _CsvEncoder(Encoder):
    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0
        self._rows = 0
        self._put(header_line(schema.names))

    def write(self, batch: pa.RecordBatch) -> None:
        self._put(csv_lines(batch))
        self._rows += batch.num_rows

    def finish(self, ledger: list[LedgerEntry]) -> int:
        self._file.flush()
        return self._rows

    def abandon(self) -> None:
        return

    def _put(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)
