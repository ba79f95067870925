"""Some files of a dataset with many: enough to know what is in all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_etl_provider.engines.sources.files import FileInput, ListedFile

__all__ = ["MOST_FILES", "ChosenFiles"]

MOST_FILES = 100
"""That are read of one dataset, unless all are asked for."""


@dataclass(frozen=True, slots=True)
class _SomeFiles:
    """A part of the files.

    :param share: of the bytes of all files.
    """

    files: int
    share: float

    def total(self, rows: int) -> int:
        """Estimate the rows of all files by the bytes that those read have."""
        return round(rows / self.share) if self.share else rows

    def independent(self, rows: int) -> int:
        """Rows of one file are of one day, and may be alike."""
        return min(rows, self.files)


class ChosenFiles:
    """Picks files as `open_chosen` asks for them.

    :param most: that are picked; None for all.
    :ivar part: what was picked; None where it was all of them.
    """

    def __init__(self, *, most: int | None) -> None:
        self._most = most
        self.part: _SomeFiles | None = None

    def choose(self, listed: list[ListedFile]) -> tuple[FileInput, ...]:
        """Pick files evenly spaced by name, the first and the last of them among them."""
        chosen = listed
        if self._most is not None and len(listed) > self._most:
            step = (len(listed) - 1) / (self._most - 1)
            chosen = [listed[round(n * step)] for n in range(self._most)]
            size = sum(file.size for file in listed)
            read = sum(file.size for file in chosen)
            self.part = _SomeFiles(len(chosen), read / size if size else 1.0)
        return tuple(input for file in chosen for input in file.inputs())
