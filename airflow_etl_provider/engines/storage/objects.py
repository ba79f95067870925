"""Objects of a bucket: found by prefix and pattern, page by page, with what tells them apart."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fsspec import AbstractFileSystem

__all__ = [
    "StoredObject",
    "find_objects",
    "has_objects",
    "head_object",
    "list_objects",
    "literal_prefix",
    "split_url",
]

_MAGIC = re.compile(r"[*?\[]")
_VERSION = re.compile(r"\?versionId=([^/&?]+)$")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as it was when it was listed.

    :param version_id: the version of a versioned bucket, where the URL names one; None: the newest.
    """

    bucket: str
    key: str
    size: int
    etag: str | None
    modified: datetime
    version_id: str | None = None

    @property
    def url(self) -> str:
        version = f"?versionId={self.version_id}" if self.version_id else ""
        return f"s3://{self.bucket}/{self.key}{version}"

    @property
    def version(self) -> str:
        """What tells it from another object of the same name: etag and named version."""
        etag = self.etag or self.modified.astimezone(timezone.utc).isoformat()
        return f"{etag}@{self.version_id}" if self.version_id else etag


def split_url(url: str) -> tuple[str, str, str | None]:
    """Bucket, key or pattern, and the version that the URL names."""
    version = _VERSION.search(url)
    path = (url[: version.start()] if version else url).partition("://")[2]
    bucket, _, key = path.partition("/")
    return bucket, key, version[1] if version else None


def literal_prefix(pattern: str) -> str:
    """What every key that the pattern matches begins with."""
    magic = _MAGIC.search(pattern)
    return pattern[: magic.start()] if magic else pattern


def head_object(
    fs: AbstractFileSystem, bucket: str, key: str, *, version_id: str | None = None
) -> StoredObject:
    """Ask for one object.

    :raises FileNotFoundError: it is not there.
    """
    named = {"VersionId": version_id} if version_id else {}
    answer = fs.call_s3("head_object", Bucket=bucket, Key=key, **named)
    return StoredObject(
        bucket, key, int(answer["ContentLength"]), answer.get("ETag"), answer["LastModified"],
        version_id,
    )  # fmt: skip


def find_objects(fs: AbstractFileSystem, bucket: str, pattern: str) -> Iterator[StoredObject]:
    """All objects whose key matches, in the order of their keys; one page is held at a time.

    Only what begins with the pattern's literal beginning is listed, and of folders below the last
    part of a pattern only their names. `*`, `?` and `[a]` match inside one part of a key, `**` any
    number of parts; a part that begins with a dot is matched only by one that does.
    """
    fits = _matcher(pattern)
    flat = not _MAGIC.search(pattern.rpartition("/")[0]) and "**" not in pattern
    for item in list_objects(fs, bucket, literal_prefix(pattern), within=flat):
        # A key that ends with a slash is what consoles make for a folder.
        if not item.key.endswith("/") and (item.key == pattern or fits(item.key)):
            yield item


def has_objects(fs: AbstractFileSystem, bucket: str, prefix: str) -> bool:
    """Whether any key begins so."""
    answer = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
    return bool(answer.get("Contents"))


def list_objects(
    fs: AbstractFileSystem, bucket: str, prefix: str, *, within: bool = False
) -> Iterator[StoredObject]:
    """All objects whose key begins so, in the order of their keys, page by page.

    :param within: leave out what has a slash behind the prefix.
    """
    asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    if within:
        asked["Delimiter"] = "/"
    seen = None
    while True:
        page = fs.call_s3("list_objects_v2", **asked)
        for item in page.get("Contents", ()):
            yield StoredObject(
                bucket, item["Key"], int(item["Size"]), item.get("ETag"), item["LastModified"]
            )
        token = page.get("NextContinuationToken")
        if not token:
            return
        if token == seen:
            raise OSError(f"The listing of {bucket} does not come to an end.")
        asked["ContinuationToken"] = seen = token


def _matcher(pattern: str) -> Callable[[str], bool]:
    parts = [None if part == "**" else _part(part) for part in pattern.split("/")]

    def fits(names: list[str], at: int, place: int) -> bool:
        while place < len(parts):
            part = parts[place]
            if part is None:
                # Any number of folders, none of them hidden; at the end, whatever is below them.
                rest = names[at:]
                if place == len(parts) - 1:
                    return bool(rest) and not any(name.startswith(".") for name in rest)
                return any(
                    fits(names, at + taken, place + 1)
                    for taken in range(len(rest) + 1)
                    if not any(name.startswith(".") for name in rest[:taken])
                )
            if at == len(names) or not part(names[at]):
                return False
            at, place = at + 1, place + 1
        return at == len(names)

    return lambda key: fits(key.split("/"), 0, 0)


def _part(part: str) -> Callable[[str], object]:
    """What matches one part between slashes, as a shell does it."""
    if not _MAGIC.search(part):
        return part.__eq__
    matches = re.compile(fnmatch.translate(part)).match
    if part.startswith("."):
        return matches
    return lambda name: not name.startswith(".") and matches(name)
