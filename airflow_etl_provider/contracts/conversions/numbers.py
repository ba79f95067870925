"""Conversions of numbers and of truth values."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from airflow_etl_provider.contracts.conversions.base import (
    BOOL,
    FLOAT64,
    INT64,
    NUMBERS,
    Conversion,
    Example,
    Number,
    Texts,
)
from airflow_etl_provider.contracts.types import MAX_PRECISION, Kind, LogicalType
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "ParseBool",
    "ParseDecimal",
    "ParseFloat",
    "ParseInt",
    "Percent",
    "Round",
    "Scale",
]

_TEXT: frozenset[Kind] = frozenset(("string",))

WIDE = LogicalType("decimal", precision=MAX_PRECISION, scale=12)
"""For a decimal on the way to something else: 26 digits before and 12 after the point."""


class _ParseNumber(Conversion):
    """Text that a person or a program wrote as a number."""

    takes: ClassVar[frozenset[Kind] | None] = _TEXT

    @property
    def fallible(self) -> bool:
        return True


class ParseInt(_ParseNumber):
    """Read a whole number; surrounding blanks, a sign and leading zeros are allowed.

    :param thousands: separator of groups of three, allowed and never needed. A space stands for
        every kind of space.
    """

    name: ClassVar[str] = "parse_int"
    primary: ClassVar[str | None] = "thousands"
    example: ClassVar[Example] = Example(
        {"parse_int": {"thousands": ","}}, ("string",), ("1,234",), "int64", 1234
    )

    thousands: str | None = Field(default=None, min_length=1, max_length=1)

    @field_validator("thousands")
    @classmethod
    def _no_digit(cls, value: str | None) -> str | None:
        return _separator(value)

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return target if target.is_integer else INT64


class ParseDecimal(_ParseNumber):
    """Read an exact number; what the type can't hold is a reject, as are misplaced separators.

    :param decimal: the decimal separator.
    :param thousands: separator of groups of three, allowed and never needed. A space stands for
        every kind of space, an apostrophe for both kinds.
    :param currency: signs or codes that may stand before or after the number.
    :param parentheses: `(12.50)` is -12.50, as accountants write it.
    :param trailing_minus: `12.50-` is -12.50.
    :param percent: every value ends with % and is divided by 100.
    :param round: round to the digits of the type, half away from zero, instead of rejecting.
    """

    name: ClassVar[str] = "parse_decimal"
    primary: ClassVar[str | None] = "decimal"
    example: ClassVar[Example] = Example(
        {"parse_decimal": {"decimal": ",", "thousands": "."}},
        ("string",),
        ("1.234,5",),
        "decimal(12,2)",
        Decimal("1234.50"),
    )

    decimal: str = Field(default=".", min_length=1, max_length=1)
    thousands: str | None = Field(default=None, min_length=1, max_length=1)
    currency: Texts = ()
    parentheses: bool = False
    trailing_minus: bool = False
    percent: bool = False
    round: bool = False

    @field_validator("decimal", "thousands")
    @classmethod
    def _no_digit(cls, value: str | None) -> str | None:
        return _separator(value)

    @field_validator("currency")
    @classmethod
    def _no_number(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            if not word.strip() or any(c.isdigit() or c in "+-()%.," for c in word):
                raise ValueError("has a sign that is empty or looks like a part of a number")
        return value

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands are the same separator")
        return self

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return target if target.kind == "decimal" else WIDE


class ParseFloat(_ParseNumber):
    """Read a floating-point number, exponents included; infinite and NaN are rejects.

    :param decimal: the decimal separator.
    :param thousands: separator of groups of three, allowed and never needed.
    """

    name: ClassVar[str] = "parse_float"
    primary: ClassVar[str | None] = "decimal"
    example: ClassVar[Example] = Example(
        "parse_float", ("string",), ("-1.5e3",), "float64", -1500.0
    )

    decimal: str = Field(default=".", min_length=1, max_length=1)
    thousands: str | None = Field(default=None, min_length=1, max_length=1)

    @field_validator("decimal", "thousands")
    @classmethod
    def _no_digit(cls, value: str | None) -> str | None:
        return _separator(value)

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands are the same separator")
        return self

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return target if target.kind == "float32" else FLOAT64


class ParseBool(_ParseNumber):
    """Read true or false; case and surrounding blanks don't count, any other word is a reject.

    :param true_words: the words for true.
    :param false_words: the words for false.
    """

    name: ClassVar[str] = "parse_bool"
    example: ClassVar[Example] = Example(
        {"parse_bool": {"true_words": ["ja"], "false_words": ["nein"]}},
        ("string",),
        ("Nein",),
        target="bool",
        result=False,
    )

    true_words: Texts = ("true", "t", "yes", "y", "on", "1")
    false_words: Texts = ("false", "f", "no", "n", "off", "0")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        true, false = (
            {word.strip().lower() for word in words}
            for words in (self.true_words, self.false_words)
        )
        if not true or not false:
            raise ValueError("needs at least one word for true and one for false")
        if both := true & false:
            raise ValueError(f"has {min(both)!r} among the words for true and for false")
        return self

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return BOOL


class Round(Conversion):
    """Round a number; the type stays.

    :param digits: after the decimal point; -2 rounds to hundreds.
    :param mode: half_up rounds half away from zero, half_even to the even neighbour; down cuts off
        towards zero; floor and ceiling go to the next below or above.
    """

    name: ClassVar[str] = "round"
    primary: ClassVar[str | None] = "digits"
    takes: ClassVar[frozenset[Kind] | None] = NUMBERS
    example: ClassVar[Example] = Example(
        {"round": 1}, ("decimal(6,2)",), (Decimal("1.25"),), "decimal(6,2)", Decimal("1.30")
    )

    digits: int = Field(default=0, ge=-30, le=30)
    mode: Literal["half_up", "half_even", "down", "floor", "ceiling"] = "half_up"

    @property
    def fallible(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return inputs[0]


class Scale(Conversion):
    """Multiply a number by a constant, exactly where the number is exact."""

    name: ClassVar[str] = "scale"
    primary: ClassVar[str | None] = "factor"
    takes: ClassVar[frozenset[Kind] | None] = NUMBERS
    example: ClassVar[Example] = Example(
        {"scale": 0.01}, ("int64",), (1999,), "decimal(12,2)", Decimal("19.99")
    )

    factor: Number

    @property
    def fallible(self) -> bool:
        return True

    @property
    def factor_type(self) -> LogicalType:
        """The decimal type that holds the factor and no more."""
        _, digits, exponent = self.factor.normalize().as_tuple()
        scale = max(-int(exponent), 0)
        whole = max(len(digits) + int(exponent), 1)
        return LogicalType("decimal", precision=whole + scale, scale=scale)

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        given, by = inputs[0], self.factor_type
        if given.kind in ("float32", "float64"):
            return FLOAT64
        scale = (given.scale or 0) + (by.scale or 0)
        if scale > 30:
            raise SpecificationError(
                f"scale by {self.factor} of {given} needs {scale} digits after the point; "
                "use round first."
            )
        if scale == 0 and given.is_integer:
            return INT64
        return LogicalType("decimal", precision=MAX_PRECISION, scale=scale)


class Percent(Conversion):
    """Make a share of a value in percent: 12.5 or "12.5 %" is 0.125; the sign may be missing.

    :param decimal: the decimal separator of texts.
    """

    name: ClassVar[str] = "percent"
    primary: ClassVar[str | None] = "decimal"
    takes: ClassVar[frozenset[Kind] | None] = NUMBERS | _TEXT
    example: ClassVar[Example] = Example(
        "percent", ("string",), ("12.5 %",), "decimal(5,4)", Decimal("0.1250")
    )

    decimal: str = Field(default=".", min_length=1, max_length=1)

    @field_validator("decimal")
    @classmethod
    def _no_digit(cls, value: str | None) -> str | None:
        return _separator(value)

    @property
    def fallible(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        if inputs[0].kind in ("float32", "float64"):
            return FLOAT64
        return target if target.kind == "decimal" else WIDE


def _separator(value: str | None) -> str | None:
    if value is not None and (value.isdigit() or value in "+-()%eE\x00"):
        raise ValueError(f"can't be {value!r}, which is a part of numbers")
    return value
