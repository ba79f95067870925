"""A folder on scratch that is locked as long as its process lives, so that the next one can tell.

A process that is killed removes nothing. What it leaves here may be gigabytes of a source's files,
and a worker has no other who would clean up.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["LOCK", "PREFIX", "LockedFolder"]

PREFIX = "airflow-etl-depot-"
"""Of folders of this kind alone."""

LOCK = "lock"


class LockedFolder:
    """A new folder of our own; those of the dead beside it are removed.

    :param scratch: where; the temporary folder of the machine by default.
    """

    def __init__(self, *, scratch: Path | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=scratch))
        self._lock = _hold(self.path)
        _sweep(self.path.parent)

    def remove(self) -> None:
        """Remove it with all that is in it; harmless twice."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _hold(folder: Path) -> int | None:
    """Lock a folder; None on file systems without locks, where nobody sweeps it either."""
    unlocked = folder / f"{LOCK}.new"
    descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        unlocked.unlink()
        return None
    # Under the name that sweepers look for it has never been without its lock.
    unlocked.rename(folder / LOCK)
    return descriptor


def _sweep(scratch: Path) -> None:
    # What can't be looked at or removed now is left to the next one: no run fails for it.
    with suppress(OSError), os.scandir(scratch) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                with suppress(OSError):
                    _remove_dead(entry.path)


def _remove_dead(path: str) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            return
        lock = os.open(LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(lock).st_mode):
                return
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
        finally:
            os.close(lock)
    finally:
        os.close(folder)
