"""Files that a specification names: paths, globs and file URLs, in a stable order."""

from __future__ import annotations

import glob
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from airflow_etl_provider.contracts.load import InputIdentity
from airflow_etl_provider.engines.sources.compression import (
    PACKED_SUFFIXES,
    StoredFile,
    compression_of,
    zip_members,
)
from airflow_etl_provider.engines.sources.json_files.sniff import json_kind
from airflow_etl_provider.engines.storage.connection_folder import keep_inside, refuse_absolute
from airflow_etl_provider.engines.storage.filesystem import is_remote
from airflow_etl_provider.exceptions import (
    NotSupportedYetError,
    SourceError,
    SourceFormatError,
    SourceNotFoundError,
    SpecificationError,
)

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.connection import Connection, Connections
    from airflow_etl_provider.contracts.pipeline import SourceSpec
    from airflow_etl_provider.engines.sources.depot import Depot

__all__ = [
    "FileFormat",
    "FileInput",
    "ListedFile",
    "in_bucket",
    "is_remote_source",
    "is_unchanged",
    "list_files",
    "same_format",
]

FileFormat = Literal["csv", "jsonl", "json", "parquet"]

_SUFFIXES: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".psv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


@dataclass(frozen=True, slots=True)
class FileInput:
    """One input: what it was when the run began, and where its bytes are.

    :param disk_size: size of the file on disk, an archive's for its member.
    :param scratch: where what is made of it may wait; the system's temporary folder when absent.
    """

    identity: InputIdentity
    stored: StoredFile
    disk_size: int
    modified: int
    scratch: Path | None = None


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One stored file as a listing shows it, before anything of it was read."""

    stored: StoredFile
    size: int
    version: str
    modified: int

    @property
    def identity(self) -> InputIdentity:
        """Of the file as a whole: of its input, unless it is an archive."""
        return InputIdentity(self.stored.name, self.size, self.version)

    def inputs(self) -> list[FileInput]:
        """The inputs that it is: itself, or each file of an archive, which is opened for that."""
        compression = compression_of(self.stored)
        if compression != "zip":
            unpacked = replace(self.stored, compression=compression)
            return [FileInput(self.identity, unpacked, self.size, self.modified)]
        made = []
        for info in zip_members(self.stored):
            shown = f"{self.stored.name}!{info.filename}"
            identity = InputIdentity(shown, info.file_size, f"{self.version}-{info.CRC:08x}")
            member = replace(self.stored, name=shown, compression="zip", member=info.filename)
            made.append(FileInput(identity, member, self.size, self.modified))
        return made


def list_files(
    spec: SourceSpec, *, connections: Connections, base: Path | None, depot: Depot | None = None
) -> list[ListedFile]:
    """All files of a source, sorted by name; none is opened.

    :param base: folder that relative locations start from, where no connection gives one.
    :param depot: where copies of remote files go; needed where `remote_location` gives one.
    :raises SourceNotFoundError: nothing is there, with what was looked for and where.
    """
    location = spec.location
    if not location:
        raise SpecificationError("The source has no location.", hint="Write a path, glob or URL.")
    if depot is not None:
        return _find_remote(spec, location, connections=connections, depot=depot)
    root = _root(spec, connections=connections, base=base)
    inside = spec.connection is not None
    pattern = _as_path(location, rooted=inside)
    found = _matches(pattern, root)
    if inside:
        keep_inside((path for _, path in found), folder=root, location=location)
    if not found:
        raise SourceNotFoundError(
            f"No file matches {location!r} in {root.resolve()}."
            if not Path(pattern).is_absolute()
            else f"No file matches {location!r}.",
            hint="Check the location, and that this machine sees the folder.",
        )
    return [_local(name, path) for name, path in found]


def is_remote_source(spec: SourceSpec, *, connections: Connections) -> bool:
    """Whether the files are in an object store, so that `list_files` needs a depot."""
    location = spec.location or ""
    if "://" not in location and spec.connection is not None:
        return connections(spec.connection).kind == "aws"
    return is_remote(location)


def _find_remote(
    spec: SourceSpec, location: str, *, connections: Connections, depot: Depot
) -> list[ListedFile]:
    from airflow_etl_provider.engines.sources.remote import find_remote_files

    connection = connections(spec.connection) if spec.connection is not None else None
    if "://" not in location and connection is not None:
        location = in_bucket(location, connection)
    listed = []
    for remote in find_remote_files(location, connection=connection, depot=depot):
        item = remote.object
        stored = StoredFile(item.url, remote.path, remote=remote)
        modified = int(item.modified.timestamp() * 1e9)
        listed.append(ListedFile(stored, item.size, item.version, modified))
    return listed


def in_bucket(location: str, connection: Connection) -> str:
    """A location without a scheme is one in the bucket that the connection names, if it does."""
    service = connection.extra.get("service_config") or {}
    bucket = (service.get("s3") or {}).get("bucket_name")
    if not bucket:
        raise SpecificationError(
            f"The location {location!r} names no bucket, nor does connection {connection.name!r}.",
            hint="Write s3://bucket/folder/*.csv.",
        )
    return f"s3://{bucket}/{location.lstrip('/')}"


def is_unchanged(input: FileInput) -> bool:
    """Whether the file on disk is still the one that the run began with."""
    if input.stored.remote is not None:
        # Whatever was read of it was asked for by its etag.
        return True
    try:
        stat = input.stored.path.stat()
    except FileNotFoundError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (input.disk_size, input.modified)


def _format_of(input: FileInput) -> FileFormat:
    """Tell by the name, else by the content."""
    name = Path(input.stored.member or input.stored.name)
    if name.suffix.lower() in PACKED_SUFFIXES:
        name = name.with_suffix("")
    suffix = name.suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    sample, whole = input.stored.sample(64 * 1024)
    if sample.startswith(b"PAR1"):
        return "parquet"
    return json_kind(sample, whole=whole, named_json=suffix == ".json") or (
        "json" if suffix == ".json" else "csv"
    )


def _root(spec: SourceSpec, *, connections: Connections, base: Path | None) -> Path:
    if spec.connection is None:
        return base or Path()
    connection = connections(spec.connection)
    if connection.kind not in ("file", "fs"):
        raise NotSupportedYetError(
            f"Connection {connection.name!r} is of type {connection.kind!r}; files are read from "
            "connections of type file or fs, others are not supported yet."
        )
    path = connection.extra.get("path")
    if not isinstance(path, str) or not path:
        raise SpecificationError(
            f"Connection {connection.name!r} names no folder.",
            hint='Give it the extra {"path": "/folder"}.',
        )
    return Path(path)


def _as_path(location: str, *, rooted: bool) -> str:
    """A path or pattern; under a connection it is relative to the connection's folder."""
    if "://" in location:
        url = urlsplit(location)
        if url.scheme != "file":
            raise NotSupportedYetError(
                f"Locations of type {url.scheme}:// are not supported yet.",
                hint="Use a local path, a file:// or an s3:// URL.",
            )
        if url.netloc not in ("", "localhost"):
            raise SpecificationError(
                f"{location!r} names the host {url.netloc!r}.", hint="Write file:///folder/file."
            )
        location = unquote(location.split("://", 1)[1].removeprefix(url.netloc))
    elif not rooted and location.startswith("~"):
        location = str(Path(location).expanduser())
    if rooted:
        refuse_absolute(location)
    return location


