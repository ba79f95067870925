"""A folder on the local disk, or on what is mounted there."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow_etl_provider.engines.targets.attempt_file import (
    after_publishing,
    os_error_of,
    sync_folder,
)
from airflow_etl_provider.exceptions import FencedError, TargetError, TargetMissingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_etl_provider.engines.targets.parquet_folder.store import PendingFile

__all__ = ["LocalStore"]

log = logging.getLogger(__name__)

PENDING, SCRATCH = "_etl/pending", "_etl/tmp"
SUFFIX = ".pending"
"""A data file that is not published has no name that a pattern such as **/*.parquet finds."""

SCRATCH_SECONDS = 24 * 3600.0

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
"""What file systems without hard links answer."""


class LocalStore:
    """Objects are files; a hard link creates one whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self._fenced = True

    @property
    def name(self) -> str:
        return f"{self.root}/"

    @property
    def fenced(self) -> bool:
        return self._fenced

    def prepare(self) -> None:
        if not self.root.parent.is_dir():
            raise TargetMissingError(
                f"The folder {self.root.parent} does not exist.", hint="Create it first."
            )
        if self.root.exists() and not self.root.is_dir():
            raise TargetError(f"{self.root} is a file, not a folder.", hint="Name another folder.")
        with self.reporting("Writing into"):
            for folder in ("", PENDING, SCRATCH):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            self._fenced = self._has_links()
            self._tidy()

    def read(self, key: str) -> bytes | None:
        with self.reporting("Reading"):
            try:
                return self._path(key).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.read(key) for key in keys]

    def keys(self, prefix: str, *, limit: int | None = None) -> list[str]:
        found: list[str] = []
        with self.reporting("Listing"):
            for key in self._walk(prefix.rpartition("/")[0]):
                if key.startswith(prefix):
                    found.append(key)
                if len(found) == limit:
                    break
        return sorted(found)

    def put(self, key: str, data: bytes) -> None:
        with self.reporting("Writing"):
            self._scratch(data).replace(self._parent(key))
            sync_folder(self._path(key).parent)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with self.reporting("Writing"):
            path, scratch = self._parent(key), self._scratch(data)
            try:
                if not self._fenced:
                    if path.exists():
                        return False
                    scratch.replace(path)
                else:
                    os.link(scratch, path)
            except FileExistsError:
                # A network file system may have repeated a call that had worked.
                return scratch.samefile(path)
            except OSError:
                # Or have lost the answer to it.
                if not _is_same(scratch, path):
                    raise
            finally:
                # What stays is removed by a later load.
                with suppress(OSError):
                    scratch.unlink(missing_ok=True)
            # The link is there for everyone: what fails now is no failure of the writer.
            with after_publishing(path):
                sync_folder(path.parent)
        return True

    def delete(self, keys: Iterable[str]) -> None:
        folders = set()
        with self.reporting("Removing from"):
            for key in keys:
                path = self._path(key)
                path.unlink(missing_ok=True)
                folders.add(path.parent)
        for folder in folders:
            self._prune(folder)

    def create(self, key: str) -> PendingFile:
        with self.reporting("Writing into"):
            return _LocalFile(key, self.root / PENDING / (key.rpartition("/")[2] + SUFFIX))

    def reveal(self, files: Sequence[PendingFile]) -> None:
        folders = set()
        with self.reporting("Publishing into"):
            for file in files:
                source = self.root / PENDING / (file.key.rpartition("/")[2] + SUFFIX)
                folders.add(self._move(source, file.key))
            for folder in folders:
                sync_folder(folder)

    def pending(self) -> list[PendingFile]:
        with self.reporting("Listing"):
            return [
                _LocalFile.found(path) for path in sorted((self.root / PENDING).glob(f"*{SUFFIX}"))
            ]

    @contextmanager
    def reporting(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise os_error_of(error, self.root, doing=doing) from error

    def _path(self, key: str) -> Path:
        return self.root / key

    def _parent(self, key: str) -> Path:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _scratch(self, data: bytes) -> Path:
        """A durable file of that content, under a name of its own."""
        path = self.root / SCRATCH / secrets.token_hex(8)
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                path.unlink(missing_ok=True)
                raise
        return path

    def _move(self, source: Path, key: str) -> Path:
        while True:
            path = self._parent(key)
            try:
                source.rename(path)
            except FileNotFoundError:
                # Somebody removed the folder as empty between the two calls.
                if path.parent.exists():
                    raise FencedError(
                        f"A data file of this attempt at {self.name} is gone: a newer one took "
                        "over. Nothing was published."
                    ) from None
            else:
                return path.parent

    def _walk(self, folder: str) -> Iterator[str]:
        top = self.root / folder if folder else self.root
        for at, folders, names in os.walk(top, onerror=_unless_missing):
            folders.sort()
            relative = Path(at).relative_to(self.root).as_posix()
            for name in sorted(names):
                yield name if relative == "." else f"{relative}/{name}"

    def _prune(self, folder: Path) -> None:
        """Remove folders of partitions that have become empty."""
        while folder != self.root and self.root in folder.parents and folder.name != "_etl":
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _has_links(self) -> bool:
        scratch = self._scratch(b"")
        second = scratch.with_suffix(".link")
        try:
            os.link(scratch, second)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return False
            raise
        finally:
            scratch.unlink(missing_ok=True)
            second.unlink(missing_ok=True)
        return True

    def _tidy(self) -> None:
        """Remove what killed processes left of their scratch files."""
        for path in (self.root / SCRATCH).iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - SCRATCH_SECONDS:
                    path.unlink()


class _LocalFile:
    """A file under `_etl/pending`."""

    def __init__(self, key: str, path: Path) -> None:
        self.key = key
        self._path: Path | None = path
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self.file: IO[bytes] = os.fdopen(descriptor, "wb")

    @classmethod
    def found(cls, path: Path) -> _LocalFile:
        """One that another process left."""
        self = cls.__new__(cls)
        self.key = path.name.removesuffix(SUFFIX)
        self._path = path
        self.file = open(os.devnull, "wb")  # noqa: SIM115, PTH123 - nothing is written to it
        self.file.close()
        return self

    def seal(self) -> None:
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
        except OSError as error:
            raise os_error_of(error, Path(self.key), doing="Writing") from error

    def discard(self) -> None:
        path, self._path = self._path, None
        if path is not None:
            # Bytes still in the buffer may find no room now, and nobody misses them.
            with suppress(OSError):
                self.file.close()
            path.unlink(missing_ok=True)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
