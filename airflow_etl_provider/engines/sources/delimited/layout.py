"""Where in a delimited file the table is: preamble, header rows, number of columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.sources.delimited.cellkinds import (
    CellKind,
    is_typed,
    kind_of,
    shape_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.engines.sources.delimited.candidates import Row

__all__ = ["Layout", "find_layout"]

_EVIDENCE = 60
"""Rows below that a header row is compared with."""

_MAX_HEADER_ROWS = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """The answer, in rows of the sample.

    :param header: index of the first header row, or of the first record when `header_rows` is 0.
    :param names: fields of the header rows.
    """

    header: int
    header_rows: int
    width: int
    names: tuple[tuple[str, ...], ...]
    pad_short_rows: bool = False
    trailing_delimiter: bool = False
    repeated_header: bool = False


def find_layout(
    rows: Sequence[Row], *, header_rows: int | None, skipped: bool, delimiter: str
) -> Layout:
    """Find the table among the rows of a sample.

    :param header_rows: how many header rows there are, where a person said so.
    :param skipped: a person said where the preamble ends, so the first row is the header.
    """
    if not rows:
        return Layout(0, 0, 0, ())
    width, pad = _width(rows)
    start = 0 if skipped else _table_start(rows, width)
    if header_rows is None:
        start, names = _header(rows, start, width, fixed=skipped, delimiter=delimiter)
    else:
        names = [
            rows[at].fields or ("",) for at in range(start, min(start + header_rows, len(rows)))
        ]
    body = rows[start + len(names) :]
    width, trailing = _trailing(names, body, width)
    repeated = (
        bool(names) and len(names[0]) == width and any(row.fields == names[0] for row in body)
    )
    count = len(names) if header_rows is None else header_rows
    return Layout(start, count, width, tuple(names), pad, trailing, repeated)


def _width(rows: Sequence[Row]) -> tuple[int, bool]:
    """The number of columns, and whether short rows leave their last fields out.

    Of widths that are common, the one that comes first wins: what follows is another table.
    """
    widths = [len(row.fields) for row in rows if row.fields]
    if not widths:
        return 1, False
    counts = Counter(widths)
    wide = {width: count for width, count in counts.items() if width > 1} or counts
    top = max(wide.values())
    common = [
        width for width in dict.fromkeys(widths) if wide.get(width, 0) >= max(min(2, top), top / 4)
    ]
    width = common[0] if top > 1 else max(wide)
    widest = max(
        (width for width, count in wide.items() if count >= max(2, len(widths) / 50)), default=width
    )
    first = next((len(row.fields) for row in rows if row.fields and len(row.fields) > 1), width)
    full = max(first, widest) if first >= widest else widest
    short = [0 < w < full for w in widths]
    changes = sum(a != b for a, b in pairwise(short))
    fits = sum(w <= full for w in widths) >= 0.95 * len(widths)
    if full > 1 and fits and sum(short) >= max(3, 0.1 * len(widths)) and changes >= 6:
        return full, True
    return width, False


def _filled(row: Row) -> int:
    return sum(bool(cell.strip()) for cell in row.fields or ())


def _table_start(rows: Sequence[Row], width: int) -> int:
    """The first row that is as wide as the table and no title (`Report of May,,,`)."""
    inside = [row for row in rows if row.fields and len(row.fields) == width]
    fills = sorted(filled for filled in map(_filled, inside) if filled)
    typical = fills[len(fills) // 2] if fills else 0
    for at, row in enumerate(rows):
        if row.fields is None or len(row.fields) != width:
            continue
        if _filled(row) <= 1 and typical > 1 and width > 1:
            continue
        return at
    return 0


def _header(
    rows: Sequence[Row], start: int, width: int, *, fixed: bool, delimiter: str
) -> tuple[int, list[tuple[str, ...]]]:
    """Where the header starts, and the fields of its rows."""
    first = rows[start].fields or ("",)
    body = _sample_below(rows, start, width)
    verdict = _votes(first, body)
    if verdict <= 0 and start > 0 and not fixed:
        other = _other_width(rows[start - 1], [first, *body], width, delimiter)
        if other is not None and _votes(other, [first, *body]) >= verdict:
            return start - 1, [other]
    if len(first) != width or verdict < 0 or (verdict == 0 and not _may_be_names(first, body)):
        while start and not fixed and _looks_like_record(rows[start - 1], width, delimiter):
            start -= 1
        return start, []
    names = [first]
    while len(names) < _MAX_HEADER_ROWS:
        more = _more_header(rows, start, len(names), names, width)
        if not more:
            break
        names += more
    return start, names


def _looks_like_record(row: Row, width: int, delimiter: str) -> bool:
    """Whether a row before the first one that fits is a record gone wrong, and no preamble."""
    fields = row.rough_fields(delimiter)
    typed = sum(is_typed(kind_of(cell)) for cell in fields)
    return len(fields) > max(1, width // 2) and 2 * typed >= len(fields)


def _other_width(
    row: Row, body: Sequence[Sequence[str]], width: int, delimiter: str
) -> tuple[str, ...] | None:
    """The row before the table as its header, written with another delimiter or fewer fields."""
    fields = row.rough_fields(delimiter)
    line = delimiter.join(fields)
    for other in (",", ";", "\t", "|", " "):
        if other != delimiter and line.count(other) == width - 1:
            cells = tuple(cell.strip().strip('"') for cell in line.split(other))
            if all(cells) and not any(is_typed(kind_of(cell)) for cell in cells):
                return cells
    near = abs(len(fields) - width) <= max(1, width // 10) and len(fields) > 1
    different = len(set(fields)) >= len(fields) - 1 or _votes(fields, body) >= 0.5 * width
    if near and sum(map(bool, fields)) >= len(fields) - 1 and different:
        kinds = [kind_of(cell) for cell in fields]
        if not any(is_typed(kind) for kind in kinds):
            return fields
    return None


def _sample_below(rows: Sequence[Row], at: int, width: int) -> list[tuple[str, ...]]:
    below = []
    for row in rows[at + 1 :]:
        if row.fields and len(row.fields) == width and any(cell.strip() for cell in row.fields):
            below.append(row.fields)
            if len(below) == _EVIDENCE:
                break
    return below


def _votes(row: Sequence[str], body: Sequence[Sequence[str]]) -> float:
    """Above 0: the row differs from what is beneath it, as names do; below 0: it is a record."""
    others = [below for below in body if not _repeats(row, below)]
    if len(others) >= 0.7 * len(body):
        body = others
    if not body:
        return 0.0
    score = 0.0
    for column, cell in enumerate(row):
        values = [below[column] for below in body if column < len(below) and below[column].strip()]
        kind = kind_of(cell)
        if kind == "empty" or not values:
            continue
        score += _column_vote(cell, kind, values)
    return score


def _repeats(row: Sequence[str], below: Sequence[str]) -> bool:
    """Whether a row is nearly the same: more likely a further table's header than a record."""
    pairs = [(a, b) for a, b in zip(row, below, strict=False) if a or b]
    return len(pairs) > 1 and sum(a == b for a, b in pairs) >= 0.8 * len(pairs)


