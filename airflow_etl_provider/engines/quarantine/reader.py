"""Find quarantines and read them back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.contracts.reject import Reason, Reject
from airflow_etl_provider.engines.quarantine.manifest import (
    MANIFEST,
    Manifest,
    checksum_of,
    local_home,
    read_manifest,
)
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["list_quarantines", "read_quarantine", "verify_quarantine"]

BATCH_ROWS = 1_000


def list_quarantines(home: str | Path) -> list[Manifest]:
    """All sealed quarantines at or under a folder, oldest first."""
    found = [read_manifest(folder) for folder in _sealed(local_home(home))]
    return sorted(found, key=lambda manifest: (manifest.sealed_at, manifest.location))


def read_quarantine(location: str | Path, *, limit: int | None = None) -> Iterator[Reject]:
    """Read rejects back, a batch at a time.

    :raises QuarantineError: there is no quarantine, or its files are damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = local_home(location)
    manifest = read_manifest(folder)
    left = manifest.rows if limit is None else limit
    for file in manifest.files:
        path = folder / Path(file.name).name
        try:
            with pq.ParquetFile(path) as parquet:
                for batch in parquet.iter_batches(batch_size=BATCH_ROWS):
                    for row in batch.to_pylist():
                        if left <= 0:
                            return
                        left -= 1
                        yield _reject_of(row)
        except (OSError, pa.ArrowException) as error:
            raise QuarantineError(f"{path} can't be read; it may be damaged.") from error


def verify_quarantine(location: str | Path) -> Manifest:
    """Read every byte and compare with the manifest.

    :raises QuarantineError: a file is missing or differs from what was sealed.
    """
    folder = local_home(location)
    manifest = read_manifest(folder)
    for file in manifest.files:
        path = folder / Path(file.name).name
        try:
            with path.open("rb") as opened:
                digest = hashlib.sha256()
                while block := opened.read(2**20):
                    digest.update(block)
        except OSError as error:
            raise QuarantineError(f"{path} of a quarantine can't be read.") from error
        if digest.hexdigest() != file.sha256:
            raise QuarantineError(f"{path} is not what was sealed: its checksum differs.")
    if checksum_of(manifest.files) != manifest.checksum:
        raise QuarantineError(f"The manifest in {folder} does not fit its own checksum.")
    return manifest


def _sealed(root: Path) -> Iterator[Path]:
    """Folders with a manifest, at most pipeline, load and run deep."""
    for depth in ("", "*/", "*/*/", "*/*/*/"):
        yield from sorted(path.parent for path in root.glob(depth + MANIFEST))


def _reject_of(row: dict[str, Any]) -> Reject:
    return Reject(
        input=row["input"],
        record=row["record"],
        raw=row["raw"],
        reasons=tuple(
            Reason(
                code=reason["code"],
                column=reason["column"],
                step=reason["step"],
                message=reason["message"] or "",
            )
            for reason in row["reasons"]
        ),
        fields=None if row["fields"] is None else json.loads(row["fields"]),
        line=row["line"],
    )
