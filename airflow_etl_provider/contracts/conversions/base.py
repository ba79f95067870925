"""What every conversion is: a word, typed parameters, the types it takes and the type it makes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic_core import core_schema

from airflow_etl_provider.contracts.problem import NotYetError, found
from airflow_etl_provider.contracts.spec import Spec
from airflow_etl_provider.contracts.types import Kind, LogicalType
from airflow_etl_provider.exceptions import NotSupportedYetError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BOOL",
    "BY_NAME",
    "FLOAT64",
    "INT64",
    "NUMBERS",
    "SCALARS",
    "STRING",
    "Constant",
    "Conversion",
    "Example",
    "Number",
    "Texts",
]

STRING = LogicalType("string")
INT64 = LogicalType("int64")
FLOAT64 = LogicalType("float64")
BOOL = LogicalType("bool")

NUMBERS: frozenset[Kind] = frozenset(("int16", "int32", "int64", "float32", "float64", "decimal"))
SCALARS: frozenset[Kind] = NUMBERS | frozenset(
    ("bool", "string", "date", "time", "timestamp", "timestamptz", "duration", "uuid", "json")
)
"""What has a text of its own."""

BY_NAME: dict[str, type[Conversion]] = {}
"""Every conversion by its word, in the order of DESIGN; filled as the classes are defined."""


def _read_constant(value: object) -> str | int | float | bool | Decimal | None:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Decimal | float):
        if not math.isfinite(value):
            raise ValueError("is infinite or no number")
        return value
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    raise ValueError(f"found {found(value)}; expected text, a number, true, false or null")


Constant = Annotated[
    str | int | float | bool | Decimal | None,
    PlainValidator(_read_constant),
    WithJsonSchema({"type": ["string", "number", "boolean", "null"]}),
]
"""One value or null. Dates are kept as text and become dates by the type they are put into."""


def _read_texts(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list | tuple) else (value,)
    for item in items:
        if not isinstance(item, str):
            quotes = "; write it in quotes" if isinstance(item, bool | int | float) else ""
            # Pydantic collects ValueErrors alone.
            raise ValueError(f"found {found(item)}; expected text{quotes}")  # noqa: TRY004
    return tuple(items)


Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(_read_texts),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""Texts in order; one may be written without a list."""


def _read_number(value: object) -> Decimal:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        # By way of the text: 0.01 means one hundredth, not the nearest binary fraction.
        number = Decimal(str(value))
    elif isinstance(value, str):
        try:
            number = Decimal(value.strip())
        except ArithmeticError:
            raise ValueError(f"found {found(value)}; expected a number") from None
    else:
        raise ValueError(f"found {found(value)}; expected a number")  # noqa: TRY004 - see above
    if not number.is_finite():
        raise ValueError("is infinite or no number")
    return number


Number = Annotated[Decimal, PlainValidator(_read_number), WithJsonSchema({"type": "number"})]
"""An exact number."""


@dataclass(frozen=True, slots=True)
class Example:
    """One line of the documentation; a test runs it. `result` None stands for a reject or NULL.

    :param spec: as written in a contract.
    :param source: types of the inputs.
    """

    spec: object
    source: tuple[str, ...]
    given: tuple[object, ...]
    target: str
    result: object


