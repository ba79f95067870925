"""Read one object, and only that one: never another that took its name, never a part for the whole.

Each request says which etag it wants, each answer is checked for etag and length, and an answer
that breaks off is asked for again from where it stopped.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.engines.storage.trouble import trouble_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fsspec import AbstractFileSystem

    from airflow_etl_provider.engines.storage.objects import StoredObject

__all__ = ["ChangedError", "ObjectReader", "read_range"]

CHUNK = 2**20

RESUMES = 5
"""How often an answer may break off without having brought PROGRESS bytes before it is given up."""

PROGRESS = 2**20

FIRST_BLOCK, LARGEST_BLOCK = 64 * 2**10, 4 * 2**20
"""What a reader fetches at once: little at first, since most look at the beginning alone."""


class ChangedError(OSError):
    """Another object has the name now."""


class _BrokenOffError(OSError):
    """An answer ended before its announced length."""


def read_range(
    fs: AbstractFileSystem,
    wanted: StoredObject,
    start: int,
    end: int,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[bytes]:
    """The bytes from `start` to `end` in order, in pieces of at most CHUNK bytes.

    :raises ChangedError: the object is no longer the one that was listed.
    :raises FileNotFoundError: it was deleted.
    :raises Exception: what s3fs and botocore raise; `trouble_of` explains it.
    """
    at, reached, failures = start, start, 0
    while at < end:
        try:
            for piece in _answer(fs, wanted, at, end):
                at += len(piece)
                yield piece
        except _BrokenOffError as error:
            failures = 0 if at - reached >= PROGRESS else failures + 1
            reached = at
            if failures > RESUMES:
                raise error.__cause__ or error from None
            sleep(min(0.1 * 2**failures, 5.0))


def _answer(fs: AbstractFileSystem, wanted: StoredObject, at: int, end: int) -> Iterator[bytes]:
    """The pieces of one answer, checked before the first."""
    from fsspec.asyn import sync

    body = _ask(fs, wanted, at, end)
    try:
        while at < end:
            try:
                piece = sync(fs.loop, _fill, body, min(CHUNK, end - at))
            except Exception as error:
                raise _BrokenOffError from error
            if not piece:
                raise _BrokenOffError("The answer was shorter than announced.")
            at += len(piece)
            yield piece
    finally:
        # On its loop, whose connection it gives back or, where it was not read to its end, ends.
        fs.loop.call_soon_threadsafe(body.close)


def _ask(fs: AbstractFileSystem, wanted: StoredObject, at: int, end: int) -> Any:
    asked: dict[str, Any] = {"Bucket": wanted.bucket, "Key": wanted.key}
    if wanted.etag:
        asked["IfMatch"] = wanted.etag
    if wanted.version_id:
        asked["VersionId"] = wanted.version_id
    whole = (at, end) == (0, wanted.size)
    if not whole:
        asked["Range"] = f"bytes={at}-{end - 1}"
    try:
        answer = fs.call_s3("get_object", **asked)
    except Exception as error:
        if trouble_of(error).kind == "changed":
            raise ChangedError("It was replaced.") from error
        raise
    body = answer["Body"]
    reason = _unlike(answer, wanted, at, end, whole=whole)
    if reason is not None:
        # Not every store heeds the etag that was asked for.
        fs.loop.call_soon_threadsafe(body.close)
        raise ChangedError(reason)
    return body


def _unlike(
    answer: dict[str, Any], wanted: StoredObject, at: int, end: int, *, whole: bool
) -> str | None:
    """How an answer shows that it is of another object; None where it is the one."""
    if wanted.etag and answer.get("ETag") not in (None, wanted.etag):
        return "It was replaced."
    if not wanted.etag and answer.get("LastModified") not in (None, wanted.modified):
        return "It was written again."
    length = answer.get("ContentLength")
    if length is not None and int(length) != end - at:
        return "Its size is another now."
    place = answer.get("ContentRange")
    if not whole and place is not None and place != f"bytes {at}-{end - 1}/{wanted.size}":
        return "Its size is another now."
    return None


async def _fill(body: Any, size: int) -> bytes:
    parts = []
    while size > 0 and (part := await body.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class ObjectReader(io.RawIOBase):
    """An object as a file that can be read and sought, fetched block by block as it is asked for.

    :param blame: makes an error of the caller's from what went wrong.
    """

    def __init__(
        self,
        fs: AbstractFileSystem,
        wanted: StoredObject,
        *,
        blame: Callable[[Exception], Exception],
    ) -> None:
        self._fs = fs
        self._wanted = wanted
        self._blame = blame
        self._at = 0
        self._start, self._data = 0, b""
        self._block = FIRST_BLOCK

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._wanted.size}[whence]
        self._at = max(origin + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        into = memoryview(buffer).cast("B")
        if self._at >= self._wanted.size or not len(into):
            return 0
        place = self._at - self._start
        if not 0 <= place < len(self._data):
            self._fetch(len(into))
            place = 0
        piece = self._data[place : place + len(into)]
        into[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _fetch(self, asked: int) -> None:
        """Fetch what is asked for, and more where the reading goes straight on."""
        onwards = self._at == self._start + len(self._data)
        self._block = min(self._block * 2, LARGEST_BLOCK) if onwards and self._data else FIRST_BLOCK
        # Buffered readers ask for a last odd byte in a request of its own, unless it is there.
        size = min(asked, LARGEST_BLOCK) + self._block
        end = min(self._at + size, self._wanted.size)
        try:
            self._data = b"".join(read_range(self._fs, self._wanted, self._at, end))
        except Exception as error:
            raise self._blame(error) from error
        self._start = self._at
