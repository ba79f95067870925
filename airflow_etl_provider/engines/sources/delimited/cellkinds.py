"""What a cell of text looks like: the evidence for delimiters and headers."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

__all__ = ["CellKind", "is_typed", "kind_of", "shape_of"]

CellKind = Literal["empty", "null", "number", "date", "time", "address", "word", "text", "suspect"]

_NULLS = frozenset(
    "na|n/a|n.a.|nan|null|none|nil|unknown|tbc|tbd|#n/a|#value!|-|--|---|.|..|...|?|*".split("|")  # noqa: SIM905
)

_NUMBER = re.compile(
    r"[-+(]?\s?(?:[$€£¥]\s?)?[-+]?(?:\d{1,3}(?:[,.' \xa0]\d{3})+|\d+)?(?:[.,]\d*)?(?:[eE][-+]?\d+)?"
    r"\s?(?:[$€£¥%)]|[kKmM]?)|0[xX][0-9a-fA-F]+|[-+]?inf"
)
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"
    r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s?(?:[ap]m|Z|UTC)?(?:[-+]\d{2}:?\d{2})?)?"
    rf"|\d{{1,2}}[-/. ]{_MONTH}\.?[-/. ,]*(?:\d{{2,4}})?"
    rf"|{_MONTH}\.?[-/ ]\d{{1,2}}(?:,? \d{{2,4}})?"
    r"|(?:19|20)\d{2}-(?:0[1-9]|1[0-2])|\d{4}年\d{1,2}月\d{1,2}日",
    re.IGNORECASE,
)
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s?(?:[aApP]\.?[mM]\.?)?")
_ADDRESS = re.compile(
    r"(?:https?|ftp|file|mailto)://?\S+|www\.\S+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|/?(?:[\w.-]+/)+[\w.-]*"
    r"|(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?|[\w-]+(?:\.[\w-]+)+"
)
_WORD = re.compile(r"[^\W_]+(?:[-_.'\u2019][^\W_]+)*")
_SUSPECT = re.compile(r"[\t;|]|,(?=\S)|^[,:;|/]|[,:;|]$")


@lru_cache(maxsize=50_000)
def kind_of(cell: str) -> CellKind:
    """The kind of a cell; `suspect` holds what is more likely a delimiter than text."""
    cell = cell.strip()
    if not cell:
        return "empty"
    if cell.lower() in _NULLS:
        return "null"
    if len(cell) > 40:
        if _ADDRESS.fullmatch(cell):
            return "address"
        return "suspect" if _suspicious(cell) else "text"
    if _NUMBER.fullmatch(cell) and any(char.isdigit() for char in cell):
        return "number"
    if _DATE.fullmatch(cell):
        return "date"
    if _TIME.fullmatch(cell):
        return "time"
    if _WORD.fullmatch(cell):
        return "word"
    if _ADDRESS.fullmatch(cell):
        return "address"
    return "suspect" if _suspicious(cell) else "text"


def _suspicious(cell: str) -> bool:
    return bool(_SUSPECT.search(cell)) or cell.count('"') % 2 == 1


def is_typed(kind: CellKind) -> bool:
    """Whether a kind is more than words."""
    return kind in ("number", "date", "time")


@lru_cache(maxsize=50_000)
def shape_of(cell: str) -> str:
    """Letters as `a`, digits as `9`, runs of one kept short: `SARAH-12` is `a-9`."""
    cell = cell.strip()[:80]
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", cell))