def _matches(pattern: str, root: Path) -> list[tuple[str, Path]]:
    plain = root / pattern
    if plain.is_dir():
        raise SourceError(
            f"{plain} is a folder.", hint=f"Write which of its files: {pattern.rstrip('/')}/*.csv."
        )
    if plain.exists():
        if not plain.is_file():
            raise SourceError(
                f"{plain} is no regular file.",
                hint="Pipes, devices and sockets can't be read twice; write it to a file first.",
            )
        return [(pattern, plain)]
    if not glob.has_magic(pattern):
        return []
    names = sorted(glob.glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207
    return [(name, root / name) for name in names if (root / name).is_file()]


def _local(name: str, path: Path) -> ListedFile:
    try:
        stat = path.stat()
    except OSError as error:
        raise SourceError(f"{name} can't be read: {error.strerror}.") from error
    modified = stat.st_mtime_ns
    return ListedFile(StoredFile(name, path), stat.st_size, str(modified), modified)


def same_format(inputs: tuple[FileInput, ...]) -> FileFormat:
    """The one format of all inputs.

    :raises SourceFormatError: there are several.
    """
    formats = {_format_of(input): input.identity.name for input in inputs}
    if formats.keys() == {"json", "jsonl"}:
        # One object a line is a document too.
        return "json"
    if len(formats) > 1:
        listed = ", ".join(f"{name} ({kind})" for kind, name in sorted(formats.items()))
        raise SourceFormatError(
            f"The files of one source have several formats: {listed}.",
            hint="Give `format`, or a location that matches files of one format.",
        )
    return next(iter(formats))