def _column_vote(cell: str, kind: CellKind, values: Sequence[str]) -> float:
    kinds = Counter(kind_of(value) for value in values)
    kinds.pop("null", None)
    if not kinds:
        return 0.0
    common, count = kinds.most_common(1)[0]
    typed = sum(n for one, n in kinds.items() if is_typed(one)) / sum(kinds.values())
    if typed >= 0.8:
        if kind in ("word", "text", "address", "suspect"):
            return 1.0
        return -1.0 if kind in (common, "number") else -0.2
    if is_typed(kind):
        return -0.3
    if cell in values[:30]:
        return -0.4 if len(values) > 1 or len(cell) > 1 else 0.0
    if common == "address" and count >= 0.8 * len(values):
        return -1.0 if kind == "address" else 0.7
    shapes = Counter(map(shape_of, values))
    shape, same = shapes.most_common(1)[0]
    if len(values) >= 3 and same >= 0.8 * len(values) and shape not in ("a", "a a"):
        return -0.5 if shape_of(cell) == shape else 0.4
    lengths = {len(value) for value in values}
    if len(values) >= 5 and len(lengths) == 1:
        return -0.3 if len(cell) in lengths else 0.4
    return 0.0


def _may_be_names(row: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether text over text can be a header: short, filled, different names."""
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    if not cells or sum(map(bool, cells)) < 0.5 * len(cells):
        return False
    filled = [cell for cell in cells if cell]
    if any(is_typed(kind_of(cell)) for cell in filled) or max(map(len, filled)) > 80:
        return False
    if len(set(filled)) == len(filled):
        return True
    return not body


def _more_header(
    rows: Sequence[Row], start: int, have: int, names: list[tuple[str, ...]], width: int
) -> list[tuple[str, ...]]:
    """Header rows after those at hand: repeated names, units, or names beneath groups."""
    skipped: list[tuple[str, ...]] = []
    for at in range(start + have, min(start + have + 2, len(rows) - 1)):
        fields = rows[at].fields
        if fields is None or len(fields) != width:
            return []
        if not any(cell.strip() for cell in fields):
            skipped.append(fields)
            continue
        if fields == names[-1] and at == start + have:
            return [fields]
        if _is_lower_header(fields, names, _sample_below(rows, at, width)):
            return [*skipped, fields]
        return []
    return []


def _is_lower_header(
    row: Sequence[str], names: Sequence[Sequence[str]], body: Sequence[Sequence[str]]
) -> bool:
    """Whether a row under the header is one more: text where the columns beneath hold values.

    That, or it names what a group above it spans; a number or a date in it speaks for a record.
    """
    filled = [(column, cell.strip()) for column, cell in enumerate(row) if cell.strip()]
    kinds = {column: kind_of(cell) for column, cell in filled}
    if not body or any(is_typed(kind) for kind in kinds.values()):
        return False
    fine = typed = 0
    for column, _ in filled:
        values = [below[column] for below in body if below[column].strip()]
        kinds_below = [kind for kind in map(kind_of, values) if kind != "null"]
        if not kinds_below or kinds[column] == "null":
            continue
        if sum(map(is_typed, kinds_below)) >= 0.8 * len(kinds_below):
            typed += 1
            fine += kinds[column] in ("word", "text", "suspect", "address")
    spans = [c for c in range(1, len(row)) if not names[-1][c].strip() and names[-1][c - 1].strip()]
    under = [c for c, _ in filled if not names[-1][c].strip()]
    if typed and fine == typed and 2 * fine >= len(filled):
        return True
    gaps = sum(not cell.strip() for cell in names[-1])
    return (
        bool(spans)
        and bool(under)
        and gaps >= 2
        and len(filled) > 1
        and (len(under) >= 0.5 * len(filled) and typed == fine and fine > 0)
    )


def _trailing(names: Sequence[Sequence[str]], body: Sequence[Row], width: int) -> tuple[int, bool]:
    """Whether records end in a delimiter that the header does not have."""
    if not names or len(names[0]) != width - 1:
        return width, False
    wide = [row.fields for row in body if row.fields and len(row.fields) == width]
    if wide and not any(fields[-1] for fields in wide):
        return width - 1, True
    return width, False
