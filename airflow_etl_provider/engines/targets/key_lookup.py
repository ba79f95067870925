"""Which keys can be looked up where: what every database that answers look-ups asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.exceptions import TargetSchemaError

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.contracts.types import LogicalType
    from airflow_etl_provider.engines.plan import KeyLookup

__all__ = ["check_comparable", "parents_in_load"]

_WITHOUT_EQUALITY = frozenset({"json", "array", "struct"})


def check_comparable(
    lookup: KeyLookup, at: int, *, given: LogicalType, there: LogicalType | None, where: str
) -> None:
    """Refuse a pair of columns whose values the database would not find equal.

    :param at: the position of the column in the key.
    :raises TargetSchemaError: naming both columns and types.
    """
    column, other = lookup.columns[at], lookup.table_columns[at]
    if given.kind in _WITHOUT_EQUALITY:
        raise TargetSchemaError(
            f"Column {column!r} is {given}, whose values can't be looked up in {where}.",
            hint="Take the rule out, or let it be about a column of a simple type.",
        )
    both_numbers = there is not None and given.is_number and there.is_number
    if there is None or not (given.kind == there.kind or both_numbers):
        shown = there if there is not None else "of a type that is not supported"
        raise TargetSchemaError(
            f"Column {column!r} is {given} and {other!r} of {where} is {shown}: the rule can't "
            "compare them.",
            hint="Convert the column in the contract.",
        )


def parents_in_load(lookup: KeyLookup, schema: Schema) -> bool:
    """Whether the load fills the columns that a table's reference to itself names.

    :raises TargetSchemaError: it does, with other types, which one engine compares as equal and
        another not.
    """
    if any(name not in schema for name in lookup.table_columns):
        return False
    for child, parent in zip(lookup.columns, lookup.table_columns, strict=True):
        of, other = schema[child].type, schema[parent].type
        if of != other and not (of.kind == other.kind == "string"):
            raise TargetSchemaError(
                f"Column {child!r} is {of} and refers to {parent!r} of the same table, which is "
                f"{other}.",
                hint="Give both the same type.",
            )
    return True
