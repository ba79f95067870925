"""Find quarantines and read them back."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.contracts.reject import Reason, Reject
from airflow_etl_provider.engines.quarantine.manifest import (
    Manifest,
    checksum_of,
    read_manifest,
)
from airflow_etl_provider.engines.quarantine.place import open_home, open_place
from airflow_etl_provider.engines.storage import trouble_of
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["list_quarantines", "read_quarantine", "verify_quarantine"]

BATCH_ROWS = 1_000


def list_quarantines(home: str | Path, *, connection: Connection | None = None) -> list[Manifest]:
    """All sealed quarantines at or under a folder or URL, oldest first.

    :param connection: for a bucket; without it the environment logs in.
    """
    opened = open_home(home, connection=connection)
    try:
        found = [read_manifest(place) for place in opened.sealed()]
    except OSError as error:
        raise _unreadable(opened.location, error) from error
    return sorted(found, key=lambda manifest: (manifest.sealed_at, manifest.location))


def read_quarantine(
    location: str | Path, *, limit: int | None = None, connection: Connection | None = None
) -> Iterator[Reject]:
    """Read rejects back, a batch at a time.

    :raises QuarantineError: there is no quarantine, or its files are damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = open_place(location, connection=connection)
    manifest = read_manifest(place)
    left = manifest.rows if limit is None else limit
    for file in manifest.files:
        name = PurePath(file.name).name
        try:
            with place.open(name) as stream, pq.ParquetFile(stream) as parquet:
                for batch in parquet.iter_batches(batch_size=BATCH_ROWS):
                    for row in batch.to_pylist():
                        if left <= 0:
                            return
                        left -= 1
                        yield _reject_of(row)
        except (OSError, pa.ArrowException) as error:
            raise QuarantineError(
                f"{place.location}/{name} can't be read; it may be damaged."
            ) from error


def verify_quarantine(location: str | Path, *, connection: Connection | None = None) -> Manifest:
    """Read every byte and compare with the manifest.

    :raises QuarantineError: a file is missing or differs from what was sealed.
    """
    place = open_place(location, connection=connection)
    manifest = read_manifest(place)
    for file in manifest.files:
        name = PurePath(file.name).name
        try:
            with place.open(name) as opened:
                digest = hashlib.sha256()
                while block := opened.read(2**20):
                    digest.update(block)
        except OSError as error:
            raise _unreadable(f"{place.location}/{name}", error) from error
        if digest.hexdigest() != file.sha256:
            raise QuarantineError(
                f"{place.location}/{name} is not what was sealed: its checksum differs."
            )
    if checksum_of(manifest.files) != manifest.checksum:
        raise QuarantineError(f"The manifest in {place.location} does not fit its own checksum.")
    return manifest


def _unreadable(location: str, error: OSError) -> QuarantineError:
    trouble = trouble_of(error)
    return QuarantineError(f"{location} can't be read: {trouble.words}.", hint=trouble.hint)


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
