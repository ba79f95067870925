"""A sketch of the values of a column: small, made without order, and comparable with others."""

from __future__ import annotations

import base64
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HELD", "HELD_OF_KEYS", "SIZE", "Overlap", "Sketch", "sketch_of"]

SIZE = 128
"""Hashes that are written down: shares that are estimated from them are off by 4.4 % at most (one
standard deviation)."""

HELD = 512
"""Hashes that are held as long as datasets are compared with each other."""

HELD_OF_KEYS = 2048
"""Of columns that tell rows apart: others are looked for among their values."""

_BYTES = 6


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many of the sketched values of one column another column has too.

    :param looked_at: values of which both sketches would know.
    """

    shared: int
    looked_at: int

    @property
    def share(self) -> float:
        return self.shared / self.looked_at if self.looked_at else 0.0


@dataclass(frozen=True, slots=True)
class Sketch:
    """The smallest hashes of the distinct values of a column, ascending.

    Two columns keep the same values of those that they share, so that the hashes tell how much
    they overlap: the k minimum values of Bar-Yossef et al., "Counting Distinct Elements in a Data
    Stream" (RANDOM 2002); of sets, Beyer et al., "On Synopses for Distinct-Value Estimation Under
    Multiset Operations" (SIGMOD 2007).

    :param hashes: 48 bits each, in eight bytes.
    :param complete: there are no other values.
    """

    hashes: array[int]
    complete: bool

    @property
    def _reach(self) -> int:
        """Below which all hashes of the column are known."""
        return 1 << 8 * _BYTES if self.complete or not self.hashes else self.hashes[-1] + 1

    def inside(self, other: Sketch) -> Overlap:
        """Tell how many of the values here are among the values of another column."""
        reach = min(self._reach, other._reach)
        mine = self.hashes[: bisect_left(self.hashes, reach)]
        return Overlap(len(set(mine).intersection(other.hashes)), len(mine))

    def likeness(self, other: Sketch) -> Overlap:
        """Tell how many of the values of either column are in both."""
        reach = min(self._reach, other._reach)
        mine = set(self.hashes[: bisect_left(self.hashes, reach)])
        others = set(other.hashes[: bisect_left(other.hashes, reach)])
        return Overlap(len(mine & others), len(mine | others))

    def __str__(self) -> str:
        written = self.hashes[:SIZE]
        packed = b"".join(one.to_bytes(_BYTES, "big") for one in written)
        text = base64.b64encode(packed).decode("ascii")
        return f"{'all' if self.complete and len(self.hashes) <= SIZE else 'kmv'}:{text}"

    @classmethod
    def parse(cls, text: str) -> Sketch:
        """Read what `str` wrote.

        :raises SpecificationError: it is no sketch.
        """
        kind, colon, packed = text.partition(":")
        try:
            data = base64.b64decode(packed, validate=True)
        except ValueError:
            data = b"?"
        if kind not in ("all", "kmv") or not colon or len(data) % _BYTES:
            raise SpecificationError("A sketch of values can't be read.")
        hashes = (
            int.from_bytes(data[at : at + _BYTES], "big") for at in range(0, len(data), _BYTES)
        )
        return cls(array("Q", hashes), complete=kind == "all")


def sketch_of(hashes: Iterable[int], *, size: int) -> Sketch:
    """Sketch values by the 64-bit hashes of all of them, or of at least the `size + 1` smallest."""
    ordered = sorted({one >> 64 - 8 * _BYTES for one in hashes})
    return Sketch(array("Q", ordered[:size]), complete=len(ordered) <= size)
