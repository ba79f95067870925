"""Conversions of JSON and lists, and those that stand for a value without showing it."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from airflow_etl_provider.contracts.conversions.base import (
    SCALARS,
    STRING,
    Conversion,
    Example,
)
from airflow_etl_provider.contracts.problem import NotYetError
from airflow_etl_provider.contracts.types import Kind, LogicalType
from airflow_etl_provider.exceptions import SpecificationError

__all__ = ["ArrayJoin", "ArraySplit", "Hash", "JsonParse", "JsonPath", "Mask", "Uuid5"]

JSON = LogicalType("json")
_TEXT: frozenset[Kind] = frozenset(("string",))


class Hash(Conversion):
    """Give the hash of the value's text (UTF-8) as hexadecimal digits.

    Of several inputs each text is written as its length in characters, a colon and itself, one
    after the other, before hashing, so that ("a", "bc") and ("ab", "c") differ. A hash hides
    nothing that can be guessed: phone numbers and names can be found by trying.
    """

    name: ClassVar[str] = "hash"
    primary: ClassVar[str | None] = "algorithm"
    max_inputs: ClassVar[int | None] = None
    takes: ClassVar[frozenset[Kind] | None] = SCALARS
    example: ClassVar[Example] = Example(
        "hash",
        ("string",),
        ("abc",),
        "string",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    )

    algorithm: Literal["sha256", "md5"] = "sha256"

    @model_validator(mode="before")
    @classmethod
    def _no_salt(cls, values: Any) -> Any:
        if isinstance(values, dict) and {"salt", "key"} & set(values):
            raise NotYetError(
                "keyed hashing is not supported yet; a salt or key must never stand in a contract"
            )
        return values

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return STRING


class Mask(Conversion):
    """Put a character in the place of each of the value's characters, except some at the ends.

    A text so short that nothing would be hidden is hidden whole. The length shows.
    """

    name: ClassVar[str] = "mask"
    primary: ClassVar[str | None] = "keep_last"
    takes: ClassVar[frozenset[Kind] | None] = _TEXT
    example: ClassVar[Example] = Example(
        {"mask": 4}, ("string",), ("4111111111111234",), "string", "************1234"
    )

    keep_last: int = Field(default=0, ge=0, le=1000)
    keep_first: int = Field(default=0, ge=0, le=1000)
    character: str = Field(default="*", min_length=1, max_length=1)

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return STRING


_NAMESPACES = {
    "dns": str(uuid.NAMESPACE_DNS),
    "url": str(uuid.NAMESPACE_URL),
    "oid": str(uuid.NAMESPACE_OID),
    "x500": str(uuid.NAMESPACE_X500),
}


def _read_namespace(value: str) -> str:
    if value in _NAMESPACES:
        return value
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise ValueError("is neither a UUID nor one of dns, url, oid, x500") from None


class Uuid5(Conversion):
    """Make a UUID (version 5, RFC 9562) of the value's text: the same text, the same UUID.

    Several inputs are joined as `hash` does.

    :param namespace: a UUID, or one of dns, url, oid, x500.
    """

    name: ClassVar[str] = "uuid5"
    primary: ClassVar[str | None] = "namespace"
    max_inputs: ClassVar[int | None] = None
    takes: ClassVar[frozenset[Kind] | None] = SCALARS
    example: ClassVar[Example] = Example(
        {"uuid5": "dns"},
        ("string",),
        ("example.org",),
        "uuid",
        str(uuid.uuid5(uuid.NAMESPACE_DNS, "example.org")),
    )

    namespace: Annotated[str, AfterValidator(_read_namespace)]

    @property
    def space(self) -> uuid.UUID:
        """The namespace as a UUID."""
        return uuid.UUID(_NAMESPACES.get(self.namespace, self.namespace))

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return LogicalType("uuid")


class JsonParse(Conversion):
    """Read a text as JSON (RFC 8259); NaN, comments and trailing commas are rejects."""

    name: ClassVar[str] = "json_parse"
    takes: ClassVar[frozenset[Kind] | None] = _TEXT
    example: ClassVar[Example] = Example(
        "json_parse", ("string",), ('{"a": 1}',), "json", '{"a": 1}'
    )

    @property
    def fallible(self) -> bool:
        return True

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return JSON


_PATH = re.compile(r'\$(\.[\w-]+|\."[^"\\]+"|\[\d+\])*')


def _read_path(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise ValueError('is no path; write it like $.items[0].price or $."a key".x')
    return value


class JsonPath(Conversion):
    """Take a value out of JSON: texts without their quotes, JSON's null as NULL.

    Makes text (objects and arrays as JSON text), or JSON where the target is JSON.

    :param path: from the root `$`, by keys and positions (the first is 0).
    :param missing: where there is nothing at the path, or null: `null` or `reject`.
    """

    name: ClassVar[str] = "json_path"
    primary: ClassVar[str | None] = "path"
    takes: ClassVar[frozenset[Kind] | None] = frozenset(("json",))
    example: ClassVar[Example] = Example(
        {"json_path": "$.a[1]"}, ("json",), ('{"a": [1, "x"]}',), "string", "x"
    )

    path: Annotated[str, AfterValidator(_read_path)]
    missing: Literal["null", "reject"] = "null"

    @property
    def fallible(self) -> bool:
        return self.missing == "reject"

    @property
    def makes_null(self) -> bool:
        return self.missing == "null"

    def check_inputs(self, inputs: tuple[LogicalType, ...]) -> None:
        if any(given.kind == "string" for given in inputs):
            raise SpecificationError("json_path takes json, not string: use json_parse first.")
        super().check_inputs(inputs)

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return JSON if target.kind == "json" else STRING


class ArraySplit(Conversion):
    """Split a text into an array; empty text makes an empty array."""

    name: ClassVar[str] = "array_split"
    primary: ClassVar[str | None] = "separator"
    takes: ClassVar[frozenset[Kind] | None] = _TEXT
    example: ClassVar[Example] = Example(
        {"array_split": ";"}, ("string",), ("a;b",), "array<string>", ["a", "b"]
    )

    separator: str = Field(min_length=1)

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        return LogicalType("array", element=STRING)


class ArrayJoin(Conversion):
    """Join the elements of an array of texts or numbers; NULL elements are left out."""

    name: ClassVar[str] = "array_join"
    primary: ClassVar[str | None] = "separator"
    takes: ClassVar[frozenset[Kind] | None] = frozenset(("array",))
    example: ClassVar[Example] = Example(
        {"array_join": ", "}, ("array<string>",), (["a", "b"],), "string", "a, b"
    )

    separator: str

    def makes(self, inputs: tuple[LogicalType, ...], target: LogicalType) -> LogicalType:
        element = inputs[0].element
        if element is None or element.kind not in SCALARS - {"timestamptz", "json"}:
            raise SpecificationError(f"array_join joins texts or numbers, not {element}.")
        return STRING
