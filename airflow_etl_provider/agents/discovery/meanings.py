"""What columns mean, and which of them say something of a person."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_etl_provider.agents.discovery import checks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_etl_provider.contracts.types import LogicalType

__all__ = ["Column", "Meaning", "find_meanings"]

_TEXT = frozenset({"string"})
_WRITTEN = frozenset({"string", "json", "struct", "array"})
_DATES = frozenset({"date", "timestamp", "timestamptz"})
_INTEGERS = frozenset({"int16", "int32", "int64"})
_NUMBERS = _INTEGERS | {"decimal", "float32", "float64"}
_ANY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of a column before its meaning is.

    :param values: distinct texts with how often each stands there, no nulls in any disguise.
    """

    name: str
    type: LogicalType
    values: Mapping[str, int]
    distinct_share: float
    sequential: bool = False


@dataclass(frozen=True, slots=True)
class Meaning:
    """A semantic type, and how sure that is."""

    semantic_type: str
    personal: bool
    confidence: float


@dataclass(frozen=True, slots=True)
class _Kind:
    """One semantic type, as it is recognised.

    :param personal: `always`; `in_company` of a column that names or reaches a person; `never`.
    :param named: of the column's name in words: `birth date`.
    :param check: of one value; None where the name alone tells.
    :param alone: the share of values that is enough without the name; None where it never is.
    :param strict: the check without the name, where it must be another one.
    :param helped: the share that is enough with the name.
    :param types: logical types that it may have; empty for all.
    """

    name: str
    personal: Literal["always", "in_company", "never"]
    named: str
    check: Callable[[str], bool] | None = None
    alone: float | None = None
    helped: float = 0.3
    types: frozenset[str] = _ANY
    strict: Callable[[str], bool] | None = None
    sure: float = 0.95


