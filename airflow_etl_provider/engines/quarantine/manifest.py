"""The manifest of one quarantine: what it holds, proved by a checksum, and what became of it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_etl_provider.engines.quarantine.place import MANIFEST
from airflow_etl_provider.engines.storage import is_remote, trouble_of
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    from airflow_etl_provider.engines.quarantine.place import Place

__all__ = [
    "Manifest",
    "QuarantineFile",
    "QuarantineInfo",
    "Status",
    "checksum_of",
    "quarantine_error_of",
    "read_manifest",
    "write_manifest",
]

Status = Literal["sealed", "published", "not_published"]
"""`sealed`: durable, and the load's commit has not been reported yet."""


@dataclass(frozen=True, slots=True)
class QuarantineFile:
    """One file, by its name inside the quarantine's folder."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one attempt rejected.

    :param location: the folder, or its URL.
    :param checksum: covers names, sizes and contents of the files; the ledger row holds it too.
    :param codes: rejected records by reason code (one with two reasons counts under both).
    """

    location: str
    pipeline: str
    load_id: str
    run_id: str
    rows: int
    checksum: str
    files: tuple[QuarantineFile, ...]
    codes: dict[str, int]
    sealed_at: str
    status: Status = "sealed"
    epoch: int | None = field(default=None)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)


QuarantineInfo = Manifest
"""What `list_quarantines` gives: the manifest itself says everything that a list shows."""


def checksum_of(files: tuple[QuarantineFile, ...]) -> str:
    """64 hexadecimal digits over all files, in order."""
    lines = "\n".join(f"{file.name}\t{file.size}\t{file.sha256}" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def write_manifest(place: Place, manifest: Manifest) -> None:
    """Write it whole or not at all, and durably."""
    values = asdict(manifest)
    del values["location"]
    place.write(MANIFEST, json.dumps(values, indent=2).encode())


def read_manifest(place: Place) -> Manifest:
    """Read the manifest of a quarantine.

    :raises QuarantineError: there is none, or it is no manifest.
    """
    try:
        values = json.loads(place.read(MANIFEST))
    except FileNotFoundError as error:
        raise QuarantineError(
            f"{place.location} is no quarantine: it holds no {MANIFEST}.",
            hint="`airflow-etl quarantine list` shows the quarantines under a folder.",
        ) from error
    except OSError as error:
        raise QuarantineError(
            f"{place.location}/{MANIFEST} can't be read: {trouble_of(error).words}."
        ) from error
    except ValueError as error:
        raise QuarantineError(f"{place.location}/{MANIFEST} can't be read.") from error
    try:
        known = {f.name for f in fields(Manifest)}
        kept: dict[str, Any] = {name: v for name, v in values.items() if name in known}
        kept["files"] = tuple(QuarantineFile(**file) for file in kept["files"])
        kept["location"] = place.location
        manifest = Manifest(**kept)
        if manifest.status not in get_args(Status):
            raise ValueError(manifest.status)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise QuarantineError(
            f"{place.location}/{MANIFEST} is no manifest of a quarantine."
        ) from error
    return manifest


def quarantine_error_of(error: OSError, location: str) -> QuarantineError:
    """Say that rejects can't be kept, and so nothing may be published."""
    if is_remote(location):
        reason = trouble_of(error).words
    else:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return QuarantineError(
        f"Rejected rows can't be written to {location}: {reason}. Nothing was published.",
        hint="Free space there, give this user the right to write, or set `quarantine` to another "
        "folder; then run again.",
    )
