"""Names of the files below a folder or a prefix, one by one: none is opened, none is held."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.sources.remote import blame
from airflow_etl_provider.engines.storage import open_filesystem
from airflow_etl_provider.engines.storage.objects import (
    has_objects,
    head_object,
    list_objects,
    literal_prefix,
    split_url,
)
from airflow_etl_provider.exceptions import EtlError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsspec import AbstractFileSystem

    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["list_below", "list_below_url"]


def list_below(folder: Path) -> Iterator[str]:
    """Name the files below a folder, relative to it; what is hidden is left out."""
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if one[0] not in "._")
        for name in names:
            if name[0] not in "._":
                yield (Path(at) / name).relative_to(folder).as_posix()


def list_below_url(url: str, *, connection: Connection | None) -> Iterator[str] | None:
    """Name the objects below a prefix, relative to it, page by page.

    :returns: None where the URL names an object or a pattern, or where nothing is there: who reads
        it says what is the matter.
    :raises SpecificationError: it names no bucket.
    :raises SourceError: the store can't be reached, or refuses.
    """
    bucket, key, version = split_url(url)
    if not bucket or literal_prefix(bucket) != bucket:
        raise SpecificationError(
            f"The location {url!r} names no bucket.", hint="Write s3://bucket/folder/."
        )
    if version is not None or literal_prefix(key) != key:
        return None
    fs = open_filesystem(url, connection=connection)
    prefix = f"{key.rstrip('/')}/" if key else ""
    try:
        if key and not key.endswith("/") and _is_object(fs, bucket, key):
            return None
        if not has_objects(fs, bucket, prefix):
            return None
    except EtlError:
        raise
    except Exception as error:
        raise blame(error, url) from error
    return _names(fs, bucket, prefix, url)


def _is_object(fs: AbstractFileSystem, bucket: str, key: str) -> bool:
    try:
        head_object(fs, bucket, key)
    except FileNotFoundError:
        return False
    return True


def _names(fs: AbstractFileSystem, bucket: str, prefix: str, url: str) -> Iterator[str]:
    try:
        for item in list_objects(fs, bucket, prefix):
            name = item.key[len(prefix) :]
            if name and not any(part[:1] in (".", "_") for part in name.split("/")):
                yield name
    except EtlError:
        raise
    except Exception as error:
        raise blame(error, url) from error
