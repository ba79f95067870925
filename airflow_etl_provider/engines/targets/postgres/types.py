"""PostgreSQL's types: what they mean, how their values travel, and how new columns are declared."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from airflow_etl_provider.contracts.types import MAX_PRECISION, Kind, LogicalType
from airflow_etl_provider.exceptions import TargetSchemaError

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.schema import Limit

__all__ = [
    "STAGED_ENCODINGS",
    "Encoding",
    "created_encoding",
    "declared_type",
    "encoding_of",
    "limit_of",
    "logical_type",
]

Encoding = Literal["plain", "date", "timestamp", "uuid", "jsonb", "text", "array"]
"""How a column's values travel.

`plain`: the driver's binary form is the column's. `date`, `timestamp`, `uuid`, `jsonb`: binary
COPY takes the column once we gave the values that form. `text`: only a cast takes it there;
`array`: the same, from a list that we write as text.
"""

STAGED_ENCODINGS: frozenset[Encoding] = frozenset({"text", "array"})
"""Those that need a staging table for their cast."""

_SIMPLE: dict[str, LogicalType] = {
    "bool": LogicalType("bool"),
    "int2": LogicalType("int16"),
    "int4": LogicalType("int32"),
    "int8": LogicalType("int64"),
    "float4": LogicalType("float32"),
    "float8": LogicalType("float64"),
    "date": LogicalType("date"),
    "time": LogicalType("time"),
    "timestamp": LogicalType("timestamp"),
    "timestamptz": LogicalType("timestamptz"),
    "interval": LogicalType("duration"),
    "bytea": LogicalType("binary"),
    "json": LogicalType("json"),
    "jsonb": LogicalType("json"),
    "uuid": LogicalType("uuid"),
}

_TEXTS = frozenset({"text", "varchar", "bpchar", "name", "citext"})

_ENCODED: dict[str, Encoding] = {
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamp",
    "uuid": "uuid",
    "jsonb": "jsonb",
}

_ARRAY_ELEMENTS = frozenset(
    {"bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "date",
     "time", "timestamp", "timestamptz", "interval", "bytea"}
)  # fmt: skip
"""Elements whose arrays the driver writes as the server reads them."""

_FIRST_DRIVER_WITH_NULLS = (1, 13)
"""Older drivers write a missing element as 0 or as empty text."""

_DECLARED: dict[Kind, str] = {
    "bool": "boolean",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float32": "real",
    "float64": "double precision",
    "string": "text",
    "binary": "bytea",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "duration": "interval",
    "uuid": "uuid",
    "json": "jsonb",
}

_MAX_VARCHAR = 10_485_760

UNBOUNDED = LogicalType("decimal", precision=MAX_PRECISION, scale=18)
"""What `numeric` without a precision is taken for: 20 digits before the point, 18 behind it."""


def logical_type(name: str, *, modifier: int, element: str | None = None) -> LogicalType:
    """Say what a type of the catalog means; what we have no type for is text.

    :param name: `pg_type.typname`, of the base type where the column has a domain.
    :param modifier: `atttypmod`, -1 for none.
    :param element: the elements' `typname`, for arrays.
    """
    if element is not None:
        return LogicalType("array", element=logical_type(element, modifier=modifier))
    if name == "numeric":
        return _decimal(modifier)
    if name in ("varchar", "bpchar") and modifier >= 4:
        return LogicalType("string", length=modifier - 4)
    return _SIMPLE.get(name, LogicalType("string"))


def encoding_of(name: str, *, kind: str, element: str | None = None) -> Encoding:
    """Say how values reach a column of this type.

    :param kind: `pg_type.typtype`; `e` is an enum.
    """
    if element is not None:
        return "plain" if element in _ARRAY_ELEMENTS and driver_keeps_nulls() else "array"
    if name in _ENCODED:
        return _ENCODED[name]
    return (
        "plain" if name in _TEXTS or name in _SIMPLE or name == "numeric" or kind == "e" else "text"
    )


@lru_cache(maxsize=1)
def driver_keeps_nulls() -> bool:
    """Whether the installed driver can write arrays with missing elements."""
    numbers = version("adbc-driver-postgresql").split(".")[:2]
    return tuple(int(number) for number in numbers) >= _FIRST_DRIVER_WITH_NULLS


def created_encoding(of: LogicalType) -> Encoding:
    """Say how values reach a column that `declared_type` declared."""
    if of.element is not None:
        plain = of.element.kind not in ("uuid", "json") and driver_keeps_nulls()
        return "plain" if plain else "array"
    encodings: dict[Kind, Encoding] = {
        "date": "date",
        "timestamp": "timestamp",
        "timestamptz": "timestamp",
        "uuid": "uuid",
        "json": "jsonb",
    }
    return encodings.get(of.kind, "plain")


def limit_of(of: LogicalType, *, verbatim: bool = False) -> Limit | None:
    """Say what a column of this type can't hold.

    :param verbatim: JSON stays the text that it is (`json`, not `jsonb`).
    """
    if of.element is not None and of.element.kind in ("string", "json"):
        return limit_of(of.element, verbatim=verbatim)
    if of.kind == "json":
        return None if verbatim else "jsonb"
    limits: dict[Kind, Limit] = {
        "string": "text",
        "date": "date",
        "timestamp": "timestamp",
        "timestamptz": "timestamp",
    }
    return limits.get(of.kind)


def declared_type(of: LogicalType, *, column: str) -> str:
    """Write the type that a created column gets.

    :raises TargetSchemaError: there is none.
    """
    if of.kind == "decimal":
        return f"numeric({of.precision},{of.scale})"
    if of.kind == "string" and of.length is not None and 1 <= of.length <= _MAX_VARCHAR:
        return f"varchar({of.length})"
    if of.element is not None and of.element.kind not in ("array", "struct"):
        return declared_type(of.element, column=column) + "[]"
    if of.kind in _DECLARED:
        return _DECLARED[of.kind]
    raise TargetSchemaError(
        f"Column {column!r} is {of}, for which PostgreSQL gets no column of its own.",
        hint="Map it to json.",
    )


def _decimal(modifier: int) -> LogicalType:
    if modifier < 4:
        return UNBOUNDED
    precision = ((modifier - 4) >> 16) & 0xFFFF
    # 11 bits with a sign, since PostgreSQL 15 allows scales below zero and above the precision.
    scale = (((modifier - 4) & 0x7FF) ^ 1024) - 1024
    if scale < 0:
        return LogicalType("decimal", precision=min(precision - scale, MAX_PRECISION), scale=0)
    scale = min(scale, MAX_PRECISION)
    precision = min(max(precision, scale), MAX_PRECISION)
    return LogicalType("decimal", precision=precision, scale=scale)
