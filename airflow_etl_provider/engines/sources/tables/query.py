"""A query in place of a table: one that only reads, as a syntax tree of the database's dialect."""

from __future__ import annotations

import hashlib

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from airflow_etl_provider.exceptions import SpecificationError

__all__ = ["ALIAS", "as_table", "name_of", "parse_query"]

ALIAS = "etl_query"

_WRITES = (
    exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.Command,
    exp.Copy, exp.Into, exp.Lock, exp.Set, exp.Transaction, exp.Commit, exp.Rollback,
    exp.Attach, exp.Detach, exp.Pragma, exp.Use, exp.TruncateTable, exp.Grant,
)  # fmt: skip


def parse_query(text: str, *, dialect: str) -> exp.Query:
    """Read a query, and refuse whatever is more than reading.

    The database reads it in a read-only transaction besides.

    :param dialect: of sqlglot: `postgres`, `duckdb`, `sqlite`.
    :raises SpecificationError: it is no single query, or can't be parsed.
    """
    try:
        trees = [tree for tree in sqlglot.parse(text, dialect=dialect) if tree is not None]
    except (SqlglotError, RecursionError) as error:
        at = ""
        if isinstance(error, sqlglot.ParseError) and error.errors:
            first = error.errors[0]
            at = f" at line {first.get('line')}, column {first.get('col')}"
        raise SpecificationError(
            f"source.query can't be parsed as SQL of {dialect}{at}.",
            hint="Run it in the database, or make a view of it and give `table`.",
        ) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise SpecificationError(
            "source.query is not one query.", hint="Write one SELECT, or WITH ... SELECT."
        )
    tree = trees[0]
    found = next((node for node in tree.walk() if isinstance(node, _WRITES)), None)
    if found is not None:
        raise SpecificationError(
            f"source.query does more than read: {type(found).__name__.upper()}.",
            hint="Sources are read, and nothing else.",
        )
    names = [name.lower() for name in tree.named_selects if name not in ("", "*")]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise SpecificationError(
            f"source.query has two columns named {double!r}.", hint="Name each column with AS."
        )
    return tree


def as_table(query: exp.Query) -> exp.Subquery:
    """Give what stands in FROM in place of a table."""
    return exp.Subquery(
        this=query.copy(), alias=exp.TableAlias(this=exp.to_identifier(ALIAS, quoted=True))
    )


def name_of(query: exp.Query) -> str:
    """Name a query, so that two of one database are told apart."""
    return f"query-{hashlib.sha256(query.sql().encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
