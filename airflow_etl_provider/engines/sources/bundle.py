"""Many small files read as one: to plan a query for each of them takes longer than to run it."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.engines.sources.base import Readable, Scan

__all__ = ["Bundle", "Bundling", "divide", "ends_of", "inputs_of"]


@runtime_checkable
class Bundle(Protocol):
    """What reads several inputs, one behind the other; a `Readable`, too.

    Where each begins is known before anything is read, because only such inputs are read together
    of which the reader will reject nothing, going by their bytes. `verify` says whether that came
    true; each part then accounts for itself.
    """

    @property
    def parts(self) -> Sequence[Scan]:
        """A scan for each input, to account and to write records again; never read itself."""

    @property
    def ends(self) -> Sequence[int]:
        """Rows of the bundle up to the end of each part."""

    def verify(self) -> bool:
        """Whether the reader rejected nothing, once the view was read to its end."""


@runtime_checkable
class Bundling(Protocol):
    """A source that can read several of its inputs in one go."""

    def units(
        self, *, careful: frozenset[InputIdentity] | None
    ) -> Iterator[tuple[InputIdentity, ...]]:
        """All inputs in order, together what may be read together; the same every time.

        :param careful: inputs that must be read alone; all of them when None.
        """

    def scan_together(self, inputs: tuple[InputIdentity, ...]) -> Readable:
        """Begin to read a unit of several inputs, as a `Bundle`."""


def inputs_of(reading: Readable) -> tuple[InputIdentity, ...]:
    """The one input of a scan, or all of a bundle."""
    if isinstance(reading, Bundle):
        return tuple(part.input for part in reading.parts)
    return (reading.input,)


def ends_of(reading: Readable) -> Sequence[int]:
    """Where the parts of a bundle end; nothing for a scan, which is one part of any length."""
    return reading.ends if isinstance(reading, Bundle) else ()


def divide(
    batch: pa.RecordBatch, start: int, ends: Sequence[int]
) -> Iterator[tuple[int, int, pa.RecordBatch]]:
    """Cut a batch of rows from `start` on where the parts end: part, its first row, piece.

    Rows behind the last end, which a right reading does not have, count for the last part.
    """
    if not ends:
        yield 0, 0, batch
        return
    at, last = 0, len(ends) - 1
    while at < batch.num_rows:
        part = min(bisect_right(ends, start + at), last)
        until = batch.num_rows if part == last else min(ends[part] - start, batch.num_rows)
        yield part, ends[part - 1] if part else 0, batch.slice(at, until - at)
        at = until
