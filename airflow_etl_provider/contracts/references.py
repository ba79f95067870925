"""What a rule `references`: columns of a table of the target's database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from airflow_etl_provider.contracts.problem import found
from airflow_etl_provider.contracts.spec import NAMES_SCHEMA, read_names

__all__ = ["Reference", "ReferenceKey"]

_PART = re.compile(r'(?:"(?:[^"]|"")*"|[^."]+)(?=\.|$)')

_EXPECTED = "expected table.column, schema.table.column, or { table: t, column: c }"


@dataclass(frozen=True, slots=True)
class Reference:
    """A key of another table.

    :param table: as written: `table` or `schema.table`, with double quotes around a name that
        holds a dot.
    """

    table: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        if len(self.columns) == 1:
            return f"{self.table}.{self.columns[0]}"
        return f"{self.table} ({', '.join(self.columns)})"


def _read(value: object) -> Reference | None:
    if value is None or isinstance(value, Reference):
        return value
    if isinstance(value, str):
        return _split(value)
    if isinstance(value, dict):
        return _from_keys(value)
    raise ValueError(f"found {found(value)}; {_EXPECTED}")


def _from_keys(value: dict[object, object]) -> Reference:
    named = [key for key in ("column", "columns") if value.get(key) is not None]
    table = value.get("table")
    if set(value) - {"table", "column", "columns"} or len(named) != 1:
        raise ValueError(f"found {found(value)}; {_EXPECTED}")
    if not isinstance(table, str) or not table.strip():
        raise ValueError(f"its table is {found(table)}; expected the table's name")
    columns = read_names(value[named[0]])
    if not columns or (named == ["column"] and len(columns) > 1):
        raise ValueError(f"its {named[0]} is {found(value[named[0]])}; expected a column's name")
    return Reference(table, columns)


def _split(text: str) -> Reference:
    parts: list[str] = []
    at = 0
    while (match := _PART.match(text, at)) is not None:
        parts.append(match[0])
        at = match.end() + 1
        if at > len(text):
            break
    if at <= len(text) or len(parts) not in (2, 3) or not all(part.strip() for part in parts):
        raise ValueError(f"found {found(text)}; {_EXPECTED}")
    column = parts[-1]
    if column.startswith('"'):
        column = column[1:-1].replace('""', '"')
    return Reference(".".join(parts[:-1]), (column,))


def _write(value: Reference | None) -> dict[str, Any] | None:
    return None if value is None else {"table": value.table, "columns": list(value.columns)}


ReferenceKey = Annotated[
    Reference | None,
    PlainValidator(_read),
    PlainSerializer(_write),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[^.]+\.[^.]+|\""},
                {
                    "type": "object",
                    "properties": {
                        "table": {
                            "type": "string",
                            "pattern": r"\S",
                            "description": "The table: name, or schema.name.",
                        },
                        "column": {
                            "type": "string",
                            "pattern": r"\S",
                            "description": "Its column.",
                        },
                        "columns": NAMES_SCHEMA
                        | {"description": "Its columns, in the order of the rule's `columns`."},
                    },
                    "required": ["table"],
                    "oneOf": [{"required": ["column"]}, {"required": ["columns"]}],
                    "additionalProperties": False,
                },
                {"type": "null"},
            ]
        }
    ),
]
"""`table.column`, `schema.table.column`, or the same in keys."""