class Conversion(Spec):
    """One step from source values to a target value; `name` is the word used in contracts.

    NULL in is NULL out, except where `handles_null` says so. A value that does not convert becomes
    NULL; a backend takes "inputs not NULL, result NULL" of a `fallible` conversion as a reject.
    """

    name: ClassVar[str] = ""
    primary: ClassVar[str | None] = None
    """The parameter that may be written alone: `{constant: web}`."""
    min_inputs: ClassVar[int] = 1
    max_inputs: ClassVar[int | None] = 1
    takes: ClassVar[frozenset[Kind] | None] = None
    """Logical types of the inputs; None for any."""
    handles_null: ClassVar[bool] = False
    """Whether a NULL input may give a value."""
    example: ClassVar[Example]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls.name:
            BY_NAME[cls.name] = cls

    @property
    def fallible(self) -> bool:
        """Whether inputs that are not NULL can give NULL, which is a reject."""
        return False

    @property
    def makes_null(self) -> bool:
        """Whether it turns values into NULL on purpose."""
        return False

    def output_type(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        """Tell what it makes of `inputs`, on the way to a column of type `target`.

        What it makes may differ from the target; the engine then casts strictly.

        :raises SpecificationError: number or types of the inputs, or the target, don't fit.
        """
        self.check_inputs(inputs)
        return self.makes(inputs, target)

    def check_inputs(self, inputs: tuple[LogicalType, ...]) -> None:
        """Refuse a wrong number or wrong types of inputs.

        :raises SpecificationError: in words.
        """
        if len(inputs) < self.min_inputs or (
            self.max_inputs is not None and len(inputs) > self.max_inputs
        ):
            raise SpecificationError(
                f"{self.name} takes {self.inputs_in_words()}, not {len(inputs)}."
            )
        for given in inputs:
            if self.takes is not None and given.kind not in self.takes:
                raise SpecificationError(f"{self.name} takes {self.types_in_words()}, not {given}.")

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        """Answer `output_type` for inputs that were checked."""
        raise NotImplementedError

    @classmethod
    def inputs_in_words(cls) -> str:
        """Tell how many inputs it takes: "no input", "1 input", "2 or more inputs"."""
        if cls.max_inputs is None:
            return f"{cls.min_inputs} or more inputs" if cls.min_inputs else "any inputs"
        if cls.min_inputs != cls.max_inputs:
            return f"{cls.min_inputs} to {cls.max_inputs} inputs"
        return {0: "no input", 1: "1 input"}.get(cls.min_inputs, f"{cls.min_inputs} inputs")

    @classmethod
    def types_in_words(cls) -> str:
        """Tell which types it takes."""
        if cls.takes is None:
            return "any type"
        if cls.takes == NUMBERS:
            return "numbers"
        if cls.takes == SCALARS:
            return "any type but binary, array and struct"
        return ", ".join(sorted(cls.takes))

    def to_spec(self) -> str | dict[str, Any]:
        """Write it as in a contract; `read_conversion` gives the same again."""
        values = {
            field.alias or key: _plain(getattr(self, key))
            for key, field in type(self).model_fields.items()
            if getattr(self, key) != field.get_default(call_default_factory=True)
            or field.is_required()
        }
        if not values:
            return self.name
        ((key, value), *others) = values.items()
        if key == self.primary and not others and not isinstance(value, dict):
            return {self.name: value}
        return {self.name: values}

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: Callable[[Any], core_schema.CoreSchema]
    ) -> core_schema.CoreSchema:
        """Let a field of type `Conversion` be written as in a contract."""
        if cls.name or cls is not source or "Conversion" not in globals():
            return handler(source)
        return core_schema.no_info_plain_validator_function(
            _read, serialization=core_schema.plain_serializer_function_ser_schema(_write)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        if cls.name:
            return handler(schema)
        from airflow_etl_provider.contracts.conversions.registry import conversion_schema

        return conversion_schema()


def _read(value: object) -> Conversion:
    from airflow_etl_provider.contracts.conversions.registry import read_conversion

    if isinstance(value, Conversion):
        return value
    try:
        return read_conversion(value)
    except SpecificationError as error:
        kind = NotYetError if isinstance(error, NotSupportedYetError) else ValueError
        raise kind(str(error).rstrip(".")) from error


def _write(value: Conversion) -> str | dict[str, Any]:
    return value.to_spec()


def _plain(value: object) -> object:
    """Give what YAML and JSON can hold."""
    if isinstance(value, LogicalType):
        return str(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    return value
