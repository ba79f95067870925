"""What is in the folder: versions of a small manifest over lists of loads and their files.

`_etl/manifest/<version>.json` names the lists; each version is written once and never changed, and
the highest holds. `_etl/loads/<name>.json.gz` is a list: loads with their ledger entry and their
live files. A publish adds a list and a version, so that its cost does not grow with the folder.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.targets.ledger import entry_from_dict, entry_to_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.engines.targets.base import LedgerEntry

__all__ = [
    "FORMAT",
    "LISTS",
    "MANIFESTS",
    "DamagedError",
    "DataFile",
    "ListRef",
    "LivingAttempt",
    "LoadRecord",
    "Manifest",
    "list_from_bytes",
    "list_to_bytes",
    "manifest_from_bytes",
    "manifest_key",
    "manifest_to_bytes",
    "version_of",
]

MANIFESTS, LISTS = "_etl/manifest/", "_etl/loads/"

FORMAT = 1
"""Raised when an older version of this package could no longer read what is written."""


class DamagedError(ValueError):
    """The bytes are no manifest or list of ours; says why, without what is in them."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file.

    :param key: relative to the folder, with the folders of its partition.
    """

    key: str
    rows: int
    size: int

    @property
    def partition(self) -> str:
        """Its folder, empty where nothing is partitioned."""
        return self.key.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """One published load and those of its files that are live.

    :param version: of the manifest that published it.
    :param superseded: other loads replaced all of its rows since.
    :param text: the ledger entry as JSON; most are only carried along.
    """

    load_id: str
    version: int
    files: tuple[DataFile, ...]
    text: str
    superseded: bool = False

    @property
    def entry(self) -> LedgerEntry:
        return entry_from_dict(json.loads(self.text))

    @classmethod
    def of(cls, entry: LedgerEntry, *, version: int, files: tuple[DataFile, ...]) -> LoadRecord:
        return cls(entry.load_id, version, files, json.dumps(entry_to_dict(entry)))


@dataclass(frozen=True, slots=True)
class ListRef:
    """A list of loads, as the manifest names it."""

    key: str
    loads: int
    files: int
    rows: int

    @property
    def weight(self) -> int:
        return self.loads + self.files


@dataclass(frozen=True, slots=True)
class LivingAttempt:
    """An attempt that may still publish: the newest of its load."""

    epoch: int
    begun_at: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of the folder.

    :param table: tells this folder's data files from those of a folder inside or around it.
    :param id: of this version, since two writers may write one of the same number.
    :param ancestors: ids of the versions before, newest first.
    :param epoch: the newest that was handed out.
    :param attempts: by load id.
    """

    table: str
    version: int
    id: str
    written_at: str
    schema: Schema | None = None
    partition_by: tuple[str, ...] = ()
    ancestors: tuple[str, ...] = ()
    epoch: int = 0
    attempts: dict[str, LivingAttempt] = field(default_factory=dict)
    lists: tuple[ListRef, ...] = ()


def manifest_key(version: int) -> str:
    """Where a version is."""
    return f"{MANIFESTS}{version:012d}.json"


def version_of(key: str) -> int | None:
    """The version that a key is of; None for what else lies there."""
    name = key.removeprefix(MANIFESTS).removesuffix(".json")
    return int(name) if name.isdecimal() and key == manifest_key(int(name)) else None


def manifest_to_bytes(manifest: Manifest) -> bytes:
    """JSON that a person can read."""
    values = {
        "format": FORMAT,
        "table": manifest.table,
        "version": manifest.version,
        "id": manifest.id,
        "written_at": manifest.written_at,
        "columns": None
        if manifest.schema is None
        else [{"name": f.name, "type": _type_to_json(f.type)} for f in manifest.schema],
        "partition_by": list(manifest.partition_by),
        "lists": [
            {"key": ref.key, "loads": ref.loads, "files": ref.files, "rows": ref.rows}
            for ref in manifest.lists
        ],
        "epoch": manifest.epoch,
        "attempts": {
            load_id: {"epoch": attempt.epoch, "begun_at": attempt.begun_at}
            for load_id, attempt in manifest.attempts.items()
        },
        "ancestors": list(manifest.ancestors),
    }
    return json.dumps(values, indent=1, ensure_ascii=False).encode()


def manifest_from_bytes(data: bytes) -> Manifest:
    """Read a version.

    :raises DamagedError: it is none, or of a format that is newer than this package.
    """
    values = _parsed(data)
    try:
        columns = values["columns"]
        return Manifest(
            table=str(values["table"]),
            version=int(values["version"]),
            id=str(values["id"]),
            written_at=str(values["written_at"]),
            schema=None
            if columns is None
            else Schema(tuple(Field(c["name"], _type_from_json(c["type"])) for c in columns)),
            partition_by=tuple(values["partition_by"]),
            ancestors=tuple(values["ancestors"]),
            epoch=int(values["epoch"]),
            attempts={
                load_id: LivingAttempt(int(attempt["epoch"]), str(attempt["begun_at"]))
                for load_id, attempt in values["attempts"].items()
            },
            lists=tuple(
                ListRef(str(r["key"]), int(r["loads"]), int(r["files"]), int(r["rows"]))
                for r in values["lists"]
            ),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedError(f"a part is missing or wrong ({type(error).__name__})") from error


def list_to_bytes(records: Sequence[LoadRecord]) -> bytes:
    """JSON, packed: it may name many files."""
    values = {
        "format": FORMAT,
        "loads": [
            {
                "load_id": record.load_id,
                "version": record.version,
                "superseded": record.superseded,
                "entry": record.text,
                "files": [[file.key, file.rows, file.size] for file in record.files],
            }
            for record in records
        ],
    }
    return gzip.compress(json.dumps(values, ensure_ascii=False).encode(), 5, mtime=0)


def list_from_bytes(data: bytes) -> tuple[LoadRecord, ...]:
    """Read a list.

    :raises DamagedError: it is none.
    """
    try:
        data = gzip.decompress(data)
    except (OSError, EOFError, ValueError) as error:
        raise DamagedError("it is cut off or not packed with gzip") from error
    values = _parsed(data)
    try:
        return tuple(
            LoadRecord(
                load_id=str(load["load_id"]),
                version=int(load["version"]),
                superseded=bool(load["superseded"]),
                text=str(load["entry"]),
                files=tuple(
                    DataFile(str(key), int(rows), int(size)) for key, rows, size in load["files"]
                ),
            )
            for load in values["loads"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"a part is missing or wrong ({type(error).__name__})") from error


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except ValueError as error:
        raise DamagedError("it is no JSON") from error
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        raise DamagedError("it does not say its format")
    if values["format"] > FORMAT:
        raise DamagedError(
            f"its format is {values['format']}, and this version reads up to {FORMAT}: a newer "
            "version of airflow-etl-provider wrote it"
        )
    return values


def _type_to_json(of: LogicalType) -> Any:
    """Text where that is enough; names of fields may hold what a text could not."""
    if of.kind == "array" and of.element is not None:
        return {"array": _type_to_json(of.element)}
    if of.kind == "struct":
        return {"struct": [[name, _type_to_json(inner)] for name, inner in of.fields]}
    return str(of)


def _type_from_json(value: Any) -> LogicalType:
    from airflow_etl_provider.contracts.types import parse_type

    if isinstance(value, str):
        return parse_type(value)
    if "array" in value:
        return LogicalType("array", element=_type_from_json(value["array"]))
    fields = tuple((str(name), _type_from_json(inner)) for name, inner in value["struct"])
    return LogicalType("struct", fields=fields)
