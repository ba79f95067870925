"""DuckDB's messages with what stood in a row cut off.

DuckDB puts values between quotes, and does not escape them: a value may hold quotes and lines of
its own, so that nobody can tell where it ends. So a message is kept up to where one may begin, and
of the rest only what is known to be no value.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["stem_of"]

_CLASS = re.compile(r"(?:[A-Za-z ]*(?:Error|Exception): )*")
"""`Conversion Error: `, and `Invalid Input Error: Conversion Error: ` where one error wraps one."""

_STEM = re.compile(r"(?:(?!\bvalue (?!out of range))(?:[A-Za-z ,/)]|\b- |(?<=[A-Za-z])\d+))*")
"""Words: no sign and no number that may be a value or have one behind it."""

_TYPE = (
    r"(?:U?(?:BIGINT|HUGEINT|INTEGER|SMALLINT|TINYINT)|U?INT(?:8|16|32|64|128)|FLOAT|DOUBLE"
    r"|DECIMAL\(\d{1,2},\d{1,2}\)|BOOL(?:EAN)?|VARCHAR|BLOB|BIT|UUID|DATE|TIME|INTERVAL|JSON"
    r"|TIMESTAMP(?:_NS|_MS|_S)?(?: WITH TIME ZONE)?)(?:\[\])*"
)
_TARGET = re.compile(rf"(?:['\"] to|destination type) (?P<type>{_TYPE})$")

_COLUMN = " when casting from source column "


def stem_of(error: BaseException, *, columns: Iterable[str] = ()) -> str:
    """Say what went wrong without anything that may have stood in a row.

    :param columns: names that a message may end with, as those of the columns that are cast.
    """
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    text = str(error).strip()
    head = _CLASS.match(text)
    stem = _STEM.match(text, head.end() if head else 0)
    told = (stem[0] if stem else "").rstrip(" ,-") or type(error).__name__
    # After the message stands the place in the query.
    said = text.rpartition("\n\nLINE ")[0] or text
    column = next((f"{_COLUMN}{name}" for name in columns if said.endswith(_COLUMN + name)), "")
    target = _TARGET.search(said.removesuffix(column))
    if target:
        told = f"{told} to {target['type']}"
    return told + column.rstrip("\n")
