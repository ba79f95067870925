"""Sweep what no ledger row names: after a load its own, and on demand all of a home's."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.quarantine.folder import local_path
from airflow_etl_provider.engines.quarantine.manifest import quarantine_error_of, read_manifest
from airflow_etl_provider.engines.quarantine.place import (
    MANIFEST,
    OURS,
    OWNER,
    Owner,
    open_home,
    safe_name,
)
from airflow_etl_provider.engines.storage import is_remote
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.engines.quarantine.place import Place

__all__ = ["sweep_orphans", "sweep_other_attempts"]

log = logging.getLogger(__name__)

GRACE_SECONDS = 24 * 3600.0
"""Younger quarantines may belong to a load that is still running."""


def sweep_other_attempts(
    home: str | Path,
    *,
    pipeline: str,
    load_id: str,
    published_by: Owner,
    location: str | None,
    connection: Connection | None = None,
) -> list[str]:
    """Remove what other attempts at a published load left; none of them can publish any more.

    No ledger need be asked: that of a target has one row for a load, and the row names `location`.
    Left alone is what is marked `not_published`, what a living attempt writes, what another target
    or a newer epoch has, and what does not tell whose it is.

    :param published_by: the attempt that the ledger row is about.
    :param location: the quarantine that the ledger row names.
    :returns: the locations that were removed; one that can't be is only logged.
    """
    load = (safe_name(pipeline), safe_name(load_id))
    opened = open_home(home, connection=connection)
    # Its end is enough: the home may have had another name or mount when it was written.
    named = _end(location) if location is not None else None
    removed = []
    try:
        places = opened.places(*load)
    except OSError as error:
        log.warning("%s could not be swept (%s).", opened.location, type(error).__name__)
        return []
    for place in places:
        try:
            if _end(place.location) != named and _is_left_behind(place, published_by):
                place.remove()
                removed.append(place.location)
        except OSError as error:
            log.warning("%s could not be swept (%s).", place.location, type(error).__name__)
    if removed:
        opened.tidy(load, home=False)
    return removed


def _names_of_ours(place: Place) -> set[str] | None:
    """Only what looks like ours is ever removed: the home may hold other things."""
    names = place.names()
    return names if names is not None and names <= OURS else None


def _plain(location: str) -> str:
    return location.rstrip("/") if is_remote(location) else str(local_path(location))


def _end(location: str) -> list[str]:
    return location.rstrip("/").split("/")[-3:]


def _is_left_behind(place: Place, published_by: Owner) -> bool:
    names = _names_of_ours(place)
    owner = _owner_of(place) if names is not None and OWNER in names else None
    if names is None or owner is None or owner.target != published_by.target:
        return False
    try:
        # None where it was not even sealed.
        status = read_manifest(place).status if MANIFEST in names else None
    except QuarantineError:
        return False
    if status == "not_published" or place.is_held():
        return False
    # A target that is a file hands out the epoch of a dead attempt again, but not of one that
    # published.
    newest = published_by.epoch - (status == "published")
    return owner.epoch <= newest


def _owner_of(place: Place) -> Owner | None:
    """The attempt that a place belongs to; None where that can't be told."""
    try:
        values = json.loads(place.read(OWNER))
        return Owner(target=str(values["target"]), epoch=int(values["epoch"]))
    except (OSError, KeyError, TypeError, ValueError):
        return None


def sweep_orphans(
    home: str | Path,
    named_by_ledgers: Collection[str],
    *,
    pipeline: str | None = None,
    grace_seconds: float = GRACE_SECONDS,
    now: float | None = None,
    connection: Connection | None = None,
) -> list[str]:
    """Remove what no ledger row names, is not marked `not_published`, and is older than the grace.

    :param named_by_ledgers: locations in the ledgers of every target that uses this home; with
        `pipeline`, in those of the targets of that pipeline, and only its folder is swept.
    :param now: seconds since the epoch.
    :returns: the locations that were removed.
    """
    opened = open_home(home, connection=connection)
    named = {_plain(location) for location in named_by_ledgers}
    before = (time.time() if now is None else now) - grace_seconds
    removed = []
    for place in opened.places(*(() if pipeline is None else (safe_name(pipeline),))):
        names = _names_of_ours(place)
        if names is None or place.location in named:
            continue
        if place.newest() > before or place.is_held():
            continue
        if MANIFEST in names and read_manifest(place).status == "not_published":
            continue
        try:
            place.remove()
        except OSError as error:
            raise quarantine_error_of(error, place.location) from error
        removed.append(place.location)
    return removed
