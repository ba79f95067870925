"""The grammar of one record: fields, quotes, escapes, blanks around quotes."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect

__all__ = ["Outcome", "RecordParser"]

Fields = list[str | None]

_CSV_FIELD_LIMIT = csv.field_size_limit()


class Outcome(NamedTuple):
    """What was read at one line.

    `fields` when the record is well formed; else `problem` says whether its quoting is `broken`, or
    still `open` where the lines end. `end` is the line after the last one looked at.
    """

    fields: Fields | None
    end: int
    problem: Literal["broken", "open"] | None = None


class RecordParser:
    """Reads one record from a list of line texts.

    A field whose first character, blanks apart, is the quote is quoted: it ends at the next quote
    that is not escaped, and only blanks may stand before the delimiter or the end of the line.
    Any other field is taken as it stands, quotes inside it included. Where quotes are not escaped
    (`bare_quotes`) a field ends on its line: beyond it, nothing would tell its end from any other.
    """

    def __init__(self, dialect: ResolvedDialect, *, separator: str) -> None:
        self._separator = separator
        self._delimiter = delimiter = dialect.delimiter
        self._quote = quote = dialect.quote
        self._nulls = frozenset(dialect.null_values)
        self._skip_blanks = dialect.skip_blanks
        blanks = "".join(blank for blank in " \t" if blank not in delimiter)
        self._blanks = blanks
        self._blank_line = blanks + "\r\n"
        blank = f"[{blanks}]*" if blanks else ""
        self._escape = dialect.escape if dialect.escape != quote else ""
        self._after = re.compile(blank)
        self._opening = re.compile(blank + re.escape(quote))
        closing = f"{blank}(?:{re.escape(delimiter)}|[\r\n]*\\Z)" if dialect.bare_quotes else ""
        self._body, self._escaped = _patterns(quote, self._escape, closing)
        self._use_csv = (
            len(quote) == 1
            and len(delimiter) == 1
            and delimiter != "\0"  # which the csv module of Python 3.10 does not take
            and not self._escape
            and not self._skip_blanks
            and not dialect.bare_quotes
        )
        # The csv module takes a carriage return for the end of a line.
        self._hazards = tuple(
            {"\r", quote * 2, *(one + quote for one in blanks)}
            | {quote + value + quote for value in self._nulls}
        )
        self._mixed = separator == ""
        self._bare = dialect.bare_quotes

    def is_blank(self, text: str) -> bool:
        """Whether a line holds nothing but blanks."""
        return not text.strip(self._blank_line)

    def chomp(self, text: str) -> str:
        """A line without its terminator."""
        if self._mixed:
            return text[:-2] if text.endswith("\r\n") else text.rstrip("\r\n")
        return text[:-1] if self._separator == "\n" and text.endswith("\r") else text

    def parse(self, texts: Sequence[str], at: int, stop: int) -> Outcome:
        """Read the record that starts at line `at`; lines from `stop` on are not there (yet)."""
        text = self.chomp(texts[at])
        if not self._quote or self._quote not in text:
            return Outcome(self.finish(text.split(self._delimiter)), at + 1)
        if (
            self._use_csv
            and len(text) < _CSV_FIELD_LIMIT
            and not any(hazard in text for hazard in self._hazards)
        ):
            try:
                fields = next(
                    csv.reader(
                        (text,), delimiter=self._delimiter, quotechar=self._quote, strict=True
                    )
                )
                return Outcome(self.finish(fields), at + 1)
            except csv.Error:
                pass  # open or broken: the state machine below says which
        return self._parse_slowly(texts, at, stop, text)

    def parse_lines(self, texts: Sequence[str], *, width: int) -> list[Fields] | None:
        """All lines as one record each, or None when something in them needs a closer look."""
        lines = [self.chomp(text) for text in texts]
        if self._quote and any(self._quote in line for line in lines):
            whole = "\n".join(lines)
            if not self._use_csv or any(hazard in whole for hazard in self._hazards):
                return None
            try:
                fields = list(
                    csv.reader(lines, delimiter=self._delimiter, quotechar=self._quote, strict=True)
                )
            except csv.Error:
                return None
            if len(fields) != len(lines):
                return None
        else:
            fields = [line.split(self._delimiter) for line in lines]
        if set(map(len, fields)) != {width}:
            return None
        return [self.finish(row) for row in fields]

    def finish(self, fields: list[str]) -> Fields:
        """Unquoted fields as values: blanks skipped, NULLs found."""
        if self._skip_blanks:
            fields = [fields[0], *(field.lstrip(self._blanks) for field in fields[1:])]
        if self._nulls.isdisjoint(fields):
            return fields  # type: ignore[return-value]
        return [None if field in self._nulls else field for field in fields]

    def _parse_slowly(self, texts: Sequence[str], at: int, stop: int, text: str) -> Outcome:
        fields: Fields = []
        position, delimiter, size = 0, self._delimiter, len(self._delimiter)
        while True:
            opening = self._opening.match(text, position)
            if opening is None:
                end = text.find(delimiter, position)
                value = text[position:] if end < 0 else text[position:end]
                if self._skip_blanks and fields:
                    value = value.lstrip(self._blanks)
                fields.append(None if value in self._nulls else value)
                if end < 0:
                    return Outcome(fields, at + 1)
                position = end + size
                continue
            start = opening.end()
            closing = self._body_end(text, start)
            if closing == len(text):
                if self._bare:
                    return Outcome(None, at + 1, "broken")
                found = self._close(texts, at, stop, start)
                if found is None:
                    return Outcome(None, stop, "open")
                value, at, closing = found
                text = self.chomp(texts[at])
            else:
                value = text[start:closing]
            fields.append(self._unescape(value))
            position = self._blanks_end(text, closing + 1)
            if position == len(text):
                return Outcome(fields, at + 1)
            if not text.startswith(delimiter, position):
                position = closing + 1
                if not text.startswith(delimiter, position):
                    return Outcome(None, at + 1, "broken")
            position += size

    def _close(
        self, texts: Sequence[str], at: int, stop: int, start: int
    ) -> tuple[str, int, int] | None:
        """The text of a field that goes on after its line, its last line, the closing quote."""
        pieces = [texts[at][start:]]
        for line in range(at + 1, stop):
            text = texts[line]
            closing = self._body_end(text, 0) if self._quote in text else len(text)
            pieces.append(text[:closing])
            if closing < len(text):
                return self._separator.join(pieces), line, closing
        return None

    def _body_end(self, text: str, start: int) -> int:
        match = self._body.match(text, start)
        return match.end() if match else start

    def _blanks_end(self, text: str, start: int) -> int:
        match = self._after.match(text, start)
        return match.end() if match else start

    def _unescape(self, value: str) -> str:
        if self._escape:
            return self._escaped.sub(r"\1", value) if self._escape in value else value
        return value.replace(self._quote * 2, self._quote) if self._quote in value else value


def _patterns(quote: str, escape: str, closing: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What stands inside quotes up to the closing one, and an escaped character.

    :param closing: what must follow a quote for it to be the closing one; "" for anything.
    """
    if not quote:
        return re.compile(""), re.compile("(?!)")
    q = re.escape(quote)
    bare = f"|{q}(?!{closing})" if closing else ""
    if not escape:
        return re.compile(f"[^{q}]*(?:(?:{q}{q}{bare})[^{q}]*)*"), re.compile("(?!)")
    e = re.escape(escape)
    body = re.compile(f"[^{q}{e}]*(?:(?:{e}.?{bare})[^{q}{e}]*)*", re.DOTALL)
    return body, re.compile(f"{e}([{q}{e}])")
