"""The contract of a pipeline that has none: columns of the same name belong together."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.conversions import read_conversion
from airflow_etl_provider.contracts.load import LOAD_COLUMNS
from airflow_etl_provider.contracts.mapping import (
    ColumnMapping,
    DatasetRef,
    MappingContract,
    Unmapped,
)
from airflow_etl_provider.exceptions import SpecificationError, TargetSchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.contracts.types import LogicalType

__all__ = ["contract_by_name"]


def contract_by_name(
    *,
    name: str,
    source: Schema,
    suggested: Schema,
    target: Schema | None,
    source_dataset: str | None = None,
    target_dataset: str | None = None,
) -> MappingContract:
    """Map every target column to the source field of its name.

    The exact name counts first; else upper and lower case are the same, where that leaves one
    candidate. A target that is not there yet gets every source field with its suggested type.

    :param suggested: the types that the source's values suggest, by the source's names.
    :raises SpecificationError: source and target share no name, or the source has no fields.
    :raises TargetSchemaError: a column that needs a value has no field of its name.
    """
    if target is None:
        wanted = {field.name: suggested[field.name].type for field in source}
        pairs = {name: name for name in wanted}
    else:
        wanted = {field.name: field.type for field in target if field.name not in LOAD_COLUMNS}
        pairs = _pair(source.names, tuple(wanted))
        _require_values(source, target, pairs)
    if not pairs:
        raise SpecificationError(
            f"Source and target of {name!r} share no column name. Source: {_list(source.names)}. "
            f"Target: {_list(wanted)}.",
            hint="Write a mapping contract that says what goes where.",
        )
    used = set(pairs.values())
    return MappingContract(
        contract=name,
        source=_dataset(source_dataset, source),
        target=DatasetRef(
            dataset=target_dataset,
            fingerprint=None if target is None else target.fingerprint,
            fields=wanted,
        ),
        columns={
            column: _take(field, source[field].type, wanted[column])
            for column, field in pairs.items()
        },
        unmapped=Unmapped(
            source=tuple(field for field in source.names if field not in used),
            target=tuple(column for column in wanted if column not in pairs),
        ),
    )


def _take(field: str, given: LogicalType, wanted: LogicalType) -> ColumnMapping:
    convert = () if given == wanted else (read_conversion("cast"),)
    return ColumnMapping(from_=(field,), convert=convert)


def _pair(fields: tuple[str, ...], columns: tuple[str, ...]) -> dict[str, str]:
    """Give the field of each column, in the order of the columns."""
    exact = set(fields) & set(columns)
    free_fields, free_columns = defaultdict(list), defaultdict(list)
    for field in fields:
        if field not in exact:
            free_fields[field.casefold()].append(field)
    for column in columns:
        if column not in exact:
            free_columns[column.casefold()].append(column)
    pairs: dict[str, str] = {}
    for column in columns:
        folded = column.casefold()
        if column in exact:
            pairs[column] = column
        elif len(free_fields[folded]) == len(free_columns[folded]) == 1:
            pairs[column] = free_fields[folded][0]
    return pairs


def _require_values(source: Schema, target: Schema, pairs: dict[str, str]) -> None:
    missing = [
        field.name
        for field in target
        if field.required and field.name not in pairs and field.name not in LOAD_COLUMNS
    ]
    if not missing or not pairs:
        return
    alike = [field for field in source.names if field.casefold() in {m.casefold() for m in missing}]
    hint = "Write a mapping contract that fills them, or give the columns a default."
    if alike:
        hint = f"Several names differ by case alone ({_list(alike)}). Write a mapping contract."
    raise TargetSchemaError(
        f"The target needs a value in {_list(missing)}, and no source field has that name. "
        f"Source: {_list(source.names)}.",
        hint=hint,
    )


def _dataset(name: str | None, schema: Schema) -> DatasetRef:
    return DatasetRef(
        dataset=name,
        fingerprint=schema.fingerprint,
        fields={field.name: field.type for field in schema},
    )


def _list(names: Iterable[str], most: int = 30) -> str:
    shown = [repr(name) for name in names]
    if not shown:
        return "none"
    more = f", ... ({len(shown)} in all)" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more
