"""Versions of the folder: read the newest, and add one if nobody was faster."""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.targets.parquet_folder.manifest import (
    MANIFESTS,
    DamagedError,
    ListRef,
    LoadRecord,
    Manifest,
    list_from_bytes,
    list_to_bytes,
    manifest_from_bytes,
    manifest_key,
    manifest_to_bytes,
    version_of,
)
from airflow_etl_provider.exceptions import EtlError, TargetError, TargetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from airflow_etl_provider.engines.targets.base import LedgerEntry
    from airflow_etl_provider.engines.targets.parquet_folder.store import Store

__all__ = ["KEPT_VERSIONS", "History", "Snapshot"]

KEPT_VERSIONS = 20
"""Manifests that stay, with their lists, for whoever is reading by them."""

ANCESTORS = 2 * KEPT_VERSIONS

_FIRST_WAIT, _LONGEST_WAIT = 0.02, 1.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The folder at one version; empty before the first load."""

    manifest: Manifest
    lists: tuple[tuple[ListRef, tuple[LoadRecord, ...]], ...] = ()

    @property
    def version(self) -> int:
        return self.manifest.version

    def records(self) -> Iterator[LoadRecord]:
        for _, records in self.lists:
            yield from records

    def entries(self) -> list[LedgerEntry]:
        """What the ledger holds, oldest first."""
        return [r.entry for r in sorted(self.records(), key=lambda record: record.version)]

    def find(self, load_id: str) -> LoadRecord | None:
        return next((record for record in self.records() if record.load_id == load_id), None)

    def live_keys(self) -> set[str]:
        return {file.key for record in self.records() for file in record.files}

    def named_keys(self) -> set[str]:
        """All that must stay: live files and the lists that name them."""
        return self.live_keys() | {ref.key for ref, _ in self.lists}


class History:
    """The versions of one folder. Lists are read once, since they never change."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime], wait_seconds: float) -> None:
        self.store = store
        self.clock = clock
        self.wait_seconds = wait_seconds
        self._lists: dict[str, tuple[LoadRecord, ...]] = {}

    def versions(self) -> list[int]:
        """Those that are there, oldest first."""
        found = (version_of(key) for key in self.store.keys(MANIFESTS))
        return sorted(version for version in found if version is not None)

    def read(self) -> Snapshot | None:
        """The newest version; None when there is none.

        :raises TargetError: what is there can't be read. It is left as it is.
        """
        seen: int | None = None
        while True:
            versions = self.versions()
            if not versions:
                return None
            try:
                snapshot = self._read_version(versions[-1])
            except DamagedError as error:
                raise self._damaged(manifest_key(versions[-1]), error) from error
            if snapshot is not None:
                return snapshot
            # Newer versions may have come meanwhile, and the lists of this one gone.
            if versions[-1] == seen:
                raise self._damaged(
                    manifest_key(seen), DamagedError("a list of loads that it names is missing")
                )
            seen = versions[-1]

    def start(self) -> Snapshot:
        """What the first version follows on."""
        return Snapshot(
            Manifest(table=secrets.token_hex(4), version=0, id="", written_at=self._now())
        )

    def commit(self, decide: Callable[[Snapshot], Manifest | None]) -> Snapshot:
        """Add a version to the newest one, or to a newer one if another writer was faster.

        :param decide: makes the manifest of a snapshot; asked again for each that turns up. A
            version that it made may be in there all the same, when it arrived late or unheard and
            many followed: it has to look for what it brought. None commits nothing.
        :returns: the new version, or with None the one that was decided on.
        :raises TargetUnavailableError: others were faster for `wait_seconds`, or the store fell
            silent, and then nobody knows.
        """
        deadline = time.monotonic() + self.wait_seconds
        wait, tried = _FIRST_WAIT, False
        while True:
            before = self.read() or self.start()
            decided = decide(before)
            if decided is None:
                return before
            # Asked only now, when it is certain that the try before was in vain.
            if tried and time.monotonic() > deadline:
                raise TargetUnavailableError(
                    f"Other loads kept publishing into {self.store.name} for "
                    f"{self.wait_seconds:.0f} s. Nothing was published.",
                    hint="Run again, with fewer loads at a time.",
                )
            manifest = replace(
                decided,
                version=before.version + 1,
                id=secrets.token_hex(8),
                written_at=self._now(),
                ancestors=(before.manifest.id, *before.manifest.ancestors)[:ANCESTORS],
            )
            # Its lists have all been read or written by now.
            after = Snapshot(manifest, tuple((ref, self._lists[ref.key]) for ref in manifest.lists))
            key = manifest_key(manifest.version)
            if self.store.put_if_absent(key, manifest_to_bytes(manifest)) and self._is_followed(
                manifest
            ):
                return after
            tried = True
            time.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - only spreads the tries
            wait = min(wait * 2, _LONGEST_WAIT)

    def _is_followed(self, manifest: Manifest) -> bool:
        """Whether a version that could be created is the newest, or one that newer ones follow on.

        One that was decided on so long ago that its number was used and removed again is neither.
        False also where the newest is too far ahead to tell: then its records do.
        """
        try:
            if self.versions()[-1:] == [manifest.version]:
                return True
            later = self.read()
            if later is None:
                return False
            ahead = later.version - manifest.version
            if manifest.id in later.manifest.ancestors:
                return True
            if 0 < ahead <= len(later.manifest.ancestors):
                self.store.delete([manifest_key(manifest.version)])
        except EtlError as error:
            raise TargetUnavailableError(
                f"{self.store.name} can't tell whether version {manifest.version} was published: "
                f"{error}",
                hint="Run again: a load that was published is not loaded twice.",
            ) from error
        return False

    def _read_version(self, version: int) -> Snapshot | None:
        data = self.store.read(manifest_key(version))
        if data is None:
            return None
        manifest = manifest_from_bytes(data)
        if manifest.version != version:
            raise DamagedError("it is another version than its name says")
        return self._with_lists(manifest)

    def _with_lists(self, manifest: Manifest) -> Snapshot | None:
        missing = [ref.key for ref in manifest.lists if ref.key not in self._lists]
        for key, data in zip(missing, self.store.read_many(missing), strict=True):
            if data is None:
                return None
            try:
                self._lists[key] = list_from_bytes(data)
            except DamagedError as error:
                raise self._damaged(key, error) from error
        named = {ref.key for ref in manifest.lists}
        self._lists = {key: records for key, records in self._lists.items() if key in named}
        return Snapshot(manifest, tuple((ref, self._lists[ref.key]) for ref in manifest.lists))

    def write_list(self, key: str, records: tuple[LoadRecord, ...]) -> None:
        """Write a list that the next version is going to name."""
        self.store.put(key, list_to_bytes(records))
        self._lists[key] = records

    def _damaged(self, key: str, error: DamagedError) -> TargetError:
        return TargetError(
            f"{self.store.name}{key} can't be read: {error}. Nothing was changed.",
            hint="Restore that object, or move the newest manifest away to go back to the version "
            "before it.",
        )

    def _now(self) -> str:
        return self.clock().isoformat()
