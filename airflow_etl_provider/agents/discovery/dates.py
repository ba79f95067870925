"""How dates and times are written: formats by the evidence of all values, day against month."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DateFormat", "find_date_format"]

_DATES = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%Y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d.%m.%y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%Y%m%d",
)
_TIMES = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p")
_ZONES = ("", "%z", " %z")

_LOOKS = re.compile(
    r"\d{1,4}[-/. ](?:\d{1,2}|[A-Za-z]{3,9})[-/. ]\d{2,4}|[A-Za-z]{3,9} \d{1,2}, \d{4}|\d{8}"
)
_TIME = re.compile(r"\d{1,2}:\d{2}")
_FIRST_YEAR, _LAST_YEAR = 1850, 2199
"""Eight digits outside of these years are a number."""


@dataclass(frozen=True, slots=True)
class DateFormat:
    """How values are written.

    :param kind: `date`, `timestamp` or `timestamptz`.
    :param formats: of `strptime`; more than one where day and month can't be told apart.
    :param share: of the values, that are written so.
    """

    kind: str
    formats: tuple[str, ...]
    share: float


def find_date_format(values: Mapping[str, int], *, enough: float) -> DateFormat | None:
    """Find the format that explains at least the share `enough` of the values.

    A day above twelve in one value settles day and month for all of them. Where no value settles
    it, both formats are told.

    :param values: distinct texts with how often each stands there, none of them a null word.
    """
    total = sum(values.values())
    sample = list(values)[:50]
    if not total or sum(bool(_LOOKS.match(text)) for text in sample) < enough * len(sample):
        return None
    likely = [one for one in _formats(_has_times(sample)) if _fits(sample[0], one)]
    if not likely:
        likely = [one for one in _formats(_has_times(sample)) if any(_fits(t, one) for t in sample)]
    shares = {
        one: sum(count for text, count in values.items() if _fits(text, one)) / total
        for one in likely
    }
    best = max(shares.values(), default=0.0)
    if best < enough:
        return None
    found = tuple(one for one in likely if shares[one] == best)
    # "%Y" takes two digits of no format here, but "%y" and "%Y" never both fit one text.
    return DateFormat(_kind(found[0]), found, best)


def _has_times(sample: list[str]) -> bool:
    return any(_TIME.search(text) for text in sample)


@lru_cache(maxsize=2)
def _formats(with_times: bool) -> tuple[str, ...]:  # noqa: FBT001 - a cache takes no keywords
    if not with_times:
        return _DATES
    return tuple(
        f"{date}{between}{time}{zone}"
        for date in _DATES
        for between in (" ", "T")
        for time in _TIMES
        for zone in _ZONES
    )


def _fits(text: str, form: str) -> bool:
    try:
        moment = datetime.strptime(text, form)  # noqa: DTZ007 - only whether it fits
    except ValueError:
        return False
    if form.startswith("%Y%m%d"):
        eight = re.match(r"\d{8}(?!\d)", text) is not None
        return eight and _FIRST_YEAR <= moment.year <= _LAST_YEAR
    return moment.year >= 1000


def _kind(form: str) -> str:
    if "%z" in form:
        return "timestamptz"
    return "timestamp" if "%H" in form or "%I" in form else "date"
