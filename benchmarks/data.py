"""The benchmark's table: 12 columns as a shop would export them, made the same way every time.

Two date formats, decimals, quoted and Unicode text, one value in ten missing; and, when asked for,
one row in a hundred bad in one of five ways.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COLUMNS", "write_csv"]

COLUMNS = (
    "order_id",
    "customer_id",
    "ordered_at",
    "shipped_on",
    "status",
    "country",
    "amount",
    "tax",
    "quantity",
    "email",
    "comment",
    "is_gift",
)

_WORDS = tuple(
    "fast naïve größe 東京 quick crème łódź order parcel blue red smörgås late early été".split()  # noqa: SIM905
)
_STATES = ("new", "paid", "packed", "shipped", "returned")
_COUNTRIES = ("DE", "FR", "PL", "JP", "US", "SE", "BR")


def write_csv(
    path: Path, *, rows: int, bad_share: float = 0.0, first: int = 0, seed: int = 7
) -> Path:
    """Write `rows` records; with `bad_share` about that many of them can't be loaded.

    :param first: how many keys are left out before the first one.
    """
    if path.exists():
        return path
    chance = random.Random(seed)
    comments = _comments(chance)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        for start in range(0, rows, 10_000):
            lines = [
                _line(chance, n, comments, bad_share)
                for n in range(first + start, first + min(start + 10_000, rows))
            ]
            file.write("".join(lines))
    partial.rename(path)
    return path


def _comments(chance: random.Random) -> list[str]:
    made = []
    for n in range(5_000):
        words = " ".join(chance.choice(_WORDS) for _ in range(chance.randint(3, 9)))
        if n % 5 == 0:
            words = f'"{words}, and ""more"" of it"'
        made.append(words)
    return made


def _line(chance: random.Random, number: int, comments: list[str], bad_share: float) -> str:
    r = chance.random
    day, month, hour = 1 + int(r() * 28), 1 + int(r() * 12), int(r() * 24)
    fields = [
        str(number + 1),
        str(int(r() * 900_000) + 1),
        f"2024-{month:02d}-{day:02d} {hour:02d}:{int(r() * 60):02d}:{int(r() * 60):02d}",
        f"{day:02d}.{month:02d}.2024",
        _STATES[int(r() * 5)],
        _COUNTRIES[int(r() * 7)],
        f"{int(r() * 100_000) / 100:.2f}",
        f"{int(r() * 10_000) / 100:.2f}",
        str(1 + int(r() * 20)),
        f"user{int(r() * 500_000)}@example.com",
        comments[int(r() * 5_000)],
        "true" if r() < 0.5 else "false",
    ]
    for at in (1, 3, 5, 7, 9, 10, 11):
        if r() < 0.17:
            fields[at] = ""
    if bad_share and r() < bad_share:
        _spoil(fields, int(r() * 5))
    return ",".join(fields) + "\n"


def _spoil(fields: list[str], kind: int) -> None:
    if kind == 0:
        fields[6] = "n/a"
    elif kind == 1:
        fields[2] = "2024-13-45 25:61:00"
    elif kind == 2:
        fields[8] = "-3"
    elif kind == 3:
        fields[4] = "unknown"
    else:
        fields.append("one too many")
