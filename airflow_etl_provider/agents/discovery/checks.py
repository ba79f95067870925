"""Checks of single values: patterns, checksums and dictionaries behind the semantic types."""

from __future__ import annotations

import ipaddress
import re

from airflow_etl_provider.agents.discovery.dictionaries import words
from airflow_etl_provider.contracts.patterns import PATTERNS

__all__ = [
    "holds_personal_data",
    "is_address",
    "is_card",
    "is_card_expiry",
    "is_card_type",
    "is_company",
    "is_coordinate",
    "is_country",
    "is_country_code",
    "is_domain",
    "is_email",
    "is_first_name",
    "is_full_name",
    "is_gender",
    "is_iban",
    "is_ip",
    "is_last_name",
    "is_national_id",
    "is_phone",
    "is_postal_code",
    "is_secret",
    "is_title",
    "is_url",
    "is_written_first_name",
    "is_written_last_name",
    "is_written_phone",
    "luhn",
]

_EMAIL = re.compile(PATTERNS["email"])
_URL = re.compile(PATTERNS["url"])
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}")
_CARD = re.compile(r"[2-6]\d{3}(?:[ -]?\d){9,15}")
_DAMAGED_CARD = re.compile(r"[3-6]\.\d{3,6}E\+1[45]")
_IBAN = re.compile(r"[A-Z]{2}\d{2} ?(?:[A-Z0-9] ?){11,30}")
_PHONE = re.compile(r"(?:\+|00)?[(]?\d[\d ().\-/]{4,20}\d(?: ?(?:x|ext\.?) ?\d{1,6})?")
_DECIMAL = re.compile(r"\d*\.\d+|\d{1,3}(?:[. ]\d{3})+")
_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:\d{4}|\d{2})")
_EXPIRY = re.compile(r"(?:0?[1-9]|1[0-2]) ?[/-] ?(?:20)?\d{2}|[A-Z][a-z]{2}-\d{2}")
_POSTAL = re.compile(
    r"\d{4,6}|\d{3}[- ]\d{4}|\d{2}-\d{3}|\d{3} \d{2}|\d{4}-\d{3}|\d{5}-\d{3,4}|\d{4} ?[A-Z]{2}"
    r"|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d"
)
_SSN = re.compile(r"(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}")
_DNI = re.compile(r"[XYZ]?\d{7,8}-?([A-Z])")
_NINO = re.compile(r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]")
_NORDIC = re.compile(r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d{2}[-+A]\d{3}[0-9A-Y]")
_SWEDISH = re.compile(r"(?:\d{2})?\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[-+]\d{4}")
_STREET = re.compile(
    r"\b(?:street|str|st|avenue|ave|av|road|rd|drive|dr|lane|ln|boulevard|blvd|court|ct|place|pl|way|"
    r"square|sq|terrace|crescent|close|circle|highway|hwy|parkway|box|rue|chemin|allée|impasse|via|"
    r"viale|piazza|corso|calle|avenida|avda|plaza|paseo|c/|rua|travessa|ul|ulica|aleja|al|"
    r"ulice|náměstí|utca|út|tér|gata|gatan|vägen|gade|vej|vei|veien|katu|tie)\b|"
    r"(?:straße|strasse|str\.|weg|platz|gasse|allee|ring|straat|laan|plein|dijk|gracht|vägen|gatan|"
    r"gata|gade|vej|vegen|veien|katu|utca|tie)\b",
    re.IGNORECASE,
)
_COMPANY = re.compile(
    r"\b(?:inc|llc|ltd|limited|gmbh|ag|corp|corporation|co|company|plc|s\.?a|s\.?r\.?l|bv|b\.v|oy|"
    r"ab|a/s|kg|group|holdings?|partners|& sons|bros)\b\.?",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|"
    r"sk-[A-Za-z0-9_-]{20,}|xox[abp]-[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----.*|"
    r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}",
    re.DOTALL,
)
_IN_TEXT = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?<![\d.])\+\d[\d ().-]{7,17}\d|\b\d{3}-\d{2}-\d{4}\b"
)
_CARD_IN_TEXT = re.compile(r"\b[3-6]\d{3}(?:[ -]?\d){9,15}\b")


