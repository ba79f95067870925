"""Word lists, read once when they are first asked for."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["words"]


@cache
def words(name: str) -> frozenset[str]:
    """Read a list: `first_names`, `last_names`, `countries` or `country_codes`."""
    text = files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return frozenset(text.splitlines())
