"""The record accounting: every record of every input ends in exactly one place.

    rows_read == rows_loaded + rows_quarantined + rows_filtered + rows_deduplicated + rows_deleted

Records that a `select` took in end in it, and its rows are an input of their own: they count as
read, and what the select took in does not.

`rows_read` is the reader's own count, made apart from the engine; `rows_loaded` is what the
target's driver reports.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.report import InputReport
from airflow_etl_provider.contracts.rules import LOAD_NAMES
from airflow_etl_provider.exceptions import AccountingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_etl_provider.contracts.load import InputIdentity

__all__ = ["DuplicatesFoundError", "InputTally", "Tally", "UnbalancedError"]


class UnbalancedError(AccountingError):
    """The engine's own reading of an input lost or invented records, or broke off.

    The input must be read again, record by record; so must those that were read together with it.
    """

    def __init__(self, *inputs: InputIdentity) -> None:
        more = f" and {len(inputs) - 1} others" if len(inputs) > 1 else ""
        super().__init__(f"The records of {inputs[0].name}{more} do not balance.")
        self.inputs = inputs


class DuplicatesFoundError(AccountingError):
    """Two rows may have one unique key, which was not looked for beforehand.

    All must be read again, this time with a look at the keys first.
    """

    def __init__(self) -> None:
        super().__init__("Keys that must be unique may occur twice.")


@dataclass(slots=True)
class InputTally:
    """Where the records of one input went."""

    input: str
    records: int = 0
    good: int = 0
    quarantined: int = 0
    filtered: int = 0
    deduplicated: int = 0
    deleted: int = 0
    """Records that delete, whether or not the target has their key."""
    selected: int = 0
    bytes_read: int = 0
    taken: bool = False
    """Whether it is an input of a select; `selected` are the rows that were handed to it."""

    def check(self) -> None:
        """Refuse a lost or doubled record.

        :raises AccountingError: the sums differ.
        """
        accounted = (
            self.good
            + self.quarantined
            + self.filtered
            + self.deduplicated
            + self.deleted
            + self.selected
        )
        if self.records != accounted:
            raise AccountingError(
                f"{self.input} holds {self.records} records, but {accounted} were accounted "
                f"for ({self.good} to load, {self.quarantined} rejected, {self.filtered} filtered, "
                f"{self.deduplicated} deduplicated, {self.deleted} that delete, {self.selected} "
                "selected). Nothing was "
                "published.",
                hint="This is a fault of the reader, not of the data: please report it with the "
                "file's dialect. A dialect given in the pipeline may help meanwhile.",
            )

    def report(self) -> InputReport:
        return InputReport(
            input=self.input,
            rows_read=self.records,
            rows_loaded=self.good,
            rows_quarantined=self.quarantined,
            rows_filtered=self.filtered,
            rows_deduplicated=self.deduplicated,
            rows_deleted=self.deleted,
            rows_selected=self.selected,
            bytes_read=self.bytes_read,
        )


@dataclass(slots=True)
class Tally:
    """The accounting of one attempt at a load, over all inputs."""

    inputs: list[InputTally] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    nulls: Counter[str] = field(default_factory=Counter)
    failing: Counter[str] = field(default_factory=Counter)
    """Rows that break a rule of severity `fail`, by its words."""
    notes: tuple[str, ...] = ()
    rows_in: Counter[str] = field(default_factory=Counter)
    """Rows that a select took in, by the name of its input; empty without one."""

    def begin(self, name: str, *, taken: bool = False) -> InputTally:
        self.inputs.append(InputTally(name, taken=taken))
        return self.inputs[-1]

    def _sum(self, what: str) -> int:
        return sum(getattr(tally, what) for tally in self.inputs)

    @property
    def records(self) -> int:
        """Records that had to go somewhere: what a select took in went into its own rows."""
        return self._sum("records") - self._sum("selected")

    @property
    def parts(self) -> tuple[tuple[int, int], ...]:
        """Rejected and read, apart for the inputs of a select and for what it gave."""
        return tuple(
            (sum(tally.quarantined for tally in part), sum(tally.records for tally in part))
            for part in (
                [tally for tally in self.inputs if tally.taken],
                [tally for tally in self.inputs if not tally.taken],
            )
        )

    @property
    def good(self) -> int:
        return self._sum("good")

    @property
    def quarantined(self) -> int:
        return self._sum("quarantined")

    @property
    def filtered(self) -> int:
        return self._sum("filtered")

    @property
    def deduplicated(self) -> int:
        return self._sum("deduplicated")

    @property
    def deleted(self) -> int:
        return self._sum("deleted")

    @property
    def bytes_read(self) -> int:
        return self._sum("bytes_read")

    @property
    def judged(self) -> int:
        """Rows that went through the engine so far, finished inputs and the present one."""
        return self.good + self.quarantined + self.filtered + self.deduplicated + self.deleted

    @property
    def seen(self) -> int:
        """Rows that were read so far, for whatever purpose."""
        return self.judged + self._sum("selected")

    def load_figures(self) -> Mapping[str, int]:
        """The counts under the names that a rule on the load may use."""
        figures = (
            self.good,
            self.records,
            self.quarantined,
            self.filtered,
            self.deduplicated,
            self.deleted,
        )
        return dict(zip(LOAD_NAMES, figures, strict=True))

    def check_written(self, taken: int) -> None:
        """Compare what the target's driver took with what it was given.

        :raises AccountingError: they differ.
        """
        given = self.good + self.deleted
        if taken != given:
            raise AccountingError(
                f"The target's driver took {taken} rows of {given}. Nothing was published.",
                hint="Run it again; if it happens again, please report it.",
            )
