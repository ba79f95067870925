"""The columns of a dataset, in order, with their logical types."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.contracts.types import LogicalType

__all__ = ["Field", "Limit", "Schema"]

Limit = Literal["text", "jsonb", "date", "timestamp"]
"""Values of a type that PostgreSQL's column of that name can't hold."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column.

    :param nullable: False only where a declaration says so.
    :param has_default: whoever holds the column fills it where it is left out; NULL is a value,
        and is not replaced.
    :param nul_free: of a source: its text never holds the character NUL.
    :param limit: of a target: what it can't hold of the type's values.
    """

    name: str
    type: LogicalType
    nullable: bool = True
    has_default: bool = False
    nul_free: bool = dataclasses.field(default=False, compare=False)
    limit: Limit | None = dataclasses.field(default=None, compare=False)

    @property
    def required(self) -> bool:
        """A value must be given."""
        return not self.nullable and not self.has_default


@dataclass(frozen=True, slots=True)
class Schema:
    """Columns in order; names are unique, case counts."""

    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for field in self.fields:
            if field.name in seen:
                raise SpecificationError(f"Two columns are named {field.name!r}.")
            seen.add(field.name)

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __contains__(self, name: str) -> bool:
        return any(field.name == name for field in self.fields)

    def __getitem__(self, name: str) -> Field:
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits over names and types in order."""
        lines = "\n".join(f"{field.name}\t{field.type}" for field in self.fields)
        return hashlib.sha256(lines.encode()).hexdigest()
