"""A prefix of a bucket, through any service that speaks S3.

A data file is a multipart upload, which nobody sees until it is completed: that is what `reveal`
does. Manifests are created by a conditional put (`If-None-Match: *`) where the service has it.
"""

from __future__ import annotations

import asyncio
import io
import logging
import secrets
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, cast

from airflow_etl_provider.engines.storage import open_filesystem, trouble_of, without_scheme
from airflow_etl_provider.exceptions import (
    EtlError,
    FencedError,
    SpecificationError,
    TargetAuthError,
    TargetError,
    TargetMissingError,
    TargetPermissionError,
    TargetUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from fsspec import AbstractFileSystem

    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.engines.targets.parquet_folder.store import PendingFile

__all__ = ["S3Store"]

log = logging.getLogger(__name__)

PART_BYTES = 8 * 2**20
"""All parts but the last have at least 5 MiB; at most 10,000 make a file."""

AT_A_TIME = 16

READS = 3
"""An answer that breaks off is asked for again; the client repeats all else itself."""

CONFLICTS = 6
"""So often a put is tried that meets another one of its key under way, perhaps its own."""
FIRST_WAIT = 0.1
"""Seconds after the first of them; doubled each time."""

_NOT_MET = ("PreconditionFailed", "412")
_CONFLICT = ("ConditionalRequestConflict", "409")
_NO_CONDITIONS = ("NotImplemented", "501", "InvalidArgument", "InvalidRequest", "400")


class S3Store:
    """Objects below one prefix.

    :param url: `s3://bucket/prefix/`, or `s3://bucket/`.
    :param connection: of kind `aws`; absent, the environment's credentials.
    """

    def __init__(self, url: str, *, connection: Connection | None = None) -> None:
        bucket, _, prefix = without_scheme(url).partition("/")
        if not bucket:
            raise SpecificationError(f"{url} names no bucket.", hint="Write s3://bucket/prefix/.")
        if "//" in f"/{prefix}":
            raise SpecificationError(f"{url} has an empty part.", hint="Write single slashes.")
        self.bucket, self.prefix = bucket, prefix
        self._fs: AbstractFileSystem = open_filesystem(url, connection=connection)
        self._fenced = True

    @property
    def name(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def fenced(self) -> bool:
        return self._fenced

    def prepare(self) -> None:
        self._fenced = self._has_conditions()
        if not self._fenced:
            log.warning(
                "The store of %s has no conditional puts: two loads at once may not notice each "
                "other.",
                self.name,
            )

    def read(self, key: str) -> bytes | None:
        return self.read_many([key])[0]

    def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        with self.reporting("Reading"):
            return self._gather(self._read, keys)

    def keys(self, prefix: str, *, limit: int | None = None) -> list[str]:
        with self.reporting("Listing"):
            found: list[str] = self._run(self._list, self.prefix + prefix, limit)
        return found

    def put(self, key: str, data: bytes) -> None:
        with self.reporting("Writing"):
            self._run(self._call, "put_object", Key=self.prefix + key, Body=data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with self.reporting("Writing"):
            if not self._fenced:
                return self._put_if_missing(key, data)
            for tried in range(CONFLICTS):
                try:
                    self._run(
                        self._call, "put_object", Key=self.prefix + key, Body=data, IfNoneMatch="*"
                    )
                except OSError as error:
                    code = _code_of(error)
                    if code not in (*_NOT_MET, *_CONFLICT):
                        raise
                    there = self._run(self._read, key)
                    if there is None and code in _CONFLICT:
                        time.sleep(FIRST_WAIT * 2**tried)
                        continue
                    # The client may have repeated a request that had worked.
                    return bool(there == data)
                return True
        raise TargetUnavailableError(
            f"{self.name}{key} is being written by another request that does not end. Whether "
            "anything was published shows the next run.",
            hint="Run again: a load that was published is not loaded twice.",
        )

    def delete(self, keys: Iterable[str]) -> None:
        left = list(keys)
        with self.reporting("Removing from"):
            while left:
                some, left = left[:1000], left[1000:]
                named = [{"Key": self.prefix + key} for key in some]
                answer = self._run(
                    self._call, "delete_objects", Delete={"Objects": named, "Quiet": True}
                )
                if failed := answer.get("Errors"):
                    raise TargetPermissionError(
                        f"{len(failed)} objects of {self.name} can't be removed "
                        f"({failed[0].get('Code')}).",
                        hint="Give the role or user of the connection the right to delete there.",
                    )

    def create(self, key: str) -> PendingFile:
        with self.reporting("Writing into"):
            answer = self._run(self._call, "create_multipart_upload", Key=self.prefix + key)
        return _Upload(self, key, str(answer["UploadId"]))

    def reveal(self, files: Sequence[PendingFile]) -> None:
        uploads = [file for file in files if isinstance(file, _Upload)]
        with self.reporting("Publishing into"):
            self._gather(self._complete, uploads)

    def pending(self) -> list[PendingFile]:
        with self.reporting("Listing"):
            found = self._run(self._uploads)
        return [_Upload(self, key[len(self.prefix) :], upload) for key, upload in found]

    @contextmanager
    def reporting(self, doing: str) -> Iterator[None]:
        try:
            yield
        except EtlError:
            raise
        except Exception as error:
            known = _error_of(error, f"{doing} {self.name} failed")
            if known is None:
                raise
            raise known from error

    def submit(self, upload: _Upload, number: int, data: bytes) -> Future[dict[str, Any]]:
        """Begin to send a part; the caller waits for it."""
        coroutine = self._call(
            "upload_part",
            Key=self.prefix + upload.key,
            UploadId=upload.id,
            PartNumber=number,
            Body=data,
        )
        return asyncio.run_coroutine_threadsafe(coroutine, self._fs.loop)

    def discard(self, upload: _Upload) -> None:
        """Give an upload up; one that is completed or gone is none any more."""
        with self.reporting("Removing from"):
            try:
                self._run(
                    self._call,
                    "abort_multipart_upload",
                    Key=self.prefix + upload.key,
                    UploadId=upload.id,
                )
            except OSError as error:
                if _code_of(error) != "NoSuchUpload":
                    raise

    def _run(self, of: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        from fsspec.asyn import sync

        return sync(self._fs.loop, of, *args, **kwargs)

    def _gather(self, of: Callable[[Any], Awaitable[Any]], each: Sequence[Any]) -> list[Any]:
        """Answers in order, a few requests at a time; all have ended when one has failed."""

        async def run_all() -> list[Any]:
            free = asyncio.Semaphore(AT_A_TIME)

            async def run_one(one: Any) -> Any:
                async with free:
                    return await of(one)

            return await asyncio.gather(*map(run_one, each), return_exceptions=True)

        answers: list[Any] = self._run(run_all)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers

    async def _call(self, method: str, **arguments: Any) -> Any:
        return await self._fs._call_s3(method, Bucket=self.bucket, **arguments)  # noqa: SLF001

    async def _read(self, key: str) -> bytes | None:
        for left in reversed(range(READS)):
            try:
                answer = await self._call("get_object", Key=self.prefix + key)
                async with answer["Body"] as body:
                    return bytes(await body.read())
            except FileNotFoundError as error:
                if _code_of(error) == "NoSuchBucket":
                    raise
                return None
            except Exception as error:
                if left == 0 or trouble_of(error).kind != "unavailable":
                    raise
        return None

    async def _list(self, prefix: str, limit: int | None) -> list[str]:
        found: list[str] = []
        more: dict[str, Any] = {}
        while True:
            answer = await self._call(
                "list_objects_v2", Prefix=prefix, MaxKeys=min(limit or 1000, 1000), **more
            )
            found += [item["Key"][len(self.prefix) :] for item in answer.get("Contents", [])]
            if not answer.get("IsTruncated") or (limit is not None and len(found) >= limit):
                return sorted(found)
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    async def _uploads(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        more: dict[str, Any] = {}
        while True:
            answer = await self._call("list_multipart_uploads", Prefix=self.prefix, **more)
            found += [(item["Key"], item["UploadId"]) for item in answer.get("Uploads", [])]
            if not answer.get("IsTruncated"):
                return found
            more = {
                "KeyMarker": answer["NextKeyMarker"],
                "UploadIdMarker": answer["NextUploadIdMarker"],
            }

    async def _complete(self, upload: _Upload) -> None:
        try:
            await self._call(
                "complete_multipart_upload",
                Key=self.prefix + upload.key,
                UploadId=upload.id,
                MultipartUpload={"Parts": upload.parts},
            )
        except OSError as error:
            if _code_of(error) != "NoSuchUpload":
                raise
            # The client may have repeated a request that had worked.
            if await self._size(upload.key) != upload.size:
                raise FencedError(
                    f"A data file of this attempt at {self.name} is gone: a newer one took over. "
                    "Nothing was published."
                ) from error

    async def _size(self, key: str) -> int | None:
        try:
            answer = await self._call("head_object", Key=self.prefix + key)
        except FileNotFoundError:
            return None
        return int(answer["ContentLength"])

    def _has_conditions(self) -> bool:
        """Whether a second put of one key is refused: some services pass over the condition."""
        key = f"_etl/tmp/probe-{secrets.token_hex(8)}"
        with self.reporting("Writing into"):
            try:
                for _ in range(2):
                    self._run(
                        self._call, "put_object", Key=self.prefix + key, Body=b"", IfNoneMatch="*"
                    )
            except OSError as error:
                code = _code_of(error)
                if code not in (*_NOT_MET, *_CONFLICT, *_NO_CONDITIONS):
                    raise
                return code in (*_NOT_MET, *_CONFLICT)
            finally:
                self._forget(key)
        return False

    def _forget(self, key: str) -> None:
        try:
            self.delete([key])
        except EtlError as error:
            # The first error is the news, and an empty object does no harm.
            log.debug("%s%s was not removed (%s).", self.name, key, error.code)

    def _put_if_missing(self, key: str, data: bytes) -> bool:
        """The best that can be done without conditions: look before, and look after."""
        if self._run(self._read, key) is not None:
            return False
        self._run(self._call, "put_object", Key=self.prefix + key, Body=data)
        return bool(self._run(self._read, key) == data)


class _Upload(io.RawIOBase):
    """A multipart upload that is written to as a file; one part is sent while the next gathers."""

    def __init__(self, store: S3Store, key: str, upload_id: str) -> None:
        self.key, self.id = key, upload_id
        self.parts: list[dict[str, Any]] = []
        self.size = 0
        self._store = store
        self._buffer = bytearray()
        self._sending: Future[dict[str, Any]] | None = None

    @property
    def file(self) -> IO[bytes]:
        return cast("IO[bytes]", self)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._buffer += view
        self.size += len(view)
        while len(self._buffer) >= PART_BYTES:
            self._send(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]
        return len(view)

    def seal(self) -> None:
        if self._buffer or not self.parts:
            self._send(bytes(self._buffer))
            self._buffer.clear()
        self._wait()

    def discard(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        self._store.discard(self)

    def _send(self, part: bytes) -> None:
        self._wait()
        self._sending = self._store.submit(self, len(self.parts) + 1, part)

    def _wait(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            with self._store.reporting("Writing into"):
                answer = sending.result()
            self.parts.append({"PartNumber": len(self.parts) + 1, "ETag": answer["ETag"]})


def _code_of(error: BaseException | None) -> str:
    """The service's own word for what is wrong."""
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, dict):
            return str((answer.get("Error") or {}).get("Code") or "")
        error = error.__cause__
    return ""


def _error_of(error: BaseException, message: str) -> TargetError | None:
    """An error of ours; None for what has nothing to do with the store."""
    trouble = trouble_of(error)
    if trouble.kind == "other" and not isinstance(error, OSError):
        return None
    kinds: dict[str, type[TargetError]] = {
        "missing": TargetMissingError,
        "refused": TargetPermissionError,
        "login": TargetAuthError,
        "unavailable": TargetUnavailableError,
    }
    kind = kinds.get(trouble.kind, TargetError)
    ending = (
        "Whether anything was published shows the next run."
        if kind is TargetUnavailableError
        else "Nothing was published."
    )
    return kind(f"{message}: {trouble.words}. {ending}", hint=trouble.hint)
