"""Columns that a load adds and widens: how the table will be, and the statements for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.contracts.drift import contains
from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb
from airflow_etl_provider.engines.targets.duckdb_file.layout import Column, TableLayout
from airflow_etl_provider.engines.targets.duckdb_file.store import run_sql
from airflow_etl_provider.exceptions import TargetChangedError, TargetSchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.schema import Field
    from airflow_etl_provider.contracts.types import LogicalType
    from airflow_etl_provider.engines.targets.base import WriteSpec

__all__ = ["alter_table", "altered", "check_alterable"]


def altered(layout: TableLayout | None, write: WriteSpec) -> TableLayout | None:
    """The table as it will be once the load has altered it; None where there is none yet.

    :raises TargetChangedError: somebody else added such a column meanwhile, of another type.
    """
    if layout is None:
        return None
    columns = {column.name.lower(): column for column in layout.columns}
    for field in write.widen_columns:
        column = columns.get(field.name.lower())
        if column is not None and column.type is not None and not contains(column.type, field.type):
            physical = _physical(field.type)
            columns[field.name.lower()] = replace(column, physical=physical, type=field.type)
    for field in write.add_columns:
        column = columns.setdefault(field.name.lower(), _added(field))
        if column.type is None or not contains(column.type, field.type):
            raise TargetChangedError(
                f"Table {layout.name!r} got a column {field.name!r} meanwhile, which is "
                f"{column.physical}; this load would have added it as {field.type}.",
                hint="Run again; the load then goes by the table as it is.",
            )
    return replace(layout, columns=tuple(columns.values()))


def check_alterable(connection: DuckDBPyConnection, layout: TableLayout, write: WriteSpec) -> None:
    """Refuse, before the first row, to widen what DuckDB would refuse to alter at the end.

    :raises TargetSchemaError: naming the index or constraint that stands in the way.
    """
    target = altered(layout, write)
    widened = [
        column.name
        for column in (target.columns if target else ())
        if (held := layout.column(column.name)) is not None and held.physical != column.physical
    ]
    table: list[object] = [layout.schema, layout.name]
    # An index, or another table that refers to this one, holds all of its columns.
    held_by = run_sql(connection, _HOLDERS, [*table, *table]) if widened else []
    for name in widened:
        for what in held_by or run_sql(connection, _CONSTRAINTS, [*table, name]):
            raise TargetSchemaError(
                f"Column {name!r} of table {layout.name!r} would have to be widened, and DuckDB "
                f"can't alter it because of {what[0]}.",
                hint="Drop that, widen the column by hand (ALTER TABLE ... ALTER COLUMN ... TYPE) "
                "and make it again; or write `schema_evolution: discard`.",
            )


def alter_table(
    connection: DuckDBPyConnection, catalog: str, layout: TableLayout, write: WriteSpec
) -> None:
    """Alter the table in the running transaction, as far as nobody else did so already."""
    table = exp.Table(
        this=exp.to_identifier(layout.name, quoted=True),
        db=exp.to_identifier(layout.schema, quoted=True),
        catalog=exp.to_identifier(catalog, quoted=True),
    )
    for action in _actions(layout, write):
        statement = exp.Alter(this=table.copy(), kind="TABLE", actions=[action])
        connection.execute(statement.sql("duckdb"))


def _actions(layout: TableLayout, write: WriteSpec) -> Iterator[exp.Expression]:
    target = altered(layout, write)
    for column in target.columns if target else ():
        name = exp.to_identifier(column.name, quoted=True)
        held = layout.column(column.name)
        if column.type is None:
            continue
        if held is None:
            yield exp.ColumnDef(this=name, kind=to_duckdb(column.type))
        elif held.physical != column.physical:
            yield exp.AlterColumn(this=name, dtype=to_duckdb(column.type))


def _added(field: Field) -> Column:
    return Column(field.name, _physical(field.type), field.type, nullable=True, has_default=False)


def _physical(of: LogicalType) -> str:
    """The type as the catalog writes it."""
    import duckdb

    return str(duckdb.type(to_duckdb(of).sql("duckdb")))


_HOLDERS = """
    SELECT 'the index ' || index_name FROM duckdb_indexes()
    WHERE database_name = current_database() AND schema_name = ? AND table_name = ?
    UNION ALL
    SELECT 'a FOREIGN KEY of table ' || table_name FROM duckdb_constraints()
    WHERE database_name = current_database() AND constraint_type = 'FOREIGN KEY'
    AND schema_name = ? AND referenced_table = ?
    LIMIT 1
"""

_CONSTRAINTS = """
    SELECT 'its ' || constraint_type || ' constraint' FROM duckdb_constraints()
    WHERE database_name = current_database() AND schema_name = ? AND table_name = ?
    AND constraint_type <> 'NOT NULL' AND list_contains(constraint_column_names, ?)
    LIMIT 1
"""
