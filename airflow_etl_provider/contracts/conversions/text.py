"""Conversions of text."""

from __future__ import annotations

import string
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from airflow_etl_provider.contracts.conversions.base import (
    INT64,
    SCALARS,
    STRING,
    Conversion,
    Example,
)
from airflow_etl_provider.contracts.types import Kind, LogicalType
from airflow_etl_provider.exceptions import SpecificationError

__all__ = [
    "Concat",
    "Length",
    "Lower",
    "NormalizeSpace",
    "Pad",
    "RegexExtract",
    "RegexReplace",
    "Replace",
    "SplitPart",
    "StripAccents",
    "Substring",
    "Template",
    "Title",
    "Trim",
    "Upper",
]


class _OfText(Conversion):
    """Text in, text out."""

    takes: ClassVar[frozenset[Kind] | None] = frozenset(("string",))

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return STRING


class Trim(_OfText):
    """Take characters off the ends; by default every kind of blank, no-break spaces included.

    :param side: both, left or right.
    :param characters: which ones, instead of blanks.
    """

    name: ClassVar[str] = "trim"
    primary: ClassVar[str | None] = "side"
    example: ClassVar[Example] = Example("trim", ("string",), ("  a b ",), "string", "a b")

    side: Literal["both", "left", "right"] = "both"
    characters: str | None = Field(default=None, min_length=1)


class NormalizeSpace(_OfText):
    """Trim, and make one space of every run of blanks inside."""

    name: ClassVar[str] = "normalize_space"
    example: ClassVar[Example] = Example(
        "normalize_space", ("string",), (" a \t b ",), "string", "a b"
    )


class Upper(_OfText):
    """Make all letters capital."""

    name: ClassVar[str] = "upper"
    example: ClassVar[Example] = Example("upper", ("string",), ("añb",), "string", "AÑB")


class Lower(_OfText):
    """Make all letters small."""

    name: ClassVar[str] = "lower"
    example: ClassVar[Example] = Example("lower", ("string",), ("AÑB",), "string", "añb")


class Title(_OfText):
    """Make the first letter of each word capital and the others small."""

    name: ClassVar[str] = "title"
    example: ClassVar[Example] = Example(
        "title", ("string",), ("new YORK, o'neil",), "string", "New York, O'neil"
    )


class StripAccents(_OfText):
    """Take accents and other marks off letters; letters of their own, such as ß and ø, stay."""

    name: ClassVar[str] = "strip_accents"
    example: ClassVar[Example] = Example(
        "strip_accents", ("string",), ("Café Zürich",), "string", "Cafe Zurich"
    )


class Replace(_OfText):
    """Replace every occurrence of a text; `new` may be empty."""

    name: ClassVar[str] = "replace"
    example: ClassVar[Example] = Example(
        {"replace": {"old": "-", "new": ""}}, ("string",), ("12-34",), "string", "1234"
    )

    old: str = Field(min_length=1)
    new: str


class RegexExtract(_OfText):
    """Take what a regular expression (RE2 syntax) finds first.

    :param group: which group of it; 0 is all that matched.
    :param otherwise: for text without a match: `reject` or `null`. A group that took no part in the
        match gives empty text.
    """

    name: ClassVar[str] = "regex_extract"
    primary: ClassVar[str | None] = "pattern"
    example: ClassVar[Example] = Example(
        {"regex_extract": {"pattern": r"(\d+) pcs", "group": 1}},
        ("string",),
        ("about 12 pcs",),
        "string",
        "12",
    )

    pattern: str = Field(min_length=1)
    group: int = Field(default=0, ge=0, le=9)
    otherwise: Literal["reject", "null"] = "reject"

    @property
    def fallible(self) -> bool:
        return self.otherwise == "reject"

    @property
    def makes_null(self) -> bool:
        return self.otherwise == "null"


class RegexReplace(_OfText):
    r"""Replace every match of a regular expression (RE2 syntax); `\1` is its first group."""

    name: ClassVar[str] = "regex_replace"
    example: ClassVar[Example] = Example(
        {"regex_replace": {"pattern": r"[^0-9]", "replacement": ""}},
        ("string",),
        ("+49 (30) 12",),
        "string",
        "493012",
    )

    pattern: str = Field(min_length=1)
    replacement: str


