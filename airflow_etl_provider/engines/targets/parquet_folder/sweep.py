"""Remove files that no one reads any more: of attempts that died, and of rows that were replaced.

Who is going to put a file where readers see it, or to drop one, first writes down which: under
`_etl/sweep/`. So whatever is killed when, the next load finds what is left without looking through
the whole folder. A list is no order: what is live stays.
"""

from __future__ import annotations

import gzip
import json
import logging
import re
import secrets
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.targets.parquet_folder.history import KEPT_VERSIONS
from airflow_etl_provider.engines.targets.parquet_folder.manifest import LISTS, manifest_key
from airflow_etl_provider.engines.targets.parquet_folder.writer import owner_of
from airflow_etl_provider.exceptions import EtlError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.engines.targets.parquet_folder.history import History, Snapshot
    from airflow_etl_provider.engines.targets.parquet_folder.store import Store

__all__ = ["attempt_list", "list_key", "note", "replaced_list", "sweep"]

log = logging.getLogger(__name__)

SWEEP = "_etl/sweep/"

_LIST = re.compile(r"(?P<kind>attempt|replaced)-(?P<number>\d+)-[0-9a-f]+\.json\.gz")
_LOADS = re.compile(r"(?P<epoch>\d+)-[0-9a-f]+\.json\.gz")


def attempt_list(epoch: int) -> str:
    """Names the list of what an attempt is going to show."""
    return f"{SWEEP}attempt-{epoch:012d}-{secrets.token_hex(4)}.json.gz"


def replaced_list(version: int) -> str:
    """Names the list of what is not needed from a version on."""
    return f"{SWEEP}replaced-{version:012d}-{secrets.token_hex(4)}.json.gz"


def list_key(epoch: int) -> str:
    """Names a list of loads that an attempt writes."""
    return f"{LISTS}{epoch:012d}-{secrets.token_hex(8)}.json.gz"


def note(store: Store, key: str, keys: Sequence[str]) -> None:
    """Write a list."""
    store.put(key, gzip.compress(json.dumps({"format": 1, "keys": list(keys)}).encode(), mtime=0))


def sweep(history: History, snapshot: Snapshot) -> None:
    """Remove what is left over at a version. What fails is logged, and done by the next load."""
    count = 0
    # Each for itself: not everyone who may delete may also list uploads.
    for part in (_sweep_lists, _sweep_pending, _sweep_history):
        try:
            count += part(history, snapshot)
        except EtlError as error:
            log.warning(
                "%s could not be swept (%s); the next load will try again.",
                history.store.name,
                error.code,
            )
    if count:
        log.info("Swept %d files of %s.", count, history.store.name)


def _is_over(epoch: int, snapshot: Snapshot) -> bool:
    """Whether an attempt can't publish any more: it has, or was overtaken, or took too long."""
    living = {attempt.epoch for attempt in snapshot.manifest.attempts.values()}
    # An epoch that is newer than what was read belongs to someone who began meanwhile.
    return epoch <= snapshot.manifest.epoch and epoch not in living


def _sweep_pending(history: History, snapshot: Snapshot) -> int:
    count = 0
    for file in history.store.pending():
        epoch = owner_of(file.key, table=snapshot.manifest.table)
        if epoch is not None and _is_over(epoch, snapshot):
            file.discard()
            count += 1
    return count


def _sweep_lists(history: History, snapshot: Snapshot) -> int:
    count, store = 0, history.store
    for key in store.keys(SWEEP):
        found = _LIST.fullmatch(key.removeprefix(SWEEP))
        if found is None:
            continue
        number = int(found["number"])
        due = (
            _is_over(number, snapshot) if found["kind"] == "attempt" else number <= snapshot.version
        )
        if due:
            count += _act_on(store, key, snapshot)
    return count


def _act_on(store: Store, key: str, snapshot: Snapshot) -> int:
    data = store.read(key)
    if data is None:
        return 0
    try:
        keys = [str(name) for name in json.loads(gzip.decompress(data))["keys"]]
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        log.warning("%s%s can't be read, and is left as it is.", store.name, key)
        return 0
    kept = snapshot.named_keys()
    gone = [name for name in keys if name not in kept and _is_ours(name, snapshot)]
    store.delete(gone)
    # Last, so that whoever is killed before leaves it to the next.
    store.delete([key])
    return len(gone)


def _is_ours(name: str, snapshot: Snapshot) -> bool:
    """A list that somebody tampered with can't name other things than data and lists."""
    if name.startswith(LISTS):
        return _LOADS.fullmatch(name.removeprefix(LISTS)) is not None
    within = not name.startswith("/") and ".." not in name.split("/")
    return within and owner_of(name, table=snapshot.manifest.table) is not None


def _sweep_history(history: History, snapshot: Snapshot) -> int:
    """Old manifests; what only they name has notes of its own."""
    last = snapshot.version - KEPT_VERSIONS
    old = [manifest_key(version) for version in history.versions() if version <= last]
    history.store.delete(old)
    return len(old)
