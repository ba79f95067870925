"""Files in an object store: found by pattern, looked at where they are, copied to be read."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_etl_provider.engines.storage import open_filesystem, trouble_of
from airflow_etl_provider.engines.storage.objects import (
    StoredObject,
    find_objects,
    has_objects,
    head_object,
    literal_prefix,
    split_url,
)
from airflow_etl_provider.engines.storage.reading import ChangedError, ObjectReader, read_range
from airflow_etl_provider.exceptions import (
    CancelledError,
    EtlError,
    SourceError,
    SourceNotFoundError,
    SpecificationError,
)

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from fsspec import AbstractFileSystem

    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.engines.sources.depot import Depot

__all__ = ["RemoteFile", "find_remote_files"]

PART = 32 * 2**20
"""A larger file is fetched in parts of this size, a few at once: one transfer alone is slow."""

PARTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True, eq=False)
class RemoteFile:
    """One object of a source, and its place in the depot."""

    fs: AbstractFileSystem
    object: StoredObject
    depot: Depot
    place: int

    @property
    def path(self) -> Path:
        """Where its copy is, or will be."""
        return self.depot.path(self.place)

    def open(self) -> BinaryIO:
        """Its bytes: of the copy, where there is one, else fetched as they are asked for."""
        copy = self.depot.glance(self.place)
        if copy is not None:
            return copy.open("rb")
        reader = ObjectReader(self.fs, self.object, blame=lambda error: blame(error, self.object))
        return cast("BinaryIO", io.BufferedReader(reader))

    def fetch(self) -> None:
        """Have the copy there."""
        self.depot.fetch(self.place)

    def release(self) -> None:
        self.depot.release(self.place)


def find_remote_files(
    location: str, *, connection: Connection | None, depot: Depot
) -> list[RemoteFile]:
    """All objects that a URL or pattern names, in the order of their keys.

    :raises SourceNotFoundError: nothing is there.
    """
    bucket, pattern, version = split_url(location)
    if not bucket or literal_prefix(bucket) != bucket:
        raise SpecificationError(
            f"The location {location!r} names no bucket.", hint="Write s3://bucket/folder/*.csv."
        )
    fs = open_filesystem(location, connection=connection)
    try:
        if version is not None or literal_prefix(pattern) == pattern:
            found = [_one(fs, bucket, pattern, version)]
        else:
            found = list(find_objects(fs, bucket, pattern))
    except EtlError:
        raise
    except Exception as error:
        raise blame(error, location) from error
    # A name may have the signs of a pattern in it.
    found = [item for item in found if item.key == pattern] or found
    if not found:
        raise SourceNotFoundError(
            f"No object matches {location!r}.", hint="Check the bucket, the folders and the names."
        )
    return [_add(fs, item, depot) for item in found]


def _one(fs: AbstractFileSystem, bucket: str, key: str, version: str | None) -> StoredObject:
    folder = f"{key.rstrip('/')}/" if key else ""
    if key and not key.endswith("/"):
        try:
            return head_object(fs, bucket, key, version_id=version)
        except FileNotFoundError as error:
            if version is not None or not has_objects(fs, bucket, folder):
                raise SourceNotFoundError(
                    f"There is no object s3://{bucket}/{key}.",
                    hint="Check the bucket and the name.",
                ) from error
    raise SourceError(
        f"s3://{bucket}/{key} is a folder.",
        hint=f"Write which of its files: s3://{bucket}/{folder}*.csv.",
    )


def _add(fs: AbstractFileSystem, item: StoredObject, depot: Depot) -> RemoteFile:
    place = depot.add(item.size, lambda path, stopped: _copy(fs, item, path, stopped))
    return RemoteFile(fs, item, depot, place)


def _copy(fs: AbstractFileSystem, item: StoredObject, path: Path, stopped: threading.Event) -> None:
    """Write an object to a file of exactly its size, or leave no file."""
    parts = range(0, item.size, PART)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def copy_part(start: int) -> None:
        at = start
        for piece in read_range(fs, item, start, min(start + PART, item.size)):
            if stopped.is_set():
                raise CancelledError("The run was told to stop. Nothing was published.")
            at += os.pwrite(descriptor, piece, at)

    try:
        if len(parts) > 1:
            with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="etl-fetch-part") as pool:
                for _ in pool.map(copy_part, parts):
                    pass
        else:
            for start in parts:
                copy_part(start)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, EtlError) or not isinstance(error, Exception):
            raise
        raise blame(error, item, scratch=path.parent) from error
    finally:
        os.close(descriptor)


def blame(error: Exception, what: StoredObject | str, *, scratch: Path | None = None) -> EtlError:
    """Say what went wrong with an object or a location."""
    name = what if isinstance(what, str) else what.url
    if isinstance(error, EtlError):
        return error
    if isinstance(error, ChangedError):
        return SourceError(
            f"{name} changed while it was read.",
            hint="Load it again once it is written to its end.",
        )
    trouble = trouble_of(error)
    if trouble.kind == "missing":
        if isinstance(what, StoredObject):
            return SourceNotFoundError(f"{name} was deleted while it was read.")
        return SourceNotFoundError(f"{name} can't be read: {trouble.words}.", hint=trouble.hint)
    if trouble.kind == "full" and scratch is not None:
        return SourceError(
            f"{name} can't be copied to {scratch.parent}: {trouble.words}.",
            hint="Make room there, or point the scratch folder elsewhere.",
        )
    return SourceError(f"{name} can't be read: {trouble.words}.", hint=trouble.hint)
