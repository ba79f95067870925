"""How one delimited file is written, with every question answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Newline", "ResolvedDialect"]

Newline = Literal["\n", "\r\n", "\r", "mixed"]


@dataclass(frozen=True, slots=True)
class ResolvedDialect:
    """What the person gave and the sniffer found, together.

    :param encoding: a Python codec name (`utf-8`, `utf-16-le`, `cp1252`, ...), byte order mark apart.
    :param bom: length in bytes of the byte order mark at the start, 0 without one.
    :param delimiter: one or more characters.
    :param quote: one character, or "" when nothing is quoted.
    :param escape: "" when a quote inside quotes is doubled, else the escaping character.
    :param comment: lines that start with it are no records; "" for none.
    :param skip_rows: physical lines before the header (a preamble).
    :param header_rows: records of header after that; 0 when there is none.
    :param columns: field names, made unique and never empty.
    :param null_values: fields (unquoted) that mean NULL.
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
