"""Where rejects are kept: a home with a place for each attempt, on disk or in a bucket."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, BinaryIO, Protocol

from airflow_etl_provider.engines.storage import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_etl_provider.contracts.connection import Connection

__all__ = [
    "MANIFEST",
    "OURS",
    "OWNER",
    "REJECTS",
    "Home",
    "Owner",
    "Place",
    "open_home",
    "open_place",
    "safe_name",
]

MANIFEST, OWNER, REJECTS = "manifest.json", "owner.json", "rejects.parquet"

OURS = frozenset({MANIFEST, f".{MANIFEST}.tmp", OWNER, REJECTS})
"""What a place may hold; one with anything else is not ours to remove."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The attempt that writes a place.

    :param target: as reports show it. The same load may go into several targets, and each hands
        out epochs of its own.
    """

    target: str
    epoch: int

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class Place(Protocol):
    """What one attempt keeps. All raise `OSError`, FileNotFoundError for what is missing."""

    @property
    def location(self) -> str:
        """The path or URL, as manifests and ledger rows name it."""

    def create(self, name: str) -> IO[bytes]:
        """Begin a file that is not there yet; for `finish` or `abandon`."""

    def finish(self, file: IO[bytes]) -> None:
        """Make a created file whole and durable."""

    def abandon(self, file: IO[bytes]) -> None:
        """Stop writing a created file; what remains is removed with the place. Raises nothing."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all, and durably, over one that may be there."""

    def read(self, name: str) -> bytes: ...

    def open(self, name: str) -> BinaryIO:
        """A file to read and seek in."""

    def names(self) -> set[str] | None:
        """What it holds; None where it is no place of its own, such as a link."""

    def newest(self) -> float:
        """When something in it was last written, in seconds since the epoch."""

    def is_held(self) -> bool:
        """Whether a living process is known to write it."""

    def remove(self) -> None:
        """Remove it and all it holds."""


class Home(Protocol):
    """All that pipelines keep under one folder or prefix."""

    @property
    def location(self) -> str: ...

    def begin(self, load: tuple[str, str], run: str, owner: Owner | None) -> Place:
        """A new place `load/run`, or `load/run.2` where an earlier try of the run left one.

        :param load: names of pipeline and load, safe for files.
        """

    def tidy(self, load: tuple[str, str], *, home: bool) -> None:
        """Remove what is left empty above removed places, the home itself if told to."""

    def places(self, *names: str) -> list[Place]:
        """All places of a pipeline, of a load, or of all, in order."""

    def sealed(self) -> Iterator[Place]:
        """Places with a manifest, from the home itself to three folders below it, in order."""


def open_home(home: str | Path, *, connection: Connection | None = None) -> Home:
    """The home at a path or URL.

    :param connection: for a bucket; without it the environment logs in.
    :raises NotSupportedYetError: it is a URL of another kind of store.
    """
    if is_remote(str(home)):
        from airflow_etl_provider.engines.quarantine.bucket import BucketHome

        return BucketHome(str(home), connection=connection)
    from airflow_etl_provider.engines.quarantine.folder import FolderHome

    return FolderHome(home)


def open_place(location: str | Path, *, connection: Connection | None = None) -> Place:
    """The place at a path or URL."""
    if is_remote(str(location)):
        from airflow_etl_provider.engines.quarantine.bucket import BucketPlace

        return BucketPlace.at(str(location), connection=connection)
    from airflow_etl_provider.engines.quarantine.folder import FolderPlace, local_path

    return FolderPlace(local_path(location))


def safe_name(text: str) -> str:
    """A file name for any text: different texts stay different, and none leaves its folder."""
    plain = re.sub(r"[^0-9A-Za-z_.=-]", "_", text)[:80].lstrip(".-")
    if plain == text and plain:
        return plain
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{plain or 'unnamed'}-{digest}"
