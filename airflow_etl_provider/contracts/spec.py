"""The base of everything that people write: strict, frozen, and clear about what is wrong where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    PlainValidator,
    StrictBool,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from airflow_etl_provider.contracts.problem import (
    KeyPath,
    NotYetError,
    did_you_mean,
    found,
    problems_of,
    raise_problems,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "NAMES_SCHEMA",
    "PERCENT",
    "Faults",
    "Flag",
    "Names",
    "Scalar",
    "Seconds",
    "Share",
    "Spec",
    "Text",
    "Words",
    "read_names",
    "read_scalar",
    "read_share",
]


class Spec(BaseModel):
    """What people write: frozen, unknown keys refused, errors of our own class."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            self._refuse(error)

    # Without the mark pydantic would call __init__ for nested models too, and report their errors
    # one by one instead of together.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Read plain values.

        :raises SpecificationError: with every problem that was found.
        """
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            cls._refuse(error)

    @classmethod
    def _refuse(cls, error: ValidationError) -> NoReturn:
        # From None: pydantic's own message says the same in worse words, with the values.
        raise_problems(problems_of(cls, error), origin=f"This {cls.__name__}")


class Faults:
    """Collects what is wrong with a model, so that a validator can report all of it at once."""

    def __init__(self) -> None:
        self._errors: list[InitErrorDetails] = []

    def add(self, path: KeyPath, message: str | ValueError) -> None:
        """Note a problem at `path` below the model."""
        kind = "not_yet" if isinstance(message, NotYetError) else "wrong"
        # A template with a placeholder, since braces in the message are no placeholders.
        error = PydanticCustomError(kind, "{message}", {"message": str(message)})
        self._errors.append(InitErrorDetails(type=error, loc=path, input=None))

    def report(self) -> None:
        """Raise if there are any."""
        if self._errors:
            raise ValidationError.from_exception_data("specification", self._errors)


@dataclass(frozen=True, slots=True)
class Words:
    """Annotation of a Literal: the words that work now, and those that are planned."""

    words: tuple[str, ...]
    planned: tuple[str, ...] = ()

    def _read(self, value: object) -> str:
        if value in self.words:
            return str(value)
        allowed = ", ".join(self.words)
        if value in self.planned:
            raise NotYetError(f"{value!r} is not supported yet; use {allowed}")
        raise ValueError(
            f"found {found(value)}; allowed: {allowed}{did_you_mean(value, self.words)}"
        )

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._read, serialization=core_schema.to_string_ser_schema()
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"enum": list(self.words)}


def _read_text(value: object) -> str:
    if not isinstance(value, str):
        quotes = "; write it in quotes" if isinstance(value, bool | int | float) else ""
        raise ValueError(  # noqa: TRY004 - pydantic takes no TypeError
            f"found {found(value)}; expected text{quotes}"
        )
    if not value.strip():
        raise ValueError("is empty; expected text")
    return value


Text = Annotated[
    str,
    BeforeValidator(_read_text),
    WithJsonSchema({"type": "string", "pattern": r"\S"}),
]
"""Text that is not blank."""


def read_names(value: object) -> tuple[str, ...]:
    """Read names in order; one may stand without a list.

    :raises ValueError: one is no text, or stands there twice.
    """
    items = value if isinstance(value, list | tuple) else (value,)
    names = tuple(_read_text(item) for item in items)
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"names {name!r} twice")
    return names


NAMES_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": r"\S"},
        {"type": "array", "items": {"type": "string", "pattern": r"\S"}, "uniqueItems": True},
    ]
}

Names = Annotated[tuple[str, ...], BeforeValidator(read_names), WithJsonSchema(NAMES_SCHEMA)]
"""Names in order, none twice; one may be written without a list."""


def read_scalar(value: object) -> str | int | float | bool:
    """Read one value as it stands in a file.

    :raises ValueError: it is a list, a mapping or nothing.
    """
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if value - value != 0:
            raise ValueError("is infinite or no number")
        return value
    if isinstance(value, Decimal | date | datetime | time):
        return value.isoformat() if not isinstance(value, Decimal) else str(value)
    raise ValueError(f"found {found(value)}; expected text, a number, true or false")


Scalar = Annotated[
    str | int | float | bool,
    PlainValidator(read_scalar),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
"""One value. Dates are kept as text, which is how JSON has them, and become dates by the column."""


def read_share(value: object) -> float:
    """Read a share of a whole, written 0.05 or 5%."""
    share: float | None = None
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            share = float(Decimal(value.strip()[:-1]) / 100)
        except ArithmeticError:
            share = None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value)
    if share is None or not 0 <= share <= 1:
        raise ValueError(f"found {found(value)}; expected a share such as 5% or 0.05")
    return share


PERCENT = r"^\s*(100(\.0+)?|\d{1,2}(\.\d+)?)\s*%\s*$"
"""What `read_share` takes with a percent sign, as JSON Schema writes it."""

Share = Annotated[
    float,
    PlainValidator(read_share),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": PERCENT},
            ]
        }
    ),
]

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_SPAN = re.compile(rf"\s*([0-9]{{1,7}})\s+({'|'.join(_UNITS)})s?\s*")
_MOST_SECONDS = 2_000_000
"""Some 23 days; databases count a time-out in milliseconds of 31 bits."""


def _read_seconds(value: object) -> int:
    seconds: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str) and (parts := _SPAN.fullmatch(value)):
        seconds = int(parts[1]) * _UNITS[parts[2]]
    if seconds is None or not 1 <= seconds <= _MOST_SECONDS:
        raise ValueError(
            f"found {found(value)}; expected a span such as 90 seconds, 10 minutes or 2 hours, or "
            "a number of seconds from 1"
        )
    return seconds


Seconds = Annotated[
    int,
    PlainValidator(_read_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": _MOST_SECONDS},
                {"type": "string", "pattern": f"^{_SPAN.pattern}$"},
            ]
        }
    ),
]
"""A span of time in whole seconds, written `10 minutes` or 600."""

Flag = StrictBool