def luhn(digits: str) -> bool:
    """Check the digit at the end, as card numbers have it (ISO/IEC 7812-1)."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + at % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_email(text: str) -> bool:
    """An e-mail address."""
    return _EMAIL.fullmatch(text) is not None


def is_url(text: str) -> bool:
    """A web address."""
    return _URL.fullmatch(text) is not None


def is_domain(text: str) -> bool:
    """A name of the domain name system."""
    return _DOMAIN.fullmatch(text) is not None


def is_ip(text: str) -> bool:
    """An address of IPv4 or IPv6."""
    if not ("." in text or ":" in text) or len(text) > 45:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_card(text: str) -> bool:
    """A card number by its checksum, or one that a spreadsheet has made `5.54563E+15` of."""
    if _CARD.fullmatch(text):
        return luhn(re.sub("[ -]", "", text))
    return _DAMAGED_CARD.fullmatch(text) is not None


def is_card_expiry(text: str) -> bool:
    """Month and year: 03/27, 3-2027, or what a spreadsheet makes of it."""
    return _EXPIRY.fullmatch(text) is not None


def is_card_type(text: str) -> bool:
    """The name of a network of payment cards."""
    return text.lower() in words("card_types")


def is_iban(text: str) -> bool:
    """An account number by its checksum (ISO 13616)."""
    if not _IBAN.fullmatch(text):
        return False
    bare = text.replace(" ", "")
    return int("".join(str(int(c, 36)) for c in bare[4:] + bare[:4])) % 97 == 1


def is_phone(text: str) -> bool:
    """A telephone number, and neither a date nor a number with decimals."""
    if not _PHONE.fullmatch(text) or _DECIMAL.fullmatch(text) or _DATE.fullmatch(text):
        return False
    if _SSN.fullmatch(text) or (text.count(".") == 3 and is_ip(text)):
        return False
    digits = sum(map(str.isdigit, text))
    return 6 <= digits <= 15


def is_written_phone(text: str) -> bool:
    """A telephone number that is written as one: digits alone may be anything."""
    return is_phone(text) and re.search(r"[+() ./-]", text) is not None


def is_national_id(text: str) -> bool:
    """Numbers of the United States, Spain, the United Kingdom and the Nordic countries."""
    dni = _DNI.fullmatch(text)
    if dni is not None:
        number = text[:-1].rstrip("-").translate(str.maketrans("XYZ", "012"))
        return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == dni[1]
    return any(one.fullmatch(text) for one in (_SSN, _NINO, _NORDIC, _SWEDISH))


def is_postal_code(text: str) -> bool:
    """A postal code of one of some forty countries, by its shape."""
    return _POSTAL.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """A house number and a word of streets, in the order of any country."""
    return bool(re.search(r"\d", text) and " " in text and _STREET.search(text))


def is_company(text: str) -> bool:
    """A name with a legal form or the like in it."""
    return " " in text and _COMPANY.search(text) is not None


def is_secret(text: str) -> bool:
    """Keys, tokens and password hashes that say by their beginning what they are."""
    return _SECRET.fullmatch(text) is not None


def is_gender(text: str) -> bool:
    """A word or letter for a gender, in several languages."""
    return text.lower() in words("genders")


def is_title(text: str) -> bool:
    """A salutation or an academic title."""
    return text.lower().rstrip(".") in words("titles")


def is_country(text: str) -> bool:
    """The English name of a country."""
    return text.lower() in words("countries")


def is_country_code(text: str) -> bool:
    """A code of ISO 3166-1, in capitals."""
    return text in words("country_codes")


def is_first_name(text: str) -> bool:
    """A given name that the dictionary has."""
    return text.lower() in words("first_names")


def is_written_first_name(text: str) -> bool:
    """A given name with a capital: in lower case it may be any word."""
    return not text.islower() and is_first_name(text)


def is_written_last_name(text: str) -> bool:
    """A family name with a capital."""
    return not text.islower() and is_last_name(text)


def is_last_name(text: str) -> bool:
    """A family name that the dictionary has."""
    return text.lower() in words("last_names")


def is_full_name(text: str) -> bool:
    """A first and a last name, in either order."""
    parts = text.lower().replace(",", " ").split()
    if not 2 <= len(parts) <= 5:
        return False
    firsts, lasts = words("first_names"), words("last_names")
    begin, end = parts[0], parts[-1]
    return (begin in firsts and end in lasts) or (begin in lasts and end in firsts)


def is_coordinate(text: str) -> bool:
    """A number that may be degrees."""
    try:
        return -180 <= float(text) <= 180
    except ValueError:
        return False


def holds_personal_data(text: str) -> bool:
    """Whether a longer text mentions an address, a phone number or a card."""
    if len(text) < 20 or " " not in text:
        return False
    if _IN_TEXT.search(text):
        return True
    found = _CARD_IN_TEXT.search(text)
    return found is not None and luhn(re.sub("[ -]", "", found[0]))
