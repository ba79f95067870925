"""Conversions about values as a whole: taking, replacing, choosing, casting, computing."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from airflow_etl_provider.contracts.conversions.base import (
    BOOL,
    FLOAT64,
    INT64,
    STRING,
    Constant,
    Conversion,
    Example,
    Texts,
)
from airflow_etl_provider.contracts.conversions.casting import cast_refusal
from airflow_etl_provider.contracts.problem import found
from airflow_etl_provider.contracts.types import Kind, LogicalType
from airflow_etl_provider.exceptions import SpecificationError

__all__ = [
    "NULL_WORDS",
    "Cast",
    "Coalesce",
    "ConstantValue",
    "Default",
    "Identity",
    "MapValues",
    "NullIf",
    "NullWords",
    "Sql",
]

NULL_WORDS = ("", "NA", "N/A", "#N/A", "NULL", "NONE", "NIL", "NAN", "-", "--", "?", r"\N")
"""What exports write for nothing."""


class Identity(Conversion):
    """Take the value as it is."""

    name: ClassVar[str] = "identity"
    example: ClassVar[Example] = Example("identity", ("string",), (" a ",), "string", " a ")

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return inputs[0]


class Cast(Conversion):
    """Turn a value into the target's type if it is exactly such a value; anything else is a reject.

    :param to: the type to make, where it is not the target's (a step before others).
    :param round: round numbers to what the type holds, half away from zero, instead of rejecting.
    """

    name: ClassVar[str] = "cast"
    primary: ClassVar[str | None] = "to"
    example: ClassVar[Example] = Example("cast", ("string",), (" 42 ",), "int64", 42)

    to: LogicalType | None = None
    round: bool = False

    @property
    def fallible(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        wanted = self.to or target
        if refusal := cast_refusal(inputs[0], wanted):
            raise SpecificationError(f"{refusal}.")
        return wanted


class ConstantValue(Conversion):
    """Give the same value for every record; null is allowed."""

    name: ClassVar[str] = "constant"
    primary: ClassVar[str | None] = "value"
    min_inputs: ClassVar[int] = 0
    max_inputs: ClassVar[int | None] = None
    handles_null: ClassVar[bool] = True
    example: ClassVar[Example] = Example({"constant": "web"}, (), (), "string", "web")

    value: Constant

    @property
    def makes_null(self) -> bool:
        return self.value is None

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return target


def _some(value: object) -> object:
    if value is None or isinstance(value, dict | list | tuple):
        raise ValueError(f"found {found(value)}; expected text, a number, true or false")
    return value.isoformat() if hasattr(value, "isoformat") else value


class Default(Conversion):
    """Put a value where there is NULL."""

    name: ClassVar[str] = "default"
    primary: ClassVar[str | None] = "value"
    handles_null: ClassVar[bool] = True
    example: ClassVar[Example] = Example({"default": 0}, ("int64",), (None,), "int64", 0)

    value: Annotated[str | int | float | bool | Decimal, BeforeValidator(_some)]

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return inputs[0]


class Coalesce(Conversion):
    """Take the first input that is not NULL."""

    name: ClassVar[str] = "coalesce"
    max_inputs: ClassVar[int | None] = None
    handles_null: ClassVar[bool] = True
    example: ClassVar[Example] = Example(
        "coalesce", ("string", "string"), (None, "b"), "string", "b"
    )

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        kinds = {given.kind for given in inputs}
        if kinds == {"string"}:
            return STRING
        if len(set(inputs)) > 1:
            words = ", ".join(str(given) for given in inputs)
            raise SpecificationError(f"coalesce takes inputs of one type, not {words}.")
        return inputs[0]


class NullWords(Conversion):
    """Make NULL of the words that stand for nothing; surrounding blanks don't count.

    :param words: the words; by default what exports write: empty, NA, N/A, NULL, -, ...
    :param ignore_case: whether `n/a` is `N/A`.
    """

    name: ClassVar[str] = "null_words"
    primary: ClassVar[str | None] = "words"
    takes: ClassVar[frozenset[Kind] | None] = frozenset(("string",))
    example: ClassVar[Example] = Example("null_words", ("string",), (" n/a ",), "string", None)

    words: Texts = NULL_WORDS
    ignore_case: bool = True

    @property
    def makes_null(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return inputs[0]


class NullIf(Conversion):
    """Make NULL of one value (or of several, as a list), compared exactly."""

    name: ClassVar[str] = "nullif"
    primary: ClassVar[str | None] = "value"
    example: ClassVar[Example] = Example({"nullif": -1}, ("int64",), (-1,), "int64", None)

    value: Annotated[
        tuple[str | int | float | bool | Decimal, ...],
        BeforeValidator(
            lambda v: tuple(_some(x) for x in (v if isinstance(v, list | tuple) else (v,)))
        ),
        WithJsonSchema(
            {"anyOf": [{"type": ["string", "number", "boolean"]}, {"type": "array", "minItems": 1}]}
        ),
    ]

    @property
    def makes_null(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return inputs[0]


def _read_values(value: object) -> dict[str | int | bool, object]:
    if not isinstance(value, dict) or not value:
        # Pydantic collects ValueErrors alone.
        raise ValueError(f"found {found(value)}; expected values, each with what it becomes")
    for key, result in value.items():
        if not isinstance(key, str | int):
            raise ValueError(  # noqa: TRY004 - see above
                f"maps {found(key)}; expected text, a whole number, true or false"
            )
        if result is None:
            raise ValueError(f"maps {found(key)} to null; use `nullif` before map_values for that")
        if not isinstance(result, str | int | float | bool | Decimal):
            raise ValueError(  # noqa: TRY004 - see above
                f"maps {found(key)} to {found(result)}; expected one value"
            )
    return value


class MapValues(Conversion):
    """Look the value up in a list.

    :param values: what becomes what; all results are of one kind (text, numbers, true/false).
    :param otherwise: for a value not in the list: `reject`, `keep` (text to text), `null`, or
        `{value: ...}`.
    :param ignore_case: compare texts without case.
    """

    name: ClassVar[str] = "map_values"
    takes: ClassVar[frozenset[Kind] | None] = frozenset(
        ("string", "int16", "int32", "int64", "bool")
    )
    example: ClassVar[Example] = Example(
        {"map_values": {"values": {"M": "male", "F": "female"}}},
        ("string",),
        ("F",),
        "string",
        "female",
    )

    values: Annotated[
        dict[str | int | bool, str | int | float | bool | Decimal], BeforeValidator(_read_values)
    ]
    otherwise: Annotated[
        Literal["reject", "keep", "null"]
        | dict[Literal["value"], str | int | float | bool | Decimal],
        BeforeValidator(lambda v: "null" if v is None else v),
    ] = "reject"
    ignore_case: bool = False

    @property
    def fallible(self) -> bool:
        return self.otherwise == "reject"

    @property
    def makes_null(self) -> bool:
        return self.otherwise == "null"

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        given = inputs[0]
        wanted = str if given.is_text else bool if given.kind == "bool" else int
        for key in self.values:
            if type(key) is not wanted:
                raise SpecificationError(
                    f"map_values has the key {key!r}, and the values are {given}."
                )
        results = [*self.values.values()]
        if isinstance(self.otherwise, dict):
            results += self.otherwise.values()
        made = _kind_of(results)
        if self.otherwise == "keep" and not (given.is_text and made == STRING):
            raise SpecificationError("map_values keeps other values only from text to text.")
        return made


class Sql(Conversion):
    """Compute the value by an SQL expression over source fields; see the page on expressions.

    As a later step the expression sees one name, `value`: what the step before made.
    """

    name: ClassVar[str] = "sql"
    primary: ClassVar[str | None] = "sql"
    min_inputs: ClassVar[int] = 0
    max_inputs: ClassVar[int | None] = None
    handles_null: ClassVar[bool] = True
    example: ClassVar[Example] = Example({"sql": "value * 2"}, ("int64",), (21,), "int64", 42)

    sql: str = Field(min_length=1)

    @property
    def fallible(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return target


def _kind_of(values: list[str | int | float | bool | Decimal]) -> LogicalType:
    kinds = {type(value) for value in values}
    if kinds == {str}:
        return STRING
    if kinds == {bool}:
        return BOOL
    if kinds == {int}:
        return INT64
    if kinds <= {int, float, Decimal}:
        return FLOAT64
    raise SpecificationError(
        "map_values gives values of several kinds; make all of them text, numbers or true/false."
    )
