"""Understand a delimited file from its beginning: every question of a dialect answered."""

from __future__ import annotations

import codecs
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.sources.delimited.candidates import (
    Row,
    best_candidate,
    parse_rows,
)
from airflow_etl_provider.engines.sources.delimited.encoding import Encoding, detect_encoding
from airflow_etl_provider.engines.sources.delimited.header import merge_header, name_columns
from airflow_etl_provider.engines.sources.delimited.layout import find_layout
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.contracts.pipeline import Dialect
    from airflow_etl_provider.engines.sources.delimited.dialect import Newline, ResolvedDialect

__all__ = ["sniff_dialect"]

_LAYOUT_CHARACTERS = 300_000
"""How much of the sample is read for preamble, header and widths."""

_QUOTING_LINES = 1000

_MIXED = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_LONE_RETURN = re.compile(r"\r(?!\n)")


def sniff_dialect(
    sample: bytes,
    *,
    given: Dialect,
    encoding: str | None = None,
    header_rows: int | None = None,
    null_values: Sequence[str] | None = None,
    whole: bool,
) -> ResolvedDialect:
    """Find out how a file is written; what a person gave is taken as it is.

    :param sample: the beginning of the file, decompressed; a megabyte is plenty.
    :param whole: the sample is all of the file.
    :raises SpecificationError: the encoding that was given does not exist.
    """
    found = _encoding(sample, encoding, whole=whole)
    text = sample[found.bom_length :].decode(found.codec, errors="replace")
    if len(text) > _LAYOUT_CHARACTERS:
        text, whole = text[:_LAYOUT_CHARACTERS], False
    lines, dialect = _fit(text, given, whole=whole)
    skip = given.skip_rows or 0
    dialect = _with_quoting(lines[skip:], dialect, given)
    dialect = replace(
        dialect,
        encoding=found.codec,
        bom=found.bom_length,
        comment=_comment(lines, dialect, given, skip=skip),
    )
    rows = parse_rows(lines, dialect, first=skip, cut=not whole)
    layout = find_layout(
        rows,
        header_rows=header_rows,
        skipped=given.skip_rows is not None,
        delimiter=dialect.delimiter,
    )
    if given.skip_rows is None and layout.header < len(rows):
        skip = rows[layout.header].start if layout.header else 0
    body = rows[layout.header + layout.header_rows :]
    return replace(
        dialect,
        newline=_record_ends(lines, rows, dialect),
        skip_rows=skip,
        header_rows=layout.header_rows,
        columns=name_columns(merge_header(layout.names, width=layout.width), width=layout.width),
        null_values=("",) if null_values is None else tuple(null_values),
        skip_blanks=_blanks_follow(body, lines, dialect),
        pad_short_rows=layout.pad_short_rows,
        trailing_delimiter=layout.trailing_delimiter,
        repeated_header=layout.repeated_header,
    )


def _encoding(sample: bytes, name: str | None, *, whole: bool) -> Encoding:
    if name is None:
        return detect_encoding(sample, whole=whole)
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        raise SpecificationError(
            f"There is no encoding {name!r}.", hint="Write utf-8, utf-16, latin-1, cp1252, ..."
        ) from None
    if codec in ("utf-8-sig", "utf-8"):
        return Encoding("utf-8", 3 if sample.startswith(codecs.BOM_UTF8) else 0, 1.0)
    if codec.startswith(("utf-16", "utf-32")):
        unit = 2 if codec.startswith("utf-16") else 4
        for order in ("le", "be"):
            wide = f"{codec[:6]}-{order}"
            if codec in (codec[:6], wide) and sample.startswith("\ufeff".encode(wide)):
                return Encoding(wide, unit, 1.0)
        if codec == codec[:6]:
            guess = detect_encoding(sample, whole=whole).codec
            return Encoding(guess if guess.startswith(codec) else f"{codec}-le", 0, 1.0)
    return Encoding(codec, 0, 1.0)


