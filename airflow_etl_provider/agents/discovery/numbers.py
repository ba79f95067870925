"""How numbers are written: decimal sign, thousands, currencies, units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.types import MAX_PRECISION, LogicalType

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NumberFormat", "find_number_format"]

_NUMBER = re.compile(r"[+-]?\d[\d.,' \u00a0\u202f]*(?:[eE][+-]?\d{1,3})?|[+-]?[.,]\d+")
_AROUND = re.compile(
    r"(?P<sign>[+-])?(?P<before>[$€£¥₹]|[A-Z]{3}|US\$)?\s?"
    r"(?P<number>[+-]?[\d.,][\d.,' \u00a0\u202f]*)"
    r"(?P<after>\s?(?:%|[$€£¥₹°]|[A-Za-zµ°][A-Za-z/²³]{0,7}))?"
)
_SEPARATORS = "., '\u00a0\u202f"
_CURRENCIES = frozenset("$€£¥₹") | {
    "US$", "USD", "EUR", "GBP", "JPY", "CHF", "CNY", "INR", "CAD", "AUD", "SEK", "NOK", "DKK",
    "PLN", "CZK", "HUF", "BRL", "MXN", "ZAR", "KRW", "SGD", "HKD", "NZD", "TRY", "RUB",
}  # fmt: skip
_MOST_DECIMALS = 18


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How values are written.

    :param form: None where a plain cast reads them; else an example of the writing, `1.234,5`.
    :param unit: a currency, `%` or a unit that stands at all values.
    :param share: of the values, that are written so.
    :param ambiguous: nothing tells whether the only separator is for thousands or for decimals.
    """

    type: LogicalType
    form: str | None
    unit: str | None
    share: float
    ambiguous: bool = False


@dataclass(slots=True)
class _Seen:
    """What the separators of all values say together."""

    count: int = 0
    decimals: int = 0
    digits: int = 0
    scale: int = 0
    exponent: bool = False


def find_number_format(values: Mapping[str, int], *, enough: float) -> NumberFormat | None:
    """Find how numbers are written that at least the share `enough` of the values are.

    Digits with a leading zero are codes and no numbers: `None` for them.

    :param values: distinct texts with how often each stands there, none of them a null word.
    """
    total = sum(values.values())
    if not total:
        return None
    plain, unit = _without_unit(values, total, enough)
    if plain is None:
        return None
    texts = {text: count for text, count in plain.items() if _NUMBER.fullmatch(text)}
    if sum(texts.values()) < enough * total or _is_code(texts, total):
        return None
    point, thousands, ambiguous = _signs(texts)
    seen = _Seen()
    for text, count in texts.items():
        _measure(text, count, point, thousands, seen)
    if seen.count < enough * total:
        return None
    return NumberFormat(
        _type_of(seen),
        _example(point, thousands, seen),
        unit,
        seen.count / total,
        ambiguous,
    )


def _without_unit(
    values: Mapping[str, int], total: int, enough: float
) -> tuple[dict[str, int] | None, str | None]:
    """Take off what stands before or after each number, if it is the same at all of them."""
    bare = sum(count for text, count in values.items() if _NUMBER.fullmatch(text))
    if bare >= enough * total:
        return dict(values), None
    units: dict[str, int] = {}
    stripped: dict[str, int] = {}
    for text, count in values.items():
        match = _AROUND.fullmatch(text)
        if match is None or bool(match["before"]) == bool(match["after"]):
            continue
        unit = (match["before"] or match["after"]).strip()
        if match["before"] and unit not in _CURRENCIES:
            continue
        units[unit] = units.get(unit, 0) + count
        number = (match["sign"] or "") + match["number"].strip()
        stripped[number] = stripped.get(number, 0) + count
    if len(units) != 1 or sum(units.values()) < enough * total:
        return None, None
    return stripped, next(iter(units))


def _is_code(texts: Mapping[str, int], total: int) -> bool:
    """Whether leading zeros say that these are no numbers: zip codes, article numbers."""
    zeros = sum(
        count
        for text, count in texts.items()
        if len(text) > 1 and text[0] == "0" and text.isdigit()
    )
    return zeros > 0.002 * total


def _signs(texts: Mapping[str, int]) -> tuple[str, str, bool]:
    """Tell the decimal sign from the one for thousands, by all values together."""
    once: dict[str, list[int]] = {".": [], ",": []}
    many: set[str] = set()
    for text in texts:
        body = text.lstrip("+-").split("e")[0].split("E")[0]
        found = [c for c in body if c in _SEPARATORS]
        if not found:
            continue
        last = found[-1]
        if len(set(found)) > 1:
            # 1.234,5: the last one is the decimal sign.
            thousands = "".join(sorted(set(found) - {last}))
            return (last, thousands[:1], False) if last in ".," else ("", last, False)
        if len(found) > 1 or last not in ".,":
            many.add(last)
        else:
            once[last].append(len(body) - body.rindex(last) - 1)
    thousands = "".join(sorted(many))[:1]
    for sign, after in once.items():
        if after and sign not in many and any(length != 3 for length in after):
            return sign, thousands, False
    # All that is left has three digits behind its only separator.
    if once["."] and "." not in many:
        return ".", thousands, not thousands and not any(text[0] in "0-" for text in texts)
    if once[","] and "," not in many:
        return ("," if any(t.startswith("0,") for t in texts) else ""), ",", True
    return ".", thousands, False


def _measure(text: str, count: int, point: str, thousands: str, seen: _Seen) -> None:
    body = text.lstrip("+-")
    mantissa, _, exponent = body.lower().partition("e")
    before, _, after = mantissa.partition(point) if point else (mantissa, "", "")
    if thousands and thousands in before:
        groups = before.split(thousands)
        if any(len(group) != 3 for group in groups[1:]) or not 1 <= len(groups[0]) <= 3:
            return
        before = "".join(groups)
    if not (before + after).isdigit():
        return
    seen.count += count
    seen.exponent = seen.exponent or bool(exponent)
    seen.decimals += count if after else 0
    seen.digits = max(seen.digits, len(before))
    seen.scale = max(seen.scale, len(after))


def _type_of(seen: _Seen) -> LogicalType:
    if seen.exponent or seen.scale > _MOST_DECIMALS or seen.digits + seen.scale > MAX_PRECISION:
        return LogicalType("float64")
    if not seen.scale and seen.digits <= 18:
        return LogicalType("int64")
    digits = min(max(seen.digits + 2, 10) + seen.scale, MAX_PRECISION)
    return LogicalType("decimal", precision=digits, scale=seen.scale)


def _example(point: str, thousands: str, seen: _Seen) -> str | None:
    if not thousands and (point == "." or not seen.decimals):
        return None
    number = f"1{thousands}234" if thousands else "1234"
    return f"{number}{point}5" if seen.decimals else number
