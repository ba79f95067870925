"""Whose a folder of rejects is: told from its first moment, and whether that attempt lives."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OWNER", "Owner", "is_held", "read_owner", "take_hold", "write_owner"]

OWNER = "owner.json"


@dataclass(frozen=True, slots=True)
class Owner:
    """The attempt that writes a folder.

    :param target: as reports show it. The same load may go into several targets, and each hands
        out epochs of its own.
    """

    target: str
    epoch: int


def write_owner(folder: Path, owner: Owner) -> None:
    """Leave word in a new folder; should it get lost, nobody takes the folder for an older one."""
    descriptor = os.open(folder / OWNER, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(owner), file)


def read_owner(folder: Path) -> Owner | None:
    """Give the attempt that a folder belongs to; None where that can't be told."""
    try:
        values = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return Owner(target=str(values["target"]), epoch=int(values["epoch"]))
    except (OSError, KeyError, TypeError, ValueError):
        return None


def take_hold(file: IO[Any]) -> None:
    """Lock a file until it is closed, or its process is dead."""
    # On file systems without locks the epoch alone tells the living from the dead.
    with suppress(OSError):
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_held(path: Path) -> bool:
    """Whether a living process writes the file."""
    try:
        descriptor = os.open(path, os.O_RDWR)
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