def _fit(text: str, given: Dialect, *, whole: bool) -> tuple[list[str], ResolvedDialect]:
    """The lines of the text and the dialect that explains them best, over what may end a line."""
    modes: list[Newline] = ["\n"]
    if _LONE_RETURN.search(text if whole else text[:-1]):
        modes = ["\n", "mixed"] if "\n" in text else ["\r"]
    fits = []
    for mode in modes:
        lines = _lines(text, mode, whole=whole)
        start = given.skip_rows or 0
        dialect, score = best_candidate(
            lines[start:],
            newline=mode,
            delimiter=given.delimiter,
            quote=given.quote,
            escape=given.escape,
            cut=not whole,
        )
        fits.append((score * (1.0 if mode == modes[0] else 0.98), lines, dialect))
    _, lines, dialect = max(fits, key=lambda fit: fit[0])
    return lines, dialect


def _with_quoting(
    lines: Sequence[str], dialect: ResolvedDialect, given: Dialect
) -> ResolvedDialect:
    """How quotes inside quotes are written: doubled, unless another way explains more rows."""
    quote = dialect.quote
    if not quote or given.escape is not None:
        return dialect
    lines = lines[:_QUOTING_LINES]
    doubled = replace(dialect, escape="")
    rows = parse_rows(lines, doubled)
    misfits = _misfits(rows)
    if misfits < max(1, 0.005 * len(rows)):
        return doubled
    escaped = replace(dialect, escape="\\")
    bare = replace(doubled, bare_quotes=True)
    escaped_misfits, bare_misfits = (
        _misfits(parse_rows(lines, one)) if possible else misfits
        for one, possible in ((escaped, any("\\" + quote in line for line in lines)), (bare, True))
    )
    if escaped_misfits <= 0.5 * misfits and escaped_misfits <= bare_misfits:
        return escaped
    enough = misfits >= max(3, 0.05 * len(rows))
    return bare if enough and bare_misfits <= 0.03 * len(rows) else doubled


def _misfits(rows: Sequence[Row]) -> int:
    """Broken rows and rows that are not as wide as most."""
    widths = [len(row.fields) if row.fields else 0 for row in rows]
    common = max((w for w in set(widths) if w), key=widths.count, default=0)
    return sum(width != common for width in widths)


def _lines(text: str, newline: Newline, *, whole: bool) -> list[str]:
    if newline == "mixed":
        lines = _MIXED.findall(text)
        cut = bool(lines) and not lines[-1].endswith(("\n", "\r"))
    else:
        lines = text.split("\r" if newline == "\r" else "\n")
        cut = bool(lines[-1])
        if not cut:
            lines.pop()
    if cut and not whole and len(lines) > 1:
        lines.pop()
    return lines


def _comment(lines: Sequence[str], dialect: ResolvedDialect, given: Dialect, *, skip: int) -> str:
    """`#` when lines that start with it stand between records and never look like one."""
    if given.comment is not None:
        return given.comment
    marked = [at for at, line in enumerate(lines) if at >= skip and line.startswith("#")]
    if not marked or len(marked) == len(lines) or dialect.delimiter == "#":
        return ""
    rows = parse_rows(lines, replace(dialect, comment="#"), first=skip)
    widths = [len(row.fields) for row in rows if row.fields]
    if not widths:
        return ""
    width = max(set(widths), key=widths.count)
    counts = [lines[at].count(dialect.delimiter) + 1 for at in marked]
    if width > 1 and counts.count(width) > 0.2 * len(counts):
        return ""
    first = rows[0].start if rows else 0
    return "#" if any(at > first for at in marked) else ""


def _record_ends(lines: Sequence[str], rows: Sequence[Row], dialect: ResolvedDialect) -> Newline:
    """What ends records, apart from line ends inside quotes."""
    if dialect.newline in ("\r", "mixed"):
        return dialect.newline
    ended = [lines[row.end - 1].endswith("\r") for row in rows if row.end < len(lines)]
    if not ended:
        return "\r\n" if lines and lines[0].endswith("\r") else "\n"
    if all(ended):
        return "\r\n"
    return "mixed" if any(ended) else "\n"


def _blanks_follow(rows: Sequence[Row], lines: Sequence[str], dialect: ResolvedDialect) -> bool:
    """Whether every delimiter is followed by blanks, so that they belong to it."""
    if dialect.delimiter.isspace() or dialect.delimiter.endswith(" "):
        return False
    blank = filled = 0
    for row in rows[:300]:
        if row.fields is None or row.end != row.start + 1:
            continue
        for cell in row.fields[1:]:
            if cell and f"{dialect.quote}{cell}{dialect.quote}" not in lines[row.start]:
                filled += 1
                blank += cell[0] in " \t"
    return filled >= 3 and blank >= 0.97 * filled
