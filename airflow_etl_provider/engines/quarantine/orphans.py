"""Sweep what no ledger row names: after a load its own, and on demand all of a home's."""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.quarantine.manifest import (
    MANIFEST,
    REJECTS,
    Status,
    local_home,
    quarantine_error_of,
    read_manifest,
    safe_name,
)
from airflow_etl_provider.engines.quarantine.owner import OWNER, Owner, is_held, read_owner
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["sweep_orphans", "sweep_other_attempts"]

log = logging.getLogger(__name__)

OURS = {MANIFEST, f".{MANIFEST}.tmp", OWNER, REJECTS}

GRACE_SECONDS = 24 * 3600.0
"""Younger quarantines may belong to a load that is still running."""


def sweep_other_attempts(
    home: str | Path, *, pipeline: str, load_id: str, published_by: Owner, location: str | None
) -> list[str]:
    """Remove what other attempts at a published load left; none of them can publish any more.

    No ledger need be asked: that of a target has one row for a load, and the row names `location`.
    Left alone is what is marked `not_published`, what a living attempt writes, what another target
    or a newer epoch has, and what does not tell whose it is.

    :param published_by: the attempt that the ledger row is about.
    :param location: the quarantine that the ledger row names.
    :returns: the locations that were removed; one that can't be is only logged.
    """
    load = local_home(home) / safe_name(pipeline) / safe_name(load_id)
    # Its end is enough: the home may have had another name or mount when it was written.
    named = Path(location).parts[-3:] if location is not None else None
    removed = []
    for folder in sorted(load.glob("*")):
        try:
            if folder.parts[-3:] != named and _is_left_behind(folder, published_by):
                shutil.rmtree(folder)
                removed.append(str(folder))
        except OSError as error:
            log.warning("%s could not be swept (%s).", folder, type(error).__name__)
    if removed:
        with suppress(OSError):
            # Not empty: then somebody's rejects are there.
            load.rmdir()
            load.parent.rmdir()
    return removed


def _is_left_behind(folder: Path, published_by: Owner) -> bool:
    owner = read_owner(folder)
    if owner is None or owner.target != published_by.target or not _is_ours(folder):
        return False
    try:
        status = _status(folder)
    except QuarantineError:
        return False
    if status == "not_published" or is_held(folder / REJECTS):
        return False
    # A target that is a file hands out the epoch of a dead attempt again, but not of one that
    # published.
    newest = published_by.epoch - (status == "published")
    return owner.epoch <= newest


def sweep_orphans(
    home: str | Path,
    named_by_ledgers: Collection[str],
    *,
    pipeline: str | None = None,
    grace_seconds: float = GRACE_SECONDS,
    now: float | None = None,
) -> list[str]:
    """Remove what no ledger row names, is not marked `not_published`, and is older than the grace.

    :param named_by_ledgers: locations in the ledgers of every target that uses this home; with
        `pipeline`, in those of the targets of that pipeline, and only its folder is swept.
    :param now: seconds since the epoch.
    :returns: the locations that were removed.
    """
    root = local_home(home)
    named = {str(local_home(location)) for location in named_by_ledgers}
    before = (time.time() if now is None else now) - grace_seconds
    removed = []
    for folder in _attempts(root, pipeline):
        if str(folder) in named or _newest(folder) > before or is_held(folder / REJECTS):
            continue
        if _is_kept(folder):
            continue
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise quarantine_error_of(error, folder) from error
        removed.append(str(folder))
    return removed


def _attempts(root: Path, pipeline: str | None) -> list[Path]:
    start = root if pipeline is None else root / safe_name(pipeline)
    pattern = "*/*/*" if pipeline is None else "*/*"
    return [folder for folder in sorted(start.glob(pattern)) if _is_ours(folder)]


def _is_ours(folder: Path) -> bool:
    """Only folders that look like ours are ever removed: the home may hold other things."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return {path.name for path in folder.iterdir()} <= OURS


def _newest(folder: Path) -> float:
    return max(path.stat().st_mtime for path in [folder, *folder.iterdir()])


def _is_kept(folder: Path) -> bool:
    return _status(folder) == "not_published"


def _status(folder: Path) -> Status | None:
    """What became of a quarantine; None where it was not even sealed."""
    return read_manifest(folder).status if (folder / MANIFEST).exists() else None
