"""Make the word lists of the Data Discovery agent from the package `faker`.

    pip install faker==40.63.0 && python scripts/make_dictionaries.py

Names of people and of countries, in all languages that it has. Run again for a newer edition; what
is written is sorted, so that a difference can be read.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import faker.providers.date_time
import faker.providers.person

FOLDER = Path(__file__).parent.parent / "airflow_etl_provider/agents/discovery/dictionaries"


def main() -> None:
    """Write the three files."""
    firsts: set[str] = set()
    lasts: set[str] = set()
    for module in pkgutil.iter_modules(faker.providers.person.__path__):
        provider = importlib.import_module(f"faker.providers.person.{module.name}").Provider
        firsts |= _words(provider, "first_names") | _words(provider, "first_name_")
        lasts |= _words(provider, "last_names")
    _write("first_names.txt", firsts)
    _write("last_names.txt", lasts)
    countries = faker.providers.date_time.Provider.countries
    _write("countries.txt", {country.name.lower() for country in countries})
    codes = {c.alpha_2_code for c in countries} | {c.alpha_3_code for c in countries}
    _write("country_codes.txt", codes)


def _words(provider: Any, prefix: str) -> set[str]:
    found: set[str] = set()
    for name in dir(provider):
        value = getattr(provider, name)
        if name.startswith(prefix) and not callable(value) and not isinstance(value, property):
            found.update(str(word).strip().lower() for word in value)
    return {word for word in found if 2 <= len(word) <= 30 and not any(map(str.isdigit, word))}


def _write(name: str, words: set[str]) -> None:
    (FOLDER / name).write_text("\n".join(sorted(words)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
