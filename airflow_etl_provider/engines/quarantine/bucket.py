"""Rejects in a bucket: an object is there whole when its upload ends, and not before."""

from __future__ import annotations

import io
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from airflow_etl_provider.engines.quarantine.place import MANIFEST, OWNER, Owner
from airflow_etl_provider.engines.storage import open_filesystem, trouble_of
from airflow_etl_provider.engines.storage.objects import (
    StoredObject,
    has_objects,
    head_object,
    list_objects,
    split_url,
)
from airflow_etl_provider.engines.storage.reading import ObjectReader
from airflow_etl_provider.exceptions import EtlError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsspec import AbstractFileSystem

    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.engines.quarantine.place import Place

__all__ = ["BucketHome", "BucketPlace"]

BESIDE = ".quarantine"
"""How the homes that targets have beside them end; a listing may begin above one."""

PART = 8 * 2**20
"""What is held before it is sent; ten thousand parts make 80 GB of rejects."""


class BucketPlace:
    """The objects under one prefix."""

    def __init__(self, fs: AbstractFileSystem, bucket: str, prefix: str) -> None:
        self._fs, self._bucket, self._prefix = fs, bucket, prefix.rstrip("/")

    @classmethod
    def at(cls, location: str, *, connection: Connection | None) -> BucketPlace:
        bucket, prefix, _ = split_url(location)
        return cls(open_filesystem(location, connection=connection), bucket, prefix)

    @property
    def location(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    @property
    def prefix(self) -> str:
        """What the keys of all in it begin with."""
        return f"{self._prefix}/" if self._prefix else ""

    def create(self, name: str) -> IO[bytes]:
        with _os_errors():
            path = f"{self._bucket}/{self._key(name)}"
            return cast("IO[bytes]", _Upload(self._fs.open(path, "wb", block_size=PART)))

    def finish(self, file: IO[bytes]) -> None:
        with _os_errors():
            file.close()

    def abandon(self, file: IO[bytes]) -> None:
        cast("_Upload", file).abandon()

    def write(self, name: str, data: bytes) -> None:
        with _os_errors():
            self._fs.call_s3("put_object", Bucket=self._bucket, Key=self._key(name), Body=data)

    def claim(self, owner: Owner | None) -> bool:
        """Make it the owner's; False: somebody was there before."""
        if has_objects(self._fs, self._bucket, self.prefix):
            return False
        if owner is None:
            return True
        asked: dict[str, Any] = {
            "Bucket": self._bucket,
            "Key": self._key(OWNER),
            "Body": owner.to_bytes(),
        }
        try:
            self._fs.call_s3("put_object", **asked, IfNoneMatch="*")
        except Exception as error:
            trouble = trouble_of(error)
            if trouble.kind == "changed":
                return False
            if "NotImplemented" not in trouble.words:
                raise
            # A store without conditional puts: names of runs are unique enough.
            self._fs.call_s3("put_object", **asked)
        return True

    def read(self, name: str) -> bytes:
        with self.open(name) as stream:
            return stream.read()

    def open(self, name: str) -> BinaryIO:
        with _os_errors():
            found = head_object(self._fs, self._bucket, self._key(name))
        return cast("BinaryIO", io.BufferedReader(ObjectReader(self._fs, found, blame=_os_error)))

    def names(self) -> set[str]:
        return {item.key.removeprefix(self.prefix) for item in self._objects()}

    def newest(self) -> float:
        return max((item.modified.timestamp() for item in self._objects()), default=0.0)

    def is_held(self) -> bool:
        """Never known: a bucket has no locks, so that the epoch alone decides."""
        return False

    def remove(self) -> None:
        with _os_errors():
            for upload in self._uploads():
                with suppress(FileNotFoundError):
                    self._fs.call_s3(
                        "abort_multipart_upload",
                        Bucket=self._bucket,
                        Key=upload["Key"],
                        UploadId=upload["UploadId"],
                    )
            for item in self._objects():
                self._fs.call_s3("delete_object", Bucket=self._bucket, Key=item.key)

    def _uploads(self) -> list[dict[str, Any]]:
        """Uploads that a killed attempt left half-way: invisible, and paid for."""
        try:
            answer = self._fs.call_s3(
                "list_multipart_uploads", Bucket=self._bucket, Prefix=self.prefix
            )
        except OSError:
            # A right of its own, which few have; what is told of the objects next holds for all.
            return []
        return list(answer.get("Uploads") or ())

    def _objects(self) -> list[StoredObject]:
        with _os_errors():
            return list(list_objects(self._fs, self._bucket, self.prefix))

    def _key(self, name: str) -> str:
        return f"{self.prefix}{name}"


class BucketHome:
    """A prefix of pipelines, of loads, of attempts."""

    def __init__(self, url: str, *, connection: Connection | None) -> None:
        self._bucket, prefix, _ = split_url(url)
        if not self._bucket:
            raise SpecificationError(
                f"The quarantine {url!r} names no bucket.", hint="Write s3://bucket/folder/."
            )
        self._prefix = prefix.strip("/")
        self._fs = open_filesystem(url, connection=connection)

    @property
    def location(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def begin(self, load: tuple[str, str], run: str, owner: Owner | None) -> Place:
        number = 1
        with _os_errors():
            while True:
                place = self._place(*load, run if number == 1 else f"{run}.{number}")
                if place.claim(owner):
                    return place
                number += 1

    def tidy(self, load: tuple[str, str], *, home: bool) -> None:
        """Nothing is left: a bucket has no folders."""

    def places(self, *names: str) -> list[Place]:
        found = {folder[:3] for folder, _ in self._files(*names) if len(folder) >= 3}
        return [self._place(*folder) for folder in sorted(found)]

    def sealed(self) -> Iterator[Place]:
        found = [folder for folder, name in self._files() if name == MANIFEST]
        for folder in sorted(found, key=lambda parts: (len(parts), parts)):
            deepest = 4 if folder and folder[0].endswith(BESIDE) else 3
            if len(folder) <= deepest:
                yield self._place(*folder)

    def _files(self, *names: str) -> Iterator[tuple[tuple[str, ...], str]]:
        """Folders below the home, and the names in them."""
        start = self._place(*names)
        with _os_errors():
            for item in list_objects(self._fs, self._bucket, start.prefix):
                *folder, name = item.key[len(self._place().prefix) :].split("/")
                yield tuple(folder), name

    def _place(self, *names: str) -> BucketPlace:
        return BucketPlace(self._fs, self._bucket, "/".join(filter(None, (self._prefix, *names))))


class _Upload:
    """A file of s3fs's, which completes what it is given when it is merely collected."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.closed = False

    def __del__(self) -> None:
        self.abandon()

    def write(self, data: Any) -> int:
        with _os_errors():
            return int(self._file.write(data))

    def flush(self) -> None:
        """Parts are sent when they are full."""

    def close(self) -> None:
        """Complete the upload; where that fails, nothing is there."""
        if self.closed:
            return
        try:
            self._file.close()
        except BaseException:
            self.abandon()
            raise
        self.closed = True

    def abandon(self) -> None:
        if self.closed:
            return
        self.closed = self._file.closed = True
        # The store may be what failed; what is left of the upload goes when the place is removed.
        with suppress(Exception):
            self._file.discard()


@contextmanager
def _os_errors() -> Iterator[None]:
    """Make OSErrors of what botocore raises, so that all places fail alike."""
    try:
        yield
    except OSError:
        raise
    except EtlError:
        raise
    except Exception as error:
        raise _os_error(error) from error


def _os_error(error: Exception) -> Exception:
    return error if isinstance(error, OSError | EtlError) else OSError(trouble_of(error).words)
