"""How one delimited file is written, with every question answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["MAX_RECORD_BYTES", "Newline", "ResolvedDialect"]

Newline = Literal["\n", "\r\n", "\r", "mixed"]

MAX_RECORD_BYTES = 16 * 2**20
"""A record longer than this is rejected as `too_long`, so that no file can fill the memory."""


@dataclass(frozen=True, slots=True)
class ResolvedDialect:
    r"""What the person gave and the sniffer found, together.

    :param encoding: a Python codec name (`utf-8`, `utf-16-le`, `cp1252`, ...), byte order mark
        apart.
    :param bom: length in bytes of the byte order mark at the start, 0 without one.
    :param delimiter: one or more characters.
    :param quote: one character, or "" when nothing is quoted.
    :param escape: "" when a quote inside quotes is doubled, else the escaping character.
    :param comment: lines that start with it are no records; "" for none.
    :param newline: `\n` and `\r\n` both end a record at a line feed and drop a carriage return
        before it; `mixed` ends one at either or both; inside quotes neither does.
    :param skip_rows: physical lines before the header (a preamble).
    :param header_rows: records of header after that; 0 when there is none.
    :param columns: field names, made unique and never empty.
    :param null_values: fields (unquoted) that mean NULL.
    :param skip_blanks: blanks after a delimiter belong to it (`1, 2, 3`).
    :param pad_short_rows: a record with too few fields ends in NULLs, since this writer leaves
        empty fields at the end out; otherwise it is rejected.
    :param trailing_delimiter: a record may end with one delimiter more than it has fields.
    :param bare_quotes: this writer does not escape quotes inside quotes, so a quote ends a field
        only before a delimiter or the end of the line, and no field goes on after its line.
    :param repeated_header: the header stands in the file again; where it does, it is rejected.
    """

    encoding: str
    bom: int
    delimiter: str
    quote: str
    escape: str
    comment: str
    newline: Newline
    skip_rows: int
    header_rows: int
    columns: tuple[str, ...]
    null_values: tuple[str, ...] = ("",)
    skip_blanks: bool = False
    pad_short_rows: bool = False
    trailing_delimiter: bool = False
    bare_quotes: bool = False
    repeated_header: bool = False

    @property
    def needs_splitter(self) -> str | None:
        """Why only our own splitter reads this dialect as it is meant; None: DuckDB does too."""
        if self.newline not in ("\n", "\r\n"):
            return "line ends other than LF and CRLF, or several kinds of them"
        if self.escape or self.bare_quotes:
            return "quotes escaped by another character, or not at all"
        if self.skip_blanks:
            return "blanks after delimiters"
        if self.pad_short_rows or self.trailing_delimiter:
            return "records of several lengths"
        if self.repeated_header:
            return "a repeated header"
        if self.comment:
            return "comment lines"
        if len(self.delimiter.encode()) > 1:
            return "a delimiter of several bytes"
        if len(self.columns) == 1:
            return "a single column, where a blank line is no record"
        return None
