"""The manifest of one quarantine: what it holds, proved by a checksum, and what became of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from airflow_etl_provider.exceptions import NotSupportedYetError, QuarantineError

__all__ = [
    "MANIFEST",
    "REJECTS",
    "Manifest",
    "QuarantineFile",
    "QuarantineInfo",
    "Status",
    "local_home",
    "quarantine_error_of",
    "read_manifest",
    "safe_name",
    "write_manifest",
]

MANIFEST = "manifest.json"
REJECTS = "rejects.parquet"

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

    :param location: the folder.
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


def write_manifest(manifest: Manifest) -> None:
    """Write it whole or not at all, and durably; readable by the owner alone."""
    folder = Path(manifest.location)
    values = asdict(manifest)
    del values["location"]
    temporary = folder / f".{MANIFEST}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(values, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / MANIFEST)
    sync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a quarantine's folder.

    :raises QuarantineError: there is none, or it is no manifest.
    """
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise QuarantineError(
            f"{folder} is no quarantine: it holds no {MANIFEST}.",
            hint="`airflow-etl quarantine list` shows the quarantines under a folder.",
        ) from error
    except (OSError, ValueError) as error:
        raise QuarantineError(f"{folder / MANIFEST} can't be read.") from error
    try:
        known = {f.name for f in fields(Manifest)}
        kept: dict[str, Any] = {name: v for name, v in values.items() if name in known}
        kept["files"] = tuple(QuarantineFile(**file) for file in kept["files"])
        kept["location"] = str(folder)
        manifest = Manifest(**kept)
        if manifest.status not in get_args(Status):
            raise ValueError(manifest.status)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise QuarantineError(f"{folder / MANIFEST} is no manifest of a quarantine.") from error
    return manifest


def local_home(home: str | Path) -> Path:
    """The folder that holds quarantines, absolute.

    :raises NotSupportedYetError: it is a URL of a store that is not a local disk.
    """
    text = str(home)
    parts = urlsplit(text)
    if "://" in text and parts.scheme != "file":
        raise NotSupportedYetError(
            f"A quarantine at {parts.scheme}:// is not supported yet.", hint="Use a local folder."
        )
    return Path(parts.path if parts.scheme == "file" else text).expanduser().absolute()


def safe_name(text: str) -> str:
    """A file name for any text: different texts stay different, and none leaves its folder."""
    plain = re.sub(r"[^0-9A-Za-z_.=-]", "_", text)[:80].lstrip(".-")
    if plain == text and plain:
        return plain
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{plain or 'unnamed'}-{digest}"


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def quarantine_error_of(error: OSError, folder: Path) -> QuarantineError:
    """Say that rejects can't be kept, and so nothing may be published."""
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return QuarantineError(
        f"Rejected rows can't be written to {folder}: {reason}. Nothing was published.",
        hint="Free space there, give this user the right to write, or set `quarantine` to another "
        "folder; then run again.",
    )
