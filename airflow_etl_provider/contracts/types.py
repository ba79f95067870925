"""The logical types: what a value means, whatever the engine that holds it.

Written as in a contract: `int64`, `decimal(12,2)`, `string`, `string(20)` (at most 20 characters),
`array<int64>`, `struct<name: string, since: date>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from airflow_etl_provider.contracts.problem import found
from airflow_etl_provider.exceptions import SpecificationError

__all__ = ["Kind", "LogicalType", "parse_type"]

Kind = Literal[
    "bool",
    "int16",
    "int32",
    "int64",
    "float32",
    "float64",
    "decimal",
    "string",
    "binary",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "duration",
    "uuid",
    "json",
    "array",
    "struct",
]

MAX_PRECISION = 38
"""DuckDB, Arrow decimal128 and Spark all end here."""


@dataclass(frozen=True, slots=True)
class LogicalType:
    """One logical type; compare with `==`, print with `str()`."""

    kind: Kind
    precision: int | None = None
    scale: int | None = None
    length: int | None = None
    element: LogicalType | None = None
    fields: tuple[tuple[str, LogicalType], ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "decimal":
            precision, scale = self.precision, self.scale
            if precision is None or scale is None:
                raise SpecificationError("decimal needs precision and scale: decimal(12,2).")
            if not 1 <= precision <= MAX_PRECISION or not 0 <= scale <= precision:
                raise SpecificationError(
                    f"decimal({precision},{scale}) is out of range: precision is 1 to "
                    f"{MAX_PRECISION}, scale 0 to precision."
                )
        if self.kind == "array" and self.element is None:
            raise SpecificationError("array needs the type of its elements: array<int64>.")
        if self.kind == "string" and self.length is not None and self.length < 1:
            raise SpecificationError("string(length) holds at least one character.")
        if self.kind == "struct":
            names = [name for name, _ in self.fields]
            if not names:
                raise SpecificationError("struct needs fields: struct<name: string>.")
            if len(set(names)) < len(names):
                raise SpecificationError(f"{self} names a field twice.")

    def __str__(self) -> str:
        if self.kind == "decimal":
            return f"decimal({self.precision},{self.scale})"
        if self.kind == "string" and self.length is not None:
            return f"string({self.length})"
        if self.kind == "array":
            return f"array<{self.element}>"
        if self.kind == "struct":
            return f"struct<{', '.join(f'{name}: {of}' for name, of in self.fields)}>"
        return self.kind

    @property
    def is_integer(self) -> bool:
        return self.kind in ("int16", "int32", "int64")

    @property
    def is_number(self) -> bool:
        return self.is_integer or self.kind in ("float32", "float64", "decimal")

    @property
    def is_text(self) -> bool:
        return self.kind == "string"

    @property
    def is_temporal(self) -> bool:
        return self.kind in ("date", "time", "timestamp", "timestamptz")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic models hold a type that people write as text."""
        from pydantic_core import core_schema

        def read(value: object) -> LogicalType:
            if isinstance(value, LogicalType):
                return value
            if isinstance(value, str):
                try:
                    return parse_type(value)
                except SpecificationError as error:
                    raise ValueError(str(error)) from error
            raise ValueError(
                f"a type is written as text, such as int64 or decimal(12,2); found {found(value)}"
            )

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, source: Any, handler: Any) -> dict[str, Any]:
        simple = [kind for kind in get_args(Kind) if kind not in ("decimal", "array", "struct")]
        return {
            "type": "string",
            "description": "A logical type.",
            "anyOf": [
                {"enum": simple},
                {"pattern": rf"^\s*({'|'.join(simple)})\s*$"},
                {
                    "pattern": r"^\s*(decimal\(\s*\d+\s*,\s*\d+\s*\)|string\(\s*\d+\s*\)"
                    r"|array<.+>|struct<.+>)\s*$"
                },
            ],
        }


MAX_TEXT = 2000
"""Longer texts nest deeper than any table, and deeper than Python's stack."""

_DECIMAL = re.compile(r"decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)")
_STRING = re.compile(r"string\(\s*(\d+)\s*\)")


def parse_type(text: str) -> LogicalType:
    """Read a type as people write it.

    :raises SpecificationError: it is none of the types, with the list of them.
    """
    if len(text) > MAX_TEXT:
        raise SpecificationError(f"A type has at most {MAX_TEXT} characters, not {len(text)}.")
    text = text.strip()
    if match := _DECIMAL.fullmatch(text):
        return LogicalType("decimal", precision=int(match[1]), scale=int(match[2]))
    if match := _STRING.fullmatch(text):
        return LogicalType("string", length=int(match[1]))
    if text.startswith("array<") and text.endswith(">"):
        return LogicalType("array", element=parse_type(text[6:-1]))
    if text.startswith("struct<") and text.endswith(">"):
        return LogicalType("struct", fields=tuple(_struct_fields(text[7:-1])))
    if text in get_args(Kind) and text not in ("decimal", "array", "struct"):
        return LogicalType(text)  # type: ignore[arg-type]
    raise SpecificationError(
        f"{found(text)} is no type. Allowed: {', '.join(get_args(Kind))}, with "
        "decimal(precision,scale), string(length), array<type> and struct<name: type, ...>."
    )


def _struct_fields(text: str) -> list[tuple[str, LogicalType]]:
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char in "<(") - (char in ">)")
        if char == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    fields = []
    for part in parts:
        name, colon, of = part.partition(":")
        if not colon or not name.strip():
            raise SpecificationError(f"{part.strip()!r} is no struct field; write name: type.")
        fields.append((name.strip(), parse_type(of)))
    return fields