_KINDS = (
    _Kind("email", "always", r"e ?mails?( address)?|mail", checks.is_email, 0.7),
    _Kind("credit_card", "always", r"(credit|debit|cc|card)( card)? ?(number|no|num)|cc|pan",
          checks.is_card, 0.8),
    _Kind("iban", "always", r"iban|bank account|account number", checks.is_iban, 0.8, 0.5),
    _Kind("secret", "always", r"(api|access|secret|private) ?(key|token)|token|credentials?",
          checks.is_secret, 0.5, 0.3),
    _Kind("ip_address", "always", r"ip( ?(v4|v6))?( address)?|(client|remote|source) ip",
          checks.is_ip, 0.9),
    _Kind("url", "never", r"url|uri|link|website|homepage", checks.is_url, 0.8),
    _Kind("domain", "never", r"domain|host ?name|site|website", checks.is_domain, 0.9, 0.6),
    _Kind("national_id", "always",
          r"ssn|social security( number)?|(national|person|personal|tax|citizen)"
          r"( ?id.*| number| no)|nino|passport.*|dni|nie|cpf|bsn|nif|pesel|personnummer"
          r"|steuer ?(id|nummer)"
          r"|driver'?s? licen[cs]e.*", checks.is_national_id, 0.6, 0.0),
    _Kind("password", "always", r"(user )?pass(word|wd|phrase|code)?( hash)?|pwd|passwort"),
    _Kind("username", "always", r"user ?name|login( name)?|nick ?name|screen name|account name",
          types=_TEXT),
    _Kind("first_name", "always",
          r"(first|given|fore|christian|middle) ?names?|fname|vorname|prénom|prenom|nombre|"
          r"voornaam",
          checks.is_first_name, 0.4, 0.0, types=_TEXT,
          strict=checks.is_written_first_name),
    _Kind("last_name", "always",
          r"(last|sur|family|maiden) ?names?|lname|nachname|nom( de famille)?|apellidos?|"
          r"achternaam|mothers? maiden( name)?|cognome",
          checks.is_last_name, 0.35, 0.0, types=_TEXT,
          strict=checks.is_written_last_name),
    _Kind("full_name", "always",
          r"(full|person|customer|client|patient|employee|contact|passenger|member|guest|holder|cardholder|"
          r"student|teacher|author|recipient|sender|owner|display)( ?s)? ?name|full ?name",
          checks.is_full_name, 0.35, 0.0, types=_TEXT),
    _Kind("full_name", "always", r"names?|customer|person|employee|passenger|contact|owner|author",
          checks.is_full_name, 0.35, 0.2, types=_TEXT),
    _Kind("phone_country_code", "never",
          r"(tele)?(phone|tel) ?country ?code|(dial|dialling|calling)( ?code)?"),
    _Kind("phone", "always",
          r"((home|work|cell|mobile|office|contact|fax) ?)?((tele)?phone|tel|telefon|mobile|"
          r"cell|fax|handy|téléphone|teléfono)( ?(number|no|nr|num|1|2))?",
          checks.is_phone, 0.85, 0.3, strict=checks.is_written_phone),
    _Kind("street_address", "always",
          r"(street|postal|home|billing|shipping|mailing|delivery)? ?addr(ess)?( ?line)?"
          r"( ?[12])?|street|straße|strasse|adresse|dirección|adres|road",
          checks.is_address, 0.3, 0.1, types=_TEXT),
    _Kind("birth_date", "always",
          r"(date of )?birth( ?(date|day))?|dob|born( on)?|geburts(datum|tag)|fecha nacimiento"),
    _Kind("gender", "in_company", r"gender|sex|geschlecht|sexe|sexo|genre", checks.is_gender, 0.95,
          0.5),
    _Kind("title", "never", r"title|salutation|honorific|anrede", checks.is_title, 0.9, 0.6,
          types=_TEXT),
    _Kind("card_type", "never", r"(cc|card) ?type|card ?(brand|network)", checks.is_card_type, 0.8,
          0.5),
    _Kind("card_expiry", "always", r"(cc|card)? ?(expir(y|es|ation)|exp)( ?date)?",
          checks.is_card_expiry, None, 0.8),
    _Kind("cvv", "always", r"cvv2?|cvc2?|(card )?security code"),
    _Kind("country_code", "never", r"country( ?code)?|land(code)?", checks.is_country_code, 0.95,
          0.8, types=_TEXT),
    _Kind("country", "never", r"country( ?(full|name))?|nation|land|pays|país", checks.is_country,
          0.7, 0.3, types=_TEXT),
    _Kind("state", "never", r"state( ?(full|name|code))?|province|region|county|bundesland",
          types=_TEXT),
    _Kind("city", "in_company", r"city( ?name)?|town|municipality|stadt|ort|ville|ciudad|plaats",
          types=_TEXT),
    _Kind("postal_code", "in_company", r"(zip|postal|post)( ?code)?|zip ?\d?|plz|postleitzahl|cp",
          checks.is_postal_code, None, 0.0),
    _Kind("latitude", "in_company", r"lat(itude)?", checks.is_coordinate, None, 0.9,
          types=_NUMBERS),
    _Kind("longitude", "in_company", r"lon(g|gitude)?|lng", checks.is_coordinate, None, 0.9,
          types=_NUMBERS),
    _Kind("age", "in_company", r"age|alter|edad|âge|leeftijd", types=_INTEGERS),
    _Kind("middle_initial", "never", r"middle ?initial|mi|initials?"),
    _Kind("occupation", "never", r"occupation|job( ?title)?|profession|beruf|position"),
    _Kind("company", "never", r"company( ?name)?|organi[sz]ation|employer|firma|vendor|supplier",
          checks.is_company, 0.3, 0.0, types=_TEXT),
    _Kind("name_set", "never", r"name ?set"),
)  # fmt: skip

_PEOPLE = frozenset({"email", "phone", "first_name", "last_name", "full_name", "national_id"})
"""A column of these says that the rows are about people."""

_NAMES = frozenset({"first_name", "last_name", "full_name"})
_ENOUGH_TO_LOOK_AT = 2
_NAMES_TO_LOOK_AT = 4
"""Words that are names by chance are soon found among two or three."""

_MOST_VALUES = 2000
_GLANCE = 100
"""Of a column whose first values are none of a kind, no more are looked at."""

_MENTIONED = 0.01
"""The share of texts with personal data in them that makes the column personal."""

_MIXED = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[!-~]{8,64}")
_USER = re.compile(r"[A-Z]?[a-z]{2,}\d{0,4}")
_FIRST_BIRTH, _LAST_BIRTH = 1900, 2020


def find_meanings(columns: Sequence[Column]) -> list[Meaning | None]:
    """Say of each column what it means, by its name, its values and its neighbours.

    What is no more than a hint about a person (a city, an age) is personal where another column
    names or reaches one.
    """
    found = [_by_itself(column) for column in columns]
    about_people = any(
        one is not None and one.semantic_type in _PEOPLE and one.confidence >= 0.5 for one in found
    )
    if about_people:
        known = {one.semantic_type for one in found if one is not None}
        found = [
            one if one is not None else _among_people(column, known)
            for column, one in zip(columns, found, strict=True)
        ]
    return [_judged(one, about_people=about_people) for one in found]


def _judged(meaning: Meaning | None, *, about_people: bool) -> Meaning | None:
    if meaning is None:
        return None
    how = next((k.personal for k in _KINDS if k.name == meaning.semantic_type), None)
    personal = meaning.personal or how == "always" or (how == "in_company" and about_people)
    return Meaning(meaning.semantic_type, personal, meaning.confidence)


