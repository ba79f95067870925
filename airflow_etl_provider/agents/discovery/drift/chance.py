"""Whether a difference is more than chance, and how large it is.

With many rows the smallest difference is no chance, and with few a large one may be: news is what
is both unlikely by chance and large enough to matter.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "ALPHA",
    "SMALL_EFFECT",
    "Difference",
    "all_on_one_side",
    "categories_differ",
    "shares_differ",
    "spreads_differ",
]

ALPHA = 0.001
"""How likely one look at a dataset that did not change may tell any change, all tests together."""

SMALL_EFFECT = 0.2
"""Cohen's h of a small effect, from which on it is told: 0 against 1 %, 10 against 17 %, 50
against 60 % (J. Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988)."""

_SMALL_V = 0.15
_SMALL_D = 0.12


@dataclass(frozen=True, slots=True)
class Difference:
    """A test of two samples.

    :param p: how likely chance alone makes such a difference.
    :param effect: its size, by `measure`.
    :param large: whether the size matters.
    """

    test: str
    p: float
    measure: str
    effect: float
    large: bool

    def is_news(self, tests: int) -> bool:
        """Whether it is no chance among so many tests (Bonferroni), and large enough."""
        return self.large and self.p < ALPHA / max(tests, 1)

    def to_dict(self) -> dict[str, object]:
        return {
            "test": self.test,
            "p": float(f"{self.p:.3g}"),
            self.measure: round(self.effect, 4),
        }


def shares_differ(was: float, of_was: float, now: float, of_now: float) -> Difference:
    """Compare two shares of `of_was` and `of_now` things: two-proportion z-test, Cohen's h."""
    effect = abs(2 * math.asin(math.sqrt(_share(was))) - 2 * math.asin(math.sqrt(_share(now))))
    p = 1.0
    if of_was >= 1 and of_now >= 1:
        together = (was * of_was + now * of_now) / (of_was + of_now)
        variance = together * (1 - together) * (1 / of_was + 1 / of_now)
        if variance > 0:
            p = math.erfc(abs(was - now) / math.sqrt(variance) / math.sqrt(2))
    return Difference("two proportions", p, "cohens_h", effect, effect >= SMALL_EFFECT)


def _share(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def all_on_one_side(count: float, *, here: float, there: float) -> float:
    """How likely all of `count` things fall among `here` and none among `there` others."""
    if here + there <= 0:
        return 1.0
    return float((here / (here + there)) ** count)


def spreads_differ(
    was: Sequence[float], of_was: float, now: Sequence[float], of_now: float
) -> Difference:
    """Compare two samples by their quantiles: Kolmogorov and Smirnov's test, its D as the effect.

    Between two of the quantiles nothing is known of either sample, so that D is taken as the
    smallest that they allow.
    """
    distance = max(
        (abs(_below(was, x) - _below(now, x)) for x in {*was, *now}),
        default=0.0,
    )
    blur = 1 / max(len(was) - 1, 1) + 1 / max(len(now) - 1, 1)
    certain = max(distance - blur, 0.0)
    size = of_was * of_now / (of_was + of_now) if of_was and of_now else 0.0
    # The limit of Kolmogorov's distribution; of discrete values the test is the more careful.
    p = min(2 * math.exp(-2 * size * certain * certain), 1.0)
    return Difference("kolmogorov-smirnov", p, "d", distance, certain >= _SMALL_D)


def _below(points: Sequence[float], x: float) -> float:
    return bisect_right(points, x) / len(points)


def categories_differ(was: Mapping[str, float], now: Mapping[str, float]) -> Difference:
    """Compare how often values stand there: chi-square test, Cramér's V as the effect."""
    of_was, of_now = sum(was.values()), sum(now.values())
    total = of_was + of_now
    chi_square, freedom = 0.0, -1
    for value in {*was, *now}:
        together = was.get(value, 0) + now.get(value, 0)
        freedom += 1
        for seen, of in ((was.get(value, 0), of_was), (now.get(value, 0), of_now)):
            expected = together * of / total if total else 0.0
            if expected > 0:
                chi_square += (seen - expected) ** 2 / expected
    effect = math.sqrt(chi_square / total) if total else 0.0
    # Two samples of the same kind: with as many of each, V is that of shares.
    balance = 4 * of_was * of_now / (total * total) if total else 0.0
    comparable = effect / math.sqrt(balance) if balance else 0.0
    p = _chi_square_tail(chi_square, freedom)
    return Difference("chi-square", p, "cramers_v", comparable, comparable >= _SMALL_V)


def _chi_square_tail(chi_square: float, freedom: int) -> float:
    """By Wilson and Hilferty's cube root (PNAS 17, 1931)."""
    if freedom < 1 or chi_square <= 0:
        return 1.0
    spread = 2 / (9 * freedom)
    z = ((chi_square / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)
    return 0.5 * math.erfc(z / math.sqrt(2))
