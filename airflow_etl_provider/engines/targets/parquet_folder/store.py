"""What a folder of Parquet files needs of the place that holds it: local disk or object store."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from airflow_etl_provider.engines.targets.location import TargetLocation

__all__ = ["PendingFile", "Store", "open_store"]


def open_store(at: TargetLocation) -> Store:
    """Open the place of a folder; nothing is asked of it yet."""
    if at.url is not None:
        from airflow_etl_provider.engines.targets.parquet_folder.s3_store import S3Store

        return S3Store(at.url, connection=at.connection)
    if at.path is None:
        raise SpecificationError("The target names no folder.")
    from airflow_etl_provider.engines.targets.parquet_folder.local_store import LocalStore

    return LocalStore(at.path)


class PendingFile(Protocol):
    """A data file that nobody sees yet, whatever lists the folder."""

    @property
    def key(self) -> str: ...

    @property
    def file(self) -> IO[bytes]:
        """Takes the bytes."""

    def seal(self) -> None:
        """Make what was written durable; it stays unseen until the store reveals it."""

    def discard(self) -> None:
        """Remove it; harmless twice and after it was revealed."""


class Store(Protocol):
    """Small objects under keys with slashes, and data files that become visible when told to.

    What the place refuses is raised as an error of ours.
    """

    @property
    def name(self) -> str:
        """As shown to people: a path or URL that ends with a slash, without a secret."""

    @property
    def fenced(self) -> bool:
        """Whether `put_if_absent` lets exactly one writer win; known after `prepare`."""

    def prepare(self) -> None:
        """Create the folder where that is needed, and find out whether writers can be fenced."""

    def read(self, key: str) -> bytes | None:
        """The whole object; None when there is none."""

    def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The same for several, in their order."""

    def keys(self, prefix: str, *, limit: int | None = None) -> list[str]:
        """Keys that begin with `prefix`, sorted; of more than `limit` any."""

    def put(self, key: str, data: bytes) -> None: ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create an object; False when there is one of that key, which stays as it was."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error."""

    def create(self, key: str) -> PendingFile: ...

    def reveal(self, files: Sequence[PendingFile]) -> None:
        """Let sealed files be seen under their keys."""

    def pending(self) -> list[PendingFile]:
        """Data files of anyone that were neither revealed nor discarded."""

    def reporting(self, doing: str) -> AbstractContextManager[None]:
        """Turn what writing to a pending file raises into errors of ours."""
