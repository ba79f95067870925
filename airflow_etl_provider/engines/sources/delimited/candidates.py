"""Which delimiter, quote and escape fit a text best.

A candidate is scored as in van den Burg, Nazábal and Sutton, "Wrangling messy CSV files by
detecting row and type patterns" (DMKD 33, 2019): how regular the rows are that it makes, times how
much the cells look like values. https://arxiv.org/abs/1811.11242
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.sources.delimited.cellkinds import CellKind, kind_of
from airflow_etl_provider.engines.sources.delimited.dialect import Newline, ResolvedDialect
from airflow_etl_provider.engines.sources.delimited.grammar import RecordParser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Row", "best_candidate", "parse_rows", "plain_dialect"]

_PRIORS = {",": 1.0, ";": 1.0, "\t": 1.0, "|": 1.0, "^": 0.95, "~": 0.95, "\x01": 1.0, "\x1f": 1.0}
_UNLIKELY = {":": 0.7, " ": 0.6, "/": 0.3, "=": 0.4, "*": 0.5, "&": 0.5, "#": 0.6, "%": 0.4}
_OTHER = 0.5
_SEVERAL = ("||", "::", ";;", "^^", "~~", "##", "&&", "|~|", "~|~", "<>", "\t\t")

_WORTH: dict[CellKind, float] = {
    "number": 1.0,
    "date": 1.0,
    "time": 1.0,
    "address": 1.0,
    "word": 0.9,
    "null": 0.8,
    "text": 0.6,
    "suspect": 0.05,
}

_SINGLE = 0.3
"""What one column is worth: a text that splits into regular rows is seldom meant as one."""

_QUOTE_OPENS = re.compile(r"(?:^|[^\w '])[ \t]?'(?=\S)", re.MULTILINE)
_QUOTE_CLOSES = re.compile(r"'(?=[^\w ']|\s*$)", re.MULTILINE)

_LINES = 160
_CHARACTERS = 60_000
"""How much of the beginning the candidates are tried on."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a sample: its first line, the line after it, its fields.

    Where quoting is broken `fields` is None and `text` the line.
    """

    start: int
    end: int
    fields: tuple[str, ...] | None
    text: str = ""

    def rough_fields(self, delimiter: str) -> tuple[str, ...]:
        """The fields, or what they may have been meant to be."""
        if self.fields is not None:
            return self.fields
        return tuple(cell.strip().strip("\"'") for cell in self.text.split(delimiter))


def plain_dialect(newline: Newline) -> ResolvedDialect:
    """Commas, double quotes, no header: what is assumed until something else is found."""
    return ResolvedDialect(
        encoding="utf-8", bom=0, delimiter=",", quote='"', escape="", comment="", newline=newline,
        skip_rows=0, header_rows=0, columns=(), null_values=(),
    )  # fmt: skip


def separator_of(newline: Newline) -> str:
    """What lines are joined by when a quoted field spans them."""
    return "" if newline == "mixed" else "\r" if newline == "\r" else "\n"


def parse_rows(
    lines: Sequence[str], dialect: ResolvedDialect, *, first: int = 0, cut: bool = False
) -> list[Row]:
    """Rows of a sample; blank and comment lines are left out, broken ones are a line each.

    :param cut: the text goes on after the lines, so a field that is open at their end may be a long
        one, and what stands in it no rows.
    """
    parser = RecordParser(replace(dialect, null_values=()), separator=separator_of(dialect.newline))
    rows: list[Row] = []
    at, stop = first, len(lines)
    while at < stop:
        text = lines[at]
        if parser.is_blank(text) or (dialect.comment and text.startswith(dialect.comment)):
            at += 1
            continue
        outcome = parser.parse(lines, at, stop)
        if cut and outcome.problem == "open" and _is_long_field(parser, lines, at, rows):
            break
        if outcome.fields is None:
            rows.append(Row(at, at + 1, None, parser.chomp(text)))
            at += 1
        else:
            fields = tuple(field or "" for field in outcome.fields)
            rows.append(Row(at, outcome.end, fields))
            at = outcome.end
    return rows


def _is_long_field(
    parser: RecordParser, lines: Sequence[str], at: int, rows: Sequence[Row]
) -> bool:
    """Whether lines after an open quote are text: fewer than half are rows like those before."""
    widths = Counter(len(row.fields) for row in rows if row.fields)
    if not widths:
        return False
    width = widths.most_common(1)[0][0]
    after = range(at + 1, len(lines))
    outcomes = (parser.parse(lines, line, line + 1) for line in after)
    fine = sum(len(outcome.fields or ()) == width for outcome in outcomes)
    return 2 * fine < len(after)


def best_candidate(
    lines: Sequence[str],
    *,
    newline: Newline,
    delimiter: str | None,
    quote: str | None,
    escape: str | None,
    cut: bool = False,
) -> tuple[ResolvedDialect, float]:
    """The dialect that explains the lines best, and its score; what is given stays as it is.

    :param cut: the text goes on after the lines.
    """
    every = _without_comments(lines)
    lines = _beginning(every)
    cut = cut or len(lines) < len(every)
    text = "\n".join(lines)
    plain = plain_dialect(newline)
    best, best_score = plain, 0.0
    if delimiter is None:
        best_score = _SINGLE * _single_worth(lines)
    for chosen_quote, chosen_escape in _quotings(text, quote=quote, escape=escape):
        delimiters = [delimiter] if delimiter is not None else _delimiters(lines)
        for chosen in delimiters:
            candidate = replace(plain, delimiter=chosen, quote=chosen_quote, escape=chosen_escape)
            prior = _prior(chosen) * {'"': 1.0, "": 0.96}.get(chosen_quote, 0.98)
            prior *= 0.99 if chosen_escape else 1.0
            score = _score(lines, candidate, floor=best_score / prior, cut=cut) * prior
            if score > best_score:
                best, best_score = candidate, score
    if delimiter is not None:
        best = replace(best, delimiter=delimiter)
    if quote is not None:
        best = replace(best, quote=quote)
    if escape is not None:
        best = replace(best, escape="" if escape == quote else escape)
    return best, best_score


def _without_comments(lines: Sequence[str]) -> Sequence[str]:
    """Lines that don't start with `#`, where several do: they may be prose."""
    others = [line for line in lines if not line.startswith("#")]
    several = len(lines) - len(others) >= 2
    return others if several and any(line.strip() for line in others) else lines


