"""A slow and obviously right reader of delimited files, to test the fast one against.

It walks over the characters of one physical line after the other with a state for each of them,
and knows nothing of blocks, batches, the csv module or regular expressions.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect

Kind = Literal["mark", "preamble", "header", "blank", "comment", "record", "rejected"]


@dataclass
class Part:
    """A stretch of the file, from byte to byte, and what it is."""

    kind: Kind
    start: int
    end: int
    number: int | None = None
    fields: list[str | None] | None = None
    code: str | None = None


@dataclass
class Line:
    start: int
    end: int
    text: str
    ending: str
    bad: bool


def read(data: bytes, dialect: ResolvedDialect) -> list[Part]:
    """Every byte of the file, in exactly one part."""
    return _Reader(data, dialect).parts()


def physical_lines(data: bytes, dialect: ResolvedDialect) -> list[Line]:
    """Cut a file where the dialect says that lines end."""
    unit = len("\n".encode(dialect.encoding))
    lf, cr = "\n".encode(dialect.encoding), "\r".encode(dialect.encoding)
    cuts = []
    at = start = dialect.bom
    while at < len(data):
        here, following = data[at : at + unit], data[at + unit : at + 2 * unit]
        size = 0
        if dialect.newline == "mixed":
            if here == cr and following == lf:
                size = 2 * unit
            elif here in (lf, cr):
                size = unit
        elif here == (cr if dialect.newline == "\r" else lf):
            size = unit
        if size:
            cuts.append((start, at + size))
            start = at + size
        at += size or unit
    if start < len(data):
        cuts.append((start, len(data)))
    return [_decode(data[a:b], a, b, dialect) for a, b in cuts]


def _decode(raw: bytes, start: int, end: int, dialect: ResolvedDialect) -> Line:
    bad = False
    try:
        text = codecs.decode(raw, dialect.encoding)
    except UnicodeDecodeError:
        text, bad = codecs.decode(raw, dialect.encoding, "replace"), True
    endings = {"mixed": ["\r\n", "\n", "\r"], "\r": ["\r"]}.get(
        dialect.newline, ["\r\n", "\n", "\r"]
    )
    for ending in endings:
        if text.endswith(ending):
            return Line(start, end, text[: -len(ending)], ending, bad or "\0" in text)
    return Line(start, end, text, "", bad or "\0" in text)


class _Reader:
    def __init__(self, data: bytes, dialect: ResolvedDialect) -> None:
        self.dialect = dialect
        self.lines = physical_lines(data, dialect)
        self.blanks = [c for c in " \t" if c not in dialect.delimiter]
        self.number = 0
        self.header: list[str | None] | None = None

    def parts(self) -> list[Part]:
        dialect = self.dialect
        made: list[Part] = []
        if dialect.bom:
            made.append(Part("mark", 0, dialect.bom))
        headers, lost, at = dialect.header_rows, False, 0
        while at < len(self.lines):
            line = self.lines[at]
            if at < dialect.skip_rows:
                made.append(Part("preamble", line.start, line.end))
                at += 1
            elif all(c in [*self.blanks, "\r", "\n"] for c in line.text):
                made.append(Part("blank", line.start, line.end))
                at += 1
            elif dialect.comment and line.text.startswith(dialect.comment):
                made.append(Part("comment", line.start, line.end))
                at += 1
            elif headers:
                fields, last = self.record(at)
                last = at if fields is None else last
                if fields is not None and self.header is None:
                    self.header = self.fit(fields) or fields
                elif self.header is None:
                    self.header = []
                made.append(Part("header", line.start, self.lines[last].end))
                headers -= 1
                at = last + 1
            else:
                part, last, lost = self.next_part(at, lost)
                made.append(part)
                at = last + 1
        return made

    def next_part(self, at: int, lost: bool) -> tuple[Part, int, bool]:
        fields, last = self.record(at)
        if fields is None:
            return self.rejected(at, at, "broken_quote"), at, True
        fitted = self.fit(fields)
        if fitted is None and lost:
            return self.rejected(at, at, "broken_quote"), at, True
        if fitted is None and last > at + 1:
            alone = 0
            for one in range(at + 1, last):
                inner, _ = self.record(one, until=one)
                alone += inner is not None and self.fit(inner) is not None
            if 2 * alone >= last - at - 1:
                return self.rejected(at, at, "broken_quote"), at, True
        if fitted is None:
            return self.rejected(at, last, "wrong_field_count"), last, False
        if any(line.bad for line in self.lines[at : last + 1]):
            return self.rejected(at, last, "bad_encoding"), last, False
        if self.dialect.repeated_header and fitted == self.header:
            return self.rejected(at, last, "repeated_header"), last, False
        self.number += 1
        start, end = self.lines[at].start, self.lines[last].end
        return Part("record", start, end, self.number, fitted), last, False

    def rejected(self, at: int, last: int, code: str) -> Part:
        self.number += 1
        start, end = self.lines[at].start, self.lines[last].end
        return Part("rejected", start, end, self.number, code=code)

    def fit(self, fields: list[str | None]) -> list[str | None] | None:
        width = len(self.dialect.columns)
        if len(fields) == width:
            return fields
        if self.dialect.trailing_delimiter and len(fields) == width + 1 and not fields[-1]:
            return fields[:-1]
        if self.dialect.pad_short_rows and len(fields) < width:
            return fields + [None] * (width - len(fields))
        return None

    def record(self, at: int, until: int | None = None) -> tuple[list[str | None] | None, int]:
        """The fields of the record that starts at a line and its last line; None: broken."""
        last_line = len(self.lines) - 1 if until is None else until
        fields: list[str | None] = []
        i = 0
        while True:
            text = self.lines[at].text
            quoted_from = self.opening(text, i)
            if quoted_from is None:
                value, i = self.unquoted(text, i, first=not fields)
                fields.append(value)
            else:
                found = self.quoted(at, quoted_from, last_line)
                if found is None:
                    return None, at
                inside, at, i = found
                fields.append(inside)
                text = self.lines[at].text
            if i == len(text):
                return fields, at
            if not self.delimiter_at(text, i):
                return None, at
            i += len(self.dialect.delimiter)

    def unquoted(self, text: str, i: int, *, first: bool) -> tuple[str | None, int]:
        """A field as it stands up to the next delimiter, and where that is."""
        end = i
        while end < len(text) and not self.delimiter_at(text, end):
            end += 1
        value = text[i:end]
        while self.dialect.skip_blanks and not first and value and value[0] in self.blanks:
            value = value[1:]
        return None if value in self.dialect.null_values else value, end

    def quoted(self, at: int, i: int, last_line: int) -> tuple[str, int, int] | None:
        """A field up to its closing quote, the line of that, and what follows it and blanks."""
        value = ""
        while True:
            text = self.lines[at].text
            if i == len(text):
                if at == last_line or self.dialect.bare_quotes:
                    return None
                value += self.lines[at].ending
                at, i = at + 1, 0
                continue
            taken = self.escaped_quote(text, i)
            if taken is not None:
                value, i = value + taken[0], taken[1]
            elif text[i] == self.dialect.quote and self.closes(text, i):
                return value, at, self.after_quote(text, i + 1)
            else:
                value, i = value + text[i], i + 1

    def after_quote(self, text: str, i: int) -> int:
        """Past the blanks after a quote, unless the blanks begin a delimiter."""
        end = i
        while end < len(text) and text[end] in self.blanks:
            end += 1
        return end if end == len(text) or self.delimiter_at(text, end) else i

    def opening(self, text: str, i: int) -> int | None:
        while i < len(text) and text[i] in self.blanks:
            i += 1
        quote = self.dialect.quote
        return i + 1 if quote and i < len(text) and text[i] == quote else None

    def delimiter_at(self, text: str, i: int) -> bool:
        return text[i : i + len(self.dialect.delimiter)] == self.dialect.delimiter

    def escaped_quote(self, text: str, i: int) -> tuple[str, int] | None:
        quote, escape = self.dialect.quote, self.dialect.escape
        pair = text[i : i + 2]
        if escape:
            if pair in (escape + quote, escape + escape):
                return pair[1], i + 2
            return (pair, i + len(pair)) if text[i] == escape else None
        return (quote, i + 2) if pair == quote * 2 else None

    def closes(self, text: str, i: int) -> bool:
        if not self.dialect.bare_quotes:
            return True
        i += 1
        while i < len(text) and text[i] in self.blanks:
            i += 1
        return i == len(text) or self.delimiter_at(text, i)
