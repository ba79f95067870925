"""The columns of a query of a DuckDB file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.engines.sources.tables.query import as_table
from airflow_etl_provider.engines.targets.duckdb_file.layout import (
    Column,
    TableLayout,
    logical_of,
)
from airflow_etl_provider.exceptions import SourceError, SpecificationError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["describe_query"]


def describe_query(connection: DuckDBPyConnection, query: exp.Query) -> TableLayout:
    """Give the columns of a query, in order; it reads the file, and nothing beside it.

    :raises SourceError: what it reads is not there.
    :raises SpecificationError: two columns have one name.
    """
    import duckdb

    try:
        connection.execute("SET enable_external_access = false")
        described = connection.sql(exp.select(exp.Star()).from_(as_table(query)).sql("duckdb"))
        columns = [
            Column(name, str(of), logical_of(str(of)), nullable=True, has_default=False)
            for name, of in zip(described.columns, described.types, strict=True)
        ]
    except duckdb.Error as error:
        raise SourceError(
            f"source.query is refused by DuckDB ({type(error).__name__}).",
            hint="Run it in the file: what it reads may not be there, or not in the file.",
        ) from None
    names = [column.name.lower() for column in columns]
    if len(set(names)) < len(names):
        raise SpecificationError(
            "source.query has two columns of one name.", hint="Name each column with AS."
        )
    return TableLayout(schema="", name="query", columns=tuple(columns))
