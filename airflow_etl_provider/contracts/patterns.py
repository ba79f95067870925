"""Named patterns for the rule `matches`, and what a regular expression of one's own may hold.

The syntax is RE2's, which every engine here understands: no look-around, no back-references. A
pattern describes the whole value.
"""

from __future__ import annotations

import re
import warnings

__all__ = ["PATTERNS", "regex_of"]

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_DATE = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_H16 = r"[0-9A-Fa-f]{1,4}"

_IPV6 = "|".join(
    [
        rf"(?:{_H16}:){{7}}{_H16}",
        rf"(?:{_H16}:){{1,7}}:",
        *(rf"(?:{_H16}:){{1,{7 - n}}}(?::{_H16}){{1,{n}}}" for n in range(1, 7)),
        rf":(?:(?::{_H16}){{1,7}}|:)",
        rf"(?:::(?:[Ff]{{4}}:)?|(?:{_H16}:){{6}}){_OCTET}(?:\.{_OCTET}){{3}}",
    ]
)

PATTERNS: dict[str, str] = {
    "email": (
        r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
        rf"@{_LABEL}(?:\.{_LABEL})+"
    ),
    "url": (
        rf"[Hh][Tt][Tt][Pp][Ss]?://(?:[^\s/?#@]+@)?(?:{_HOST}|\[[0-9A-Fa-f:.]+\])"
        r"(?::[0-9]{1,5})?(?:[/?#]\S*)?"
    ),
    "hostname": _HOST,
    "ipv4": rf"{_OCTET}(?:\.{_OCTET}){{3}}",
    "ipv6": _IPV6,
    "uuid": r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",
    "iso_date": _DATE,
    "iso_time": _TIME,
    "iso_timestamp": rf"{_DATE}[T ]{_TIME}(?:Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])?",
    "iso_country": r"[A-Z]{2}",
    "iso_currency": r"[A-Z]{3}",
    "phone_e164": r"\+[1-9][0-9]{1,14}",
    "iban": r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}",
    "digits": r"[0-9]+",
    "letters": r"\pL+",
    "alphanumeric": r"[\pL\pN]+",
    "slug": r"[a-z0-9]+(?:-[a-z0-9]+)*",
    "hex": r"[0-9A-Fa-f]+",
    "md5": r"[0-9A-Fa-f]{32}",
    "sha256": r"[0-9A-Fa-f]{64}",
    "mac_address": r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}",
}
"""Shapes, not truths: `iso_country` says two capital letters, `email` that it looks like one."""

_UNKNOWN_TO_RE2 = re.compile(
    r"""\\\\                          # an escaped backslash, to be skipped
      | \\[QE]                        # quoting, skipped
      | (?P<back>\\[1-9]|\(\?P=)      # back-reference
      | (?P<look>\(\?<?[=!])          # look-around
      | (?P<atomic>\(\?>)             # atomic group
      | (?P<conditional>\(\?\()       # conditional group
      """,
    re.VERBOSE,
)

_WORDS = {
    "back": "a back-reference",
    "look": "a look-ahead or look-behind",
    "atomic": "an atomic group",
    "conditional": "a conditional group",
}

_BROKEN = (
    "missing )",
    "unbalanced",
    "unterminated",
    "nothing to repeat",
    "multiple repeat",
    "min repeat greater",
    "bad character range",
)


def regex_of(pattern: str) -> str:
    """Give the regular expression that a name or an expression stands for.

    :raises ValueError: it is neither a known name nor a regular expression that every engine has.
    """
    if pattern in PATTERNS:
        return PATTERNS[pattern]
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", pattern):
        from airflow_etl_provider.contracts.problem import did_you_mean

        raise ValueError(
            f"no pattern is named {pattern!r}{did_you_mean(pattern, PATTERNS) or '.'} Named: "
            f"{', '.join(PATTERNS)}; anything but a single word is a regular expression"
        )
    for match in _UNKNOWN_TO_RE2.finditer(pattern):
        if match.lastgroup is not None:
            raise ValueError(
                f"the regular expression holds {_WORDS[match.lastgroup]} (at character "
                f"{match.start() + 1}), which RE2 does not have"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(_for_python(pattern))
    except re.error as error:
        # What RE2 has and Python has not must not be refused: only what is broken in both.
        if error.msg.startswith(_BROKEN):
            where = "" if error.pos is None else f" at character {error.pos + 1}"
            raise ValueError(f"the regular expression is broken: {error.msg}{where}") from None
    return pattern


def _for_python(pattern: str) -> str:
    """Replace what only RE2 knows by something as long that Python knows."""
    return re.sub(
        r"\\\\|\\[pP]\{\^?\w+\}|\\[pP]\w|\\[zC]",
        lambda m: m[0] if m[0] == "\\\\" else r"\w" + " " * (len(m[0]) - 2),
        pattern,
    )