def _beginning(lines: Sequence[str]) -> Sequence[str]:
    size = 0
    for at, line in enumerate(lines):
        size += len(line)
        if at >= _LINES or (size > _CHARACTERS and at > 8):
            return lines[:at]
    return lines


def _prior(delimiter: str) -> float:
    if len(delimiter) > 1:
        return 1.0
    return _PRIORS.get(delimiter) or _UNLIKELY.get(delimiter, _OTHER)


def _delimiters(lines: Sequence[str]) -> Iterator[str]:
    """Characters that stand in many lines and are no part of words or numbers."""
    filled = [line for line in lines if line.strip()]
    counts: Counter[str] = Counter()
    for line in filled:
        counts.update({char for char in line if char != "\0" and not char.isalnum()})
    likely = [char for char in (*_PRIORS, *_UNLIKELY) if counts[char]]
    others = [
        char
        for char, count in counts.most_common()
        if char not in _PRIORS
        and char not in _UNLIKELY
        and char not in "\"'._-+()[]{}<>\\\r\n@$£€"
        and count >= 0.6 * len(filled)
    ]
    text = "\n".join(filled)
    several = [one for one in _SEVERAL if one in text and _always(one, text)]
    yield from several
    within = {one[0] for one in several}
    for char in likely + others[:3]:
        if char not in within and (counts[char] >= 0.2 * len(filled) or char in _PRIORS):
            yield char


def _always(several: str, text: str) -> bool:
    """Whether the first character of a longer delimiter never stands alone."""
    runs = re.findall(f"(?:{re.escape(several)})+", text)
    return sum(map(len, runs)) >= 0.98 * sum(text.count(char) for char in set(several))


def _quotings(text: str, *, quote: str | None, escape: str | None) -> list[tuple[str, str]]:
    if quote is not None:
        quotes = [quote]
    else:
        quotes = ['"']
        if '"' in text:
            quotes.append("")
        if min(len(_QUOTE_OPENS.findall(text)), len(_QUOTE_CLOSES.findall(text))) >= 2:
            quotes.append("'")
    made = []
    for one in quotes:
        if escape is not None:
            made.append((one, "" if escape == one else escape))
            continue
        made.append((one, ""))
        if one and "\\" + one in text:
            made.append((one, "\\"))
    return made


def _score(lines: Sequence[str], candidate: ResolvedDialect, *, floor: float, cut: bool) -> float:
    """Regularity times worth of the cells; 0 as soon as it can't pass `floor`."""
    # An apostrophe may open what nothing closes in any text.
    rows = parse_rows(lines, candidate, cut=cut and candidate.quote == '"')
    widths = Counter(len(row.fields) for row in rows if row.fields and len(row.fields) > 1)
    if not widths:
        return 0.0
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
    spread = sum(widths.values()) / len(rows)
    regular = (0.8 * count / len(rows) + 0.2 * spread) * (1 - 0.5 / (width - 1))
    unlikely = candidate.delimiter not in _PRIORS
    if regular <= floor or (unlikely and (len(rows) < 3 or count < 0.7 * len(rows))):
        return 0.0
    cells = [row.fields for row in rows if row.fields and len(row.fields) == width]
    return regular * _mean_worth(cells, quote=candidate.quote)


def _single_worth(lines: Sequence[str]) -> float:
    """What the lines are worth as one column; a line that is all in quotes is meant as one cell."""
    cells, quoted = [], 0
    for line in lines:
        cell = line.strip()
        if len(cell) > 2 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1]:
            quoted += 1
        elif cell:
            cells.append([cell])
    loose = _mean_worth(cells, quote='"') * len(cells) if cells else 0.0
    return (loose + 0.9 * quoted) / max(1, len(cells) + quoted)


def _mean_worth(rows: Sequence[Sequence[str]], *, quote: str) -> float:
    total, count = 0.0, 0
    for row in rows:
        for cell in row:
            kind = kind_of(cell)
            if kind == "empty":
                continue
            count += 1
            stripped = cell.strip()
            if stripped[0] in "\"'" and stripped[0] != quote and stripped[-1] == stripped[0]:
                total += 0.3
            else:
                total += _WORTH[kind]
    return total / count if count else 0.3
