"""Columns that determine others: the same postal code, the same city."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    Codes: TypeAlias = NDArray[np.int64]

__all__ = ["find_dependencies"]

_MOST_COLUMNS = 30
_FIRST_ROWS = 1000
"""A look at these refuses most pairs."""

_EXPECTED = 25.0
"""Pairs of rows with the same value on the left that would differ on the right by chance: fewer
prove nothing."""


def find_dependencies(
    rows: pa.Table, candidates: Sequence[int]
) -> list[tuple[int, tuple[int, ...]]]:
    """Find, among these rows, the columns that determine other ones.

    Each pair of columns is checked on all rows at once: the distinct pairs of values are as many as
    the distinct values on the left. What is so by chance (a column that is nearly always the same)
    is left out. A null is a value like others here.

    :param candidates: columns that may be on either side, the most telling first.
    """
    chosen = list(candidates)[:_MOST_COLUMNS]
    codes = {n: _codes(rows.column(n)) for n in chosen}
    distinct = {n: int(found.max()) + 1 if len(found) else 0 for n, found in codes.items()}
    unlike = {n: _chance_to_differ(found) for n, found in codes.items()}
    found = []
    for left in chosen:
        repeated = _repeated_pairs(codes[left])
        right = tuple(
            n
            for n in chosen
            if n != left
            and 1 < distinct[n] <= distinct[left]
            and repeated * unlike[n] >= _EXPECTED
            and _determines(codes[left], codes[n], distinct[left], distinct[n])
        )
        if right:
            found.append((left, right))
    return found


def _codes(column: pa.ChunkedArray) -> Codes:
    """Number the distinct values."""
    import pyarrow as pa

    encoded = column.combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0) if encoded.num_chunks else pa.array([], column.type)
    numbers = encoded.dictionary_encode(null_encoding="encode").indices
    codes: Codes = np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.int64)
    return codes


def _chance_to_differ(codes: Codes) -> float:
    if not len(codes):
        return 0.0
    shares = np.bincount(codes) / len(codes)
    return float(1 - (shares * shares).sum())


def _repeated_pairs(codes: Codes) -> float:
    """Rows that another row with the same value goes before."""
    return float(len(codes) - (int(codes.max()) + 1)) if len(codes) else 0.0


def _determines(left: Codes, right: Codes, lefts: int, rights: int) -> bool:
    pairs = left * rights + right
    first = pairs[:_FIRST_ROWS]
    if len(np.unique(first)) > len(np.unique(left[:_FIRST_ROWS])):
        return False
    return len(np.unique(pairs)) == lefts