class Substring(_OfText):
    """Take characters from `start` (the first is 1, the last -1), at most `length` of them."""

    name: ClassVar[str] = "substring"
    example: ClassVar[Example] = Example(
        {"substring": {"start": 2, "length": 3}}, ("string",), ("abcdef",), "string", "bcd"
    )

    start: int = Field(ge=-1_000_000_000, le=1_000_000_000)
    length: int | None = Field(default=None, ge=0, le=1_000_000_000)

    @property
    def begins(self) -> int:
        """Where it begins, which is never 0."""
        return self.start or 1


def _not_zero(value: int) -> int:
    if value == 0:
        raise ValueError("is 0; the first part is 1, the last -1")
    return value


class SplitPart(_OfText):
    """Take one part between separators: the first is 1, the last -1.

    :param otherwise: where there are fewer parts: `reject` or `null`.
    """

    name: ClassVar[str] = "split_part"
    example: ClassVar[Example] = Example(
        {"split_part": {"separator": "/", "part": 2}}, ("string",), ("a/b/c",), "string", "b"
    )

    separator: str = Field(min_length=1)
    part: Annotated[int, AfterValidator(_not_zero)] = Field(ge=-10_000, le=10_000)
    otherwise: Literal["reject", "null"] = "reject"

    @property
    def fallible(self) -> bool:
        return self.otherwise == "reject"

    @property
    def makes_null(self) -> bool:
        return self.otherwise == "null"


class Pad(_OfText):
    """Fill up to `length` characters; longer text stays as it is."""

    name: ClassVar[str] = "pad"
    primary: ClassVar[str | None] = "length"
    example: ClassVar[Example] = Example(
        {"pad": {"length": 5, "character": "0"}}, ("string",), ("42",), "string", "00042"
    )

    length: int = Field(ge=1, le=10_000)
    side: Literal["left", "right"] = "left"
    character: str = Field(default=" ", min_length=1, max_length=1)


class Concat(Conversion):
    """Join the texts of the inputs.

    :param skip_null: leave NULL inputs out; without it one NULL makes the whole NULL.
    """

    name: ClassVar[str] = "concat"
    primary: ClassVar[str | None] = "separator"
    max_inputs: ClassVar[int | None] = None
    takes: ClassVar[frozenset[Kind] | None] = SCALARS
    example: ClassVar[Example] = Example(
        {"concat": " "}, ("string", "string"), ("Ada", "Lovelace"), "string", "Ada Lovelace"
    )

    separator: str = ""
    skip_null: bool = False

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return STRING


def _read_template(text: str) -> str:
    for _, name, style, conversion in string.Formatter().parse(text):
        if name is not None and (not name.isascii() or not name.isdigit() or style or conversion):
            raise ValueError("has a placeholder that is no number; write {0} for the first input")
    return text


class Template(Conversion):
    """Put the texts of the inputs into a text: `{0}` is the first; `{{` is a brace.

    One NULL input makes the whole NULL.
    """

    name: ClassVar[str] = "template"
    primary: ClassVar[str | None] = "template"
    max_inputs: ClassVar[int | None] = None
    takes: ClassVar[frozenset[Kind] | None] = SCALARS
    example: ClassVar[Example] = Example(
        {"template": "{1}, {0}"},
        ("string", "string"),
        ("Ada", "Lovelace"),
        "string",
        "Lovelace, Ada",
    )

    template: Annotated[str, AfterValidator(_read_template)]

    @property
    def parts(self) -> tuple[str | int, ...]:
        """The template as texts and positions of inputs, in order."""
        parts: list[str | int] = []
        for text, name, _, _ in string.Formatter().parse(self.template):
            if text:
                parts.append(text)
            if name is not None:
                parts.append(int(name))
        return tuple(parts)

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        used = {part for part in self.parts if isinstance(part, int)}
        if used != set(range(len(inputs))):
            raise SpecificationError(
                f"template uses {_positions(used)}, and there are {len(inputs)} inputs, "
                f"{_positions(set(range(len(inputs))))}."
            )
        return STRING


class Length(Conversion):
    """Count the characters of a text (code points), or its bytes in UTF-8."""

    name: ClassVar[str] = "length"
    primary: ClassVar[str | None] = "unit"
    takes: ClassVar[frozenset[Kind] | None] = frozenset(("string",))
    example: ClassVar[Example] = Example("length", ("string",), ("Zoë",), "int64", 3)

    unit: Literal["characters", "bytes"] = "characters"

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return INT64


def _positions(numbers: set[int]) -> str:
    return ", ".join(f"{{{number}}}" for number in sorted(numbers)) or "none"
