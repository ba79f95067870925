"""The name of a table, as people write it: `orders`, `sales.orders`, `"a.b"."c d"`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_etl_provider.exceptions import SpecificationError

__all__ = ["TableName", "parse_table_name"]

_PART = re.compile(r'"(?P<quoted>(?:[^"]|"")*)"(?=\.|$)|(?P<plain>[^.]+)')


@dataclass(frozen=True, slots=True)
class TableName:
    """A table and, where given, the schema that holds it. Case is kept."""

    name: str
    schema: str | None = None

    def __str__(self) -> str:
        return ".".join(_written(part) for part in (self.schema, self.name) if part is not None)


def parse_table_name(text: str) -> TableName:
    """Read a name; only dots outside double quotes separate, every other character is the name's.

    :raises SpecificationError: it is empty, or has more than a schema and a table.
    """
    parts: list[str] = []
    at = 0
    while True:
        match = _PART.match(text, at)
        if match is None:
            raise SpecificationError(
                f"{text!r} is no table name.",
                hint='Write table, schema.table, or "with.dots"."in quotes".',
            )
        quoted = match["quoted"]
        parts.append(match["plain"] if quoted is None else quoted.replace('""', '"'))
        at = match.end()
        if at == len(text):
            break
        at += 1
    if len(parts) > 2 or not all(parts) or any("\0" in part for part in parts):
        raise SpecificationError(
            f"{text!r} is no table name: it has {len(parts)} parts or an empty one.",
            hint="Write table or schema.table; the database is part of the connection. A name that "
            "holds a dot goes into double quotes.",
        )
    return TableName(parts[-1], parts[0] if len(parts) == 2 else None)


def _written(part: str) -> str:
    if "." in part or '"' in part:
        return '"' + part.replace('"', '""') + '"'
    return part
