"""The table as it is in the file: its real name and its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.types import from_duckdb
from airflow_etl_provider.engines.targets.duckdb_file.store import run_sql
from airflow_etl_provider.exceptions import (
    NotSupportedYetError,
    TargetMissingError,
    TargetSchemaError,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.engines.targets.base import WriteSpec
    from airflow_etl_provider.engines.targets.table_name import TableName

__all__ = ["Column", "TableLayout", "check_fit", "logical_of", "read_columns", "read_layout"]

_VIEW = """
    SELECT 1 FROM duckdb_views() WHERE database_name = current_database()
    AND lower(schema_name) = lower(?) AND lower(view_name) = lower(?)
"""

_COLUMNS = """
    SELECT schema_name, table_name, column_name, data_type, is_nullable, column_default IS NOT NULL
    FROM duckdb_columns() WHERE database_name = current_database()
    AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?) ORDER BY column_index
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `type` is None where we have no logical type for it (maps, unions, bits)."""

    name: str
    physical: str
    type: LogicalType | None
    nullable: bool
    has_default: bool


@dataclass(frozen=True, slots=True)
class TableLayout:
    """A table that exists, named as the catalog names it."""

    schema: str
    name: str
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column | None:
        """DuckDB compares names without case."""
        return next((c for c in self.columns if c.name.lower() == name.lower()), None)

    def as_schema(self) -> Schema:
        return Schema(
            tuple(
                Field(
                    column.name,
                    column.type or LogicalType("string"),
                    nullable=column.nullable,
                    has_default=column.has_default,
                )
                for column in self.columns
            )
        )


def read_layout(connection: DuckDBPyConnection, table: TableName) -> TableLayout | None:
    """Look a table up; None when it does not exist.

    :raises TargetMissingError: its schema does not exist.
    :raises TargetSchemaError: the name is that of a view.
    """
    schema = table.schema or "main"
    schemas = run_sql(
        connection,
        "SELECT schema_name FROM duckdb_schemas() WHERE database_name = current_database() "
        "AND lower(schema_name) = lower(?)",
        [schema],
    )
    if not schemas:
        raise TargetMissingError(
            f"The schema {schema!r} of table {table} does not exist.",
            hint="Create it first: it is not ours to create.",
        )
    parameters: list[object] = [schema, table.name]
    if run_sql(connection, _VIEW, parameters):
        raise TargetSchemaError(
            f"{table} is a view.", hint="Name the table that the rows should go to."
        )
    return read_columns(connection, table)


def read_columns(connection: DuckDBPyConnection, table: TableName) -> TableLayout | None:
    """Look up what can be read, be it a table or a view; None when there is none."""
    columns = run_sql(connection, _COLUMNS, [table.schema or "main", table.name])
    if not columns:
        return None
    return TableLayout(
        schema=str(columns[0][0]),
        name=str(columns[0][1]),
        columns=tuple(
            Column(str(name), str(of), logical_of(str(of)), bool(nullable), bool(default))
            for _, _, name, of, nullable, default in columns
        ),
    )


def logical_of(physical: str) -> LogicalType | None:
    """Give the logical type; None where we have none for it (maps, unions, bits)."""
    import duckdb

    try:
        return from_duckdb(duckdb.type(physical))
    except NotSupportedYetError:
        return None


def _check_deleted_at(table: TableLayout, name: str) -> None:
    column = table.column(name)
    kind = column.type.kind if column is not None and column.type is not None else None
    if column is None or kind != "timestamptz" or not column.nullable:
        raise TargetSchemaError(
            f"Table {table.name!r} needs a column {name!r} of type timestamptz that may be NULL: "
            "soft deletes put their time there.",
            hint="Add it with ALTER TABLE ... ADD COLUMN.",
        )


def check_fit(table: TableLayout, schema: Schema, write: WriteSpec) -> None:
    """Check that a load's columns can go into the table.

    :raises TargetSchemaError: a column is missing in the table, or one that must be given is
        missing in the load.
    """
    there = ", ".join(column.name for column in table.columns)
    missing = [field.name for field in schema if table.column(field.name) is None]
    if missing:
        added = " (`load_columns: true` needs it)" if missing[0].startswith("_etl_") else ""
        raise TargetSchemaError(
            f"Table {table.name!r} has no column {missing[0]!r}{added}. It has: {there}.",
            hint="Add the column to the table, or take it out of the contract.",
        )
    if write.deletes is not None and write.deletes.column is not None:
        _check_deleted_at(table, write.deletes.column)
    given = {field.name.lower() for field in schema}
    for column in table.columns:
        if not column.nullable and not column.has_default and column.name.lower() not in given:
            raise TargetSchemaError(
                f"Column {column.name!r} of table {table.name!r} may not be NULL, has no default, "
                f"and mode {write.mode!r} would not fill it.",
                hint="Add it to the contract, or give it a default in the table.",
            )
