"""What a backend does with a plan: verdicts on rows, batch by batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from airflow_etl_provider.engines.sources.base import Readable
    from airflow_etl_provider.engines.targets.base import Lookups

__all__ = ["Backend", "FailedRow", "Losing", "Verdicts"]


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that a check kept out.

    :param row: its position in the scan, from 0.
    :param checks: positions in `Plan.row_checks`; those of `Plan.key_checks` count on from there.
    :param record: the source record as a JSON object.
    """

    row: int
    checks: tuple[int, ...]
    record: str


@dataclass(frozen=True, slots=True)
class Losing:
    """Rows that nothing but their keys is wrong with, where the plan's interval is `marked`.

    :param numbers: their `FailedRow.row`.
    :param rows: as they would be among the good ones.
    :param marks: as `Verdicts.marks`.
    """

    numbers: tuple[int, ...]
    rows: pa.RecordBatch
    marks: pa.Array


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One batch of rows, judged.

    :param good: the rows that passed, with the plan's target columns in order; behind them, where
        the plan has `deletes`, a boolean that is true for a record that deletes.
    :param seen: rows judged: `good.num_rows + len(failed) + filtered + deduplicated`.
    :param part: which input of a bundle the rows are of; rows of failed ones count from its first.
    :param warned: how many good rows break a check of severity `warn`, by position of the check.
    :param marks: where the plan's interval is `marked`, its column's values of the good rows, as
        int64 without nulls; of instants the microseconds since 1970.
    :param losing: those of `failed` that only their keys are wrong of, where there are marks.
    """

    good: pa.RecordBatch
    seen: int
    failed: Sequence[FailedRow] = ()
    filtered: int = 0
    deduplicated: int = 0
    warned: dict[int, int] = field(default_factory=dict)
    marks: pa.Array | None = None
    part: int = 0
    losing: Losing | None = None


class Backend(Protocol):
    """One engine that can run a plan."""

    def find_duplicates(self, scans: Sequence[Readable], lookups: Lookups | None = None) -> None:
        """Read the keys of all that is read, in order, and remember which rows must give way.

        :param lookups: answers the plan's look-ups; needed where it has any.
        """

    def expect_no_duplicates(self) -> None:
        """Compare the unique keys of all that was judged, by a backend that remembers them.

        :raises DuplicatesFoundError: some may occur twice.
        """

    def judge(self, scan: Readable, *, number: int) -> Iterator[Verdicts]:
        """Read one scan or bundle to its end; `number` is its place for `find_duplicates`."""

    def holds(self, condition: str, figures: Mapping[str, int]) -> bool:
        """Whether an SQL condition over the figures of a load is not false."""

    def interrupt(self) -> None:
        """Stop what runs, from any thread."""

    def close(self) -> None: ...
