"""A file that one attempt writes beside its target, and that becomes the target by a rename.

It stays locked as long as the attempt lives, so that anyone can tell the files of the living from
those of the dead, which are swept.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import logging
import os
import re
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from airflow_etl_provider.exceptions import (
    TargetError,
    TargetMissingError,
    TargetPermissionError,
    TargetUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "AttemptFile",
    "after_publishing",
    "living_epochs",
    "locked_folder",
    "os_error_of",
    "sweep_dead_attempts",
    "sync_folder",
]

log = logging.getLogger(__name__)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_MISSING = {errno.ENOENT, errno.ENOTDIR}
_SILENT = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT}
"""What a mounted disk answers that does not know itself whether it did what it was asked to."""
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
"""What file systems without file locks answer."""

_EPOCH = re.compile(r"\.etl-(?P<load>[^-]+)-(?P<epoch>\d+)-[0-9a-f]+\.tmp$")


class AttemptFile:
    """One open, locked file with a hidden name in the target's folder."""

    def __init__(self, target: Path, *, load_id: str, epoch: int) -> None:
        self.target = target
        self.path, self.file = _create(target, load_id=load_id, epoch=epoch)

    def publish(self) -> None:
        """Make it durable and give it the target's name, in one step for every reader."""
        self.file.flush()
        if self.target.exists():
            os.fchmod(self.file.fileno(), stat.S_IMODE(self.target.stat().st_mode))
        os.fsync(self.file.fileno())
        self.path.replace(self.target)
        # Every reader sees the new file from here on: what fails now is no failure of the load.
        with after_publishing(self.target):
            self.file.close()
            sync_folder(self.target.parent)

    def discard(self) -> None:
        """Remove it; harmless after `publish` and twice."""
        if not self.file.closed:
            self.path.unlink(missing_ok=True)
            # Bytes still in the buffer may find no room now, and nobody misses them.
            with suppress(OSError):
                self.file.close()


@contextmanager
def after_publishing(target: Path) -> Iterator[None]:
    """Let what follows a rename fail with a warning: the rows are there, and that is the news."""
    try:
        yield
    except OSError as error:
        log.warning(
            "%s is published, but not all that belongs to it could be written (%s).",
            target,
            error.strerror or type(error).__name__,
        )


def _create(target: Path, *, load_id: str, epoch: int) -> tuple[Path, IO[bytes]]:
    safe_id = re.sub(r"[^0-9A-Za-z]", "", load_id)[:32] or "0"
    while True:
        path = target.parent / f"{_prefix(target)}{safe_id}-{epoch}-{secrets.token_hex(4)}.tmp"
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "w+b")
        if _lock(file.fileno()) and _is_at(file.fileno(), path):
            return path, file
        # A sweeper took it for an orphan in the instant before it was locked.
        file.close()


def sweep_dead_attempts(target: Path) -> list[Path]:
    """Remove the files of attempts that no longer live; returns what was removed."""
    removed = []
    for path in _attempts(target):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            if _lock(descriptor, unless_supported=False):
                path.unlink(missing_ok=True)
                removed.append(path)
        finally:
            os.close(descriptor)
    return removed


def living_epochs(target: Path, load_id: str) -> list[int]:
    """Epochs of the attempts at this load whose files are there."""
    found = [_EPOCH.search(path.name) for path in _attempts(target)]
    return [int(m["epoch"]) for m in found if m and load_id.startswith(m["load"])]


@contextmanager
def locked_folder(folder: Path, *, wait_seconds: float) -> Iterator[None]:
    """Hold a folder's lock for a moment; on file systems without locks, go on without.

    :raises TargetUnavailableError: another process held it longer than `wait_seconds`.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + wait_seconds
        while not _lock(descriptor):
            if time.monotonic() > deadline:
                raise TargetUnavailableError(
                    f"Another load has been publishing into {folder} for {wait_seconds:.0f} s.",
                    hint="Look for a stopped process that holds the folder, then run again.",
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def os_error_of(error: OSError, path: Path, *, doing: str) -> TargetError:
    """Say what the operating system refused, as an error of ours."""
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    if error.errno in _SILENT:
        return TargetUnavailableError(
            f"{doing} {path} failed: {reason}. Whether anything was published shows the next run.",
            hint="Check the disk, or the server that it is mounted from, then run again.",
        )
    message = f"{doing} {path} failed: {reason}. Nothing was published."
    if error.errno in _FULL:
        return TargetError(message, hint="Free space on that disk, then run again.")
    if error.errno in _FORBIDDEN:
        return TargetPermissionError(message, hint="Give this user the right to write there.")
    if error.errno in _MISSING:
        return TargetMissingError(message, hint="Create the folder first.")
    return TargetError(message)


def _prefix(target: Path) -> str:
    # File names end at 255 bytes.
    return f".{target.name.encode()[:150].decode(errors='ignore')}.etl-"


def _attempts(target: Path) -> list[Path]:
    return sorted(target.parent.glob(glob.escape(_prefix(target)) + "*.tmp"))


def _lock(descriptor: int, *, unless_supported: bool = True) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return unless_supported
        raise
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))