def _by_itself(column: Column) -> Meaning | None:
    words = _words(column.name)
    best: Meaning | None = None
    for kind in _KINDS:
        confidence = _confidence(kind, column, words)
        if confidence > (best.confidence if best is not None else 0.0):
            best = Meaning(kind.name, kind.personal == "always", confidence)
    if best is not None:
        return best
    if column.sequential and column.type.kind in _INTEGERS:
        return Meaning("row_id", personal=False, confidence=0.8)
    if (
        column.type.kind in _WRITTEN
        and _share(column, checks.holds_personal_data, rare=True) >= _MENTIONED
    ):
        return Meaning("free_text", personal=True, confidence=0.7)
    return None


def _confidence(kind: _Kind, column: Column, words: str) -> float:
    if kind.types and column.type.kind not in kind.types:
        return 0.0
    named = re.fullmatch(kind.named, words) is not None
    if kind.check is None:
        return kind.sure - 0.15 if named else 0.0
    if not named and (kind.alone is None or column.type.kind in _DATES):
        return 0.0
    share = _share(column, kind.check if named else kind.strict or kind.check)
    if named and share >= kind.helped:
        return min(kind.sure, 0.75 + 0.2 * share)
    least = _NAMES_TO_LOOK_AT if kind.strict and kind.name in _NAMES else _ENOUGH_TO_LOOK_AT
    if kind.alone is not None and share >= kind.alone and len(column.values) >= least:
        # A dictionary holds a part of all names: half of them found is nearly all.
        return min(0.5 + 0.5 * share, 0.95) if kind.name in _NAMES else 0.6 + 0.35 * share
    return 0.0


def _among_people(column: Column, known: set[str]) -> Meaning | None:
    """What a column without a telling name is, where its rows are about people."""
    values, kind = column.values, column.type.kind
    if len(values) < _ENOUGH_TO_LOOK_AT:
        return None
    if kind == "date" and "birth_date" not in known and _are_births(values):
        return Meaning("birth_date", personal=True, confidence=0.6)
    if "credit_card" in known and all(len(t) == 3 and t.isdigit() for t in values):
        return Meaning("cvv", personal=True, confidence=0.6)
    if "credit_card" in known and _share(column, checks.is_card_expiry) >= 0.9:
        return Meaning("card_expiry", personal=True, confidence=0.7)
    if kind in _INTEGERS and _are_ages(values):
        return Meaning("age", personal=True, confidence=0.5)
    if kind not in _TEXT:
        return None
    if _share(column, _MIXED.fullmatch) >= 0.5 and _unlike(column):
        return Meaning("password", personal=True, confidence=0.6)
    if _unlike(column) and _share(column, _USER.fullmatch) >= 0.8 and _some_with_digits(values):
        return Meaning("username", personal=True, confidence=0.55)
    if "street_address" in known and _share(column, checks.is_postal_code) >= 0.7:
        return Meaning("postal_code", personal=True, confidence=0.6)
    return None


def _are_births(values: Mapping[str, int]) -> bool:
    years = {int(year) for text in values for year in re.findall(r"(?<!\d)\d{4}(?!\d)", text)}
    return (
        len(years) >= 20 and min(years) >= _FIRST_BIRTH and max(years) <= _LAST_BIRTH
        and max(years) - min(years) >= 30
    )  # fmt: skip


def _are_ages(values: Mapping[str, int]) -> bool:
    numbers = [int(text) for text in values if re.fullmatch(r"\d{1,3}", text)]
    return len(numbers) == len(values) >= 20 and min(numbers) >= 10 and 50 <= max(numbers) <= 110


def _unlike(column: Column) -> bool:
    """Whether (nearly) every value is another one, and their lengths differ."""
    return column.distinct_share >= 0.9 and len({len(text) for text in column.values}) >= 3


def _some_with_digits(values: Mapping[str, int]) -> bool:
    with_digits = sum(any(map(str.isdigit, text)) for text in values)
    return 0.1 * len(values) <= with_digits <= 0.9 * len(values)


def _share(column: Column, check: Callable[[str], object], *, rare: bool = False) -> float:
    """The share of values that pass, each value as often as it stands there.

    :param rare: go on where none of the first values passes: a few among many count.
    """
    passed = total = 0
    for at, (text, count) in enumerate(column.values.items()):
        if at == _MOST_VALUES or (at == _GLANCE and not passed and not rare):
            break
        total += count
        passed += count if check(text.strip()) else 0
    return passed / total if total else 0.0


def _words(name: str) -> str:
    """`customerEmail_Address` in words: `customer email address`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return " ".join(re.sub(r"[^\w]|_", " ", apart).lower().split())
