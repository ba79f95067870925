"""Names that DuckDB answers itself, where no column has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CLOCK_NAMES", "VALUE_NAMES", "is_alias", "tables_of"]

CLOCK_NAMES = frozenset(
    ("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp")
)

VALUE_NAMES = CLOCK_NAMES | frozenset(
    (
        "current_catalog",
        "current_role",
        "current_schema",
        "current_user",
        "session_user",
        "user",
    )
)
"""What DuckDB answers itself, also in quotes, where there is no column of that name."""


def tables_of(query: exp.Expr) -> Iterator[exp.Identifier]:
    """The names by which a SELECT knows what it reads."""
    sources = [query.args.get(key) for key in ("from_", "from", "joins", "laterals")]
    for part in sources:
        for source in part if isinstance(part, list) else [part]:
            alias = None
            if isinstance(source, exp.Lateral):
                alias = source.args.get("alias")
            elif source is not None:
                alias = source.this.args.get("alias")
            if isinstance(alias, exp.TableAlias) and isinstance(alias.this, exp.Identifier):
                yield alias.this


def is_alias(column: exp.Expr) -> bool:
    """Whether DuckDB takes a name for a column of the outcome, which is looked at for itself.

    HAVING and QUALIFY don't know those.
    """
    part, query = column, column.parent
    while query is not None and not isinstance(query, exp.Select | exp.SetOperation):
        part, query = query, query.parent
    if query is None or part.arg_key not in ("expressions", "where", "group", "order"):
        return False
    alone = column.parent.parent if isinstance(column.parent, exp.Ordered) else column.parent
    if part.arg_key in ("group", "order") and alone is not part:
        return False
    first = query
    while not isinstance(first, exp.Select):
        first = first.this
    given = first.expressions
    if part.arg_key == "expressions":
        given = given[: part.index]
    return column.name.lower() in {one.alias_or_name.lower() for one in given}
