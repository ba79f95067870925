"""Column names: several header rows merged into one, made unique, never empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["merge_header", "name_columns"]


def merge_header(rows: Sequence[Sequence[str]], *, width: int) -> list[str]:
    """One name per column from header rows, top to bottom, joined by blanks.

    A cell above the last row that is followed by empty ones spans them, as far as the row above
    it does and as there is something beneath: `Travel,,` over `Air,Rail,Taxi`.
    """
    grid = [[*(cell.strip() for cell in row), *[""] * width][:width] for row in rows]
    grid = [row for row in grid if any(row)]
    for level, row in enumerate(grid[:-1]):
        spanning = ""
        for column in range(width):
            if row[column]:
                spanning = row[column]
                continue
            new_group = any(
                grid[above][column] != grid[above][column - 1] for above in range(level)
            )
            if column and new_group:
                spanning = ""
            if spanning and any(lower[column] for lower in grid[level + 1 :]):
                row[column] = spanning
            elif not any(lower[column] for lower in grid[level + 1 :]):
                spanning = ""
    return [" ".join(row[column] for row in grid if row[column]) for column in range(width)]


def name_columns(names: Sequence[str], *, width: int) -> tuple[str, ...]:
    """Names for `width` columns: the third without one is `column_3`, a second `id` is `id_2`.

    Unique whatever the case, since databases differ in whether case counts.
    """
    given = [*(name.replace("\0", "").strip() for name in names), *[""] * width][:width]
    taken = {name.casefold() for name in given if name}
    seen: set[str] = set()
    made = []
    for position, name in enumerate(given, start=1):
        base = name or f"column_{position}"
        unique, suffix = base, 1
        while unique.casefold() in seen or (
            (suffix > 1 or not name) and unique.casefold() in taken
        ):
            suffix += 1
            unique = f"{base}_{suffix}"
        seen.add(unique.casefold())
        made.append(unique)
    return tuple(made)
