"""Rejects on disk: durable when they are named, readable by their owner alone."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from airflow_etl_provider.engines.quarantine.place import MANIFEST, OWNER, REJECTS
from airflow_etl_provider.exceptions import NotSupportedYetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.engines.quarantine.place import Owner, Place

__all__ = ["FolderHome", "FolderPlace", "local_path"]

_MOST_VANISHED = 10
"""How often the folder of the load may be gone again before there is a place in it."""


class FolderPlace:
    """A folder, 0700, of files, 0600: they hold what the target would have held."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def location(self) -> str:
        return str(self.path)

    def create(self, name: str) -> IO[bytes]:
        descriptor = os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        file = os.fdopen(descriptor, "wb")
        # Until it is closed, or this process dead. On file systems without locks the epoch alone
        # tells the living from the dead.
        with suppress(OSError):
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file

    def finish(self, file: IO[bytes]) -> None:
        file.flush()
        os.fsync(file.fileno())
        file.close()
        _sync(self.path)

    def abandon(self, file: IO[bytes]) -> None:
        # Bytes still in the buffer may find no room; the file is removed anyway.
        with suppress(OSError):
            file.close()

    def write(self, name: str, data: bytes) -> None:
        temporary = self.path / f".{name}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path / name)
        _sync(self.path)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        return (self.path / name).open("rb")

    def names(self) -> set[str] | None:
        if self.path.is_symlink() or not self.path.is_dir():
            return None
        return {path.name for path in self.path.iterdir()}

    def newest(self) -> float:
        return max(path.stat().st_mtime for path in [self.path, *self.path.iterdir()])

    def is_held(self) -> bool:
        try:
            descriptor = os.open(self.path / REJECTS, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return False

    def remove(self) -> None:
        shutil.rmtree(self.path)


class FolderHome:
    """A folder of pipelines, of loads, of attempts."""

    def __init__(self, home: str | Path) -> None:
        self.path = local_path(home)

    @property
    def location(self) -> str:
        return str(self.path)

    def begin(self, load: tuple[str, str], run: str, owner: Owner | None) -> Place:
        folder = self.path.joinpath(*load)
        for _ in range(_MOST_VANISHED):
            try:
                return self._begin_in(folder, run, owner)
            except FileNotFoundError:
                # Another attempt ended just now, and took the empty folder of the load away.
                continue
        return self._begin_in(folder, run, owner)

    def tidy(self, load: tuple[str, str], *, home: bool) -> None:
        pipeline = self.path / load[0]
        # Not empty: then other attempts keep theirs there.
        with suppress(OSError):
            for folder in (pipeline / load[1], pipeline, *([self.path] if home else [])):
                folder.rmdir()

    def places(self, *names: str) -> list[Place]:
        start = self.path.joinpath(*names)
        return [FolderPlace(path) for path in sorted(start.glob("/".join("*" * (3 - len(names)))))]

    def sealed(self) -> Iterator[Place]:
        for depth in ("", "*/", "*/*/", "*/*/*/"):
            for path in sorted(self.path.glob(depth + MANIFEST)):
                yield FolderPlace(path.parent)

    def _begin_in(self, load: Path, run: str, owner: Owner | None) -> Place:
        for folder in [*reversed(load.parents), load]:
            folder.mkdir(mode=0o700, exist_ok=True)
        number = 1
        while True:
            folder = load / (run if number == 1 else f"{run}.{number}")
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                number += 1
                continue
            if owner is not None:
                # Should it get lost, nobody takes the folder for an older one.
                descriptor = os.open(folder / OWNER, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(owner.to_bytes())
            for made in (folder, load, load.parent):
                _sync(made.parent)
            return FolderPlace(folder)


def local_path(home: str | Path) -> Path:
    """The folder, absolute.

    :raises NotSupportedYetError: it is a URL of a store that is not a local disk.
    """
    text = str(home)
    parts = urlsplit(text)
    if "://" in text and parts.scheme != "file":
        raise NotSupportedYetError(
            f"A quarantine at {parts.scheme}:// is not supported yet.",
            hint="Use a local folder or s3://bucket/folder/.",
        )
    return Path(parts.path if parts.scheme == "file" else text).expanduser().absolute()


def _sync(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
