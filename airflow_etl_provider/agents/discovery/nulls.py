"""Nulls in disguise: words and numbers that stand for a value that is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["null_numbers", "null_words"]

_ALWAYS = frozenset(
    ("n/a", "#n/a", "null", "(null)", "<null>", "\\n", "nil", "nan", "#null!", "-", "--", "---")
)
"""These mean nothing else, whatever the rest of the column is."""

_AMONG_OTHERS = frozenset(
    ("na", "none", "missing", "unknown", "undefined", "?", "??", ".", "..", "...", "*", "**", "tbd")
)
"""These may be words among words, and mean no value where the rest of the column is none."""

_NINES = frozenset(str(10**size - 1) for size in range(3, 11))
_SENTINELS = _NINES | {f"-{nines}" for nines in _NINES} | {"-1", "-99", "99999999.99"}

_SHARE_OF_A_SENTINEL = 0.01
_FAR = 10.0


def null_words(values: Mapping[str, int], *, all_words: bool) -> dict[str, int]:
    """Find the texts that stand for NULL.

    :param values: distinct texts with how often each stands there.
    :param all_words: also those that may be words among words.
    """
    wanted = _ALWAYS | _AMONG_OTHERS if all_words else _ALWAYS
    return {
        text: count
        for text, count in values.items()
        if (stripped := text.strip()) == "" or stripped.lower() in wanted
    }


def null_numbers(values: Mapping[str, int]) -> dict[str, int]:
    """Find numbers that are written for "no value": 9999 where all others are below 130.

    :param values: distinct numbers as text with how often each stands there.
    """
    numbers: dict[str, float] = {}
    for text in values:
        try:
            numbers[text] = float(text)
        except ValueError:
            continue
    found = {}
    total = sum(values.values())
    for text in sorted(numbers.keys() & _SENTINELS):
        others = [abs(number) for other, number in numbers.items() if other not in _SENTINELS]
        if len(others) < 3 or values[text] < max(_SHARE_OF_A_SENTINEL * total, 2):
            continue
        number = numbers[text]
        negative = number < 0 and all(numbers[o] >= 0 for o in numbers if o not in _SENTINELS)
        if (negative and number != -1) or abs(number) > _FAR * max(others):
            found[text] = values[text]
    return found
