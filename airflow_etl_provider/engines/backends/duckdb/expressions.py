"""Expressions bound by DuckDB: typed against the schema, and made unable to raise on any row."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from sqlglot import exp

from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.types import from_duckdb, to_duckdb
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    import duckdb

    from airflow_etl_provider.contracts.expressions import ParsedExpression
    from airflow_etl_provider.contracts.schema import Schema

__all__ = ["bind_expression"]

_BINDING = threading.Lock()

_COMPARISONS = (
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.NullSafeEQ,
    exp.NullSafeNEQ,
)

_PARSED_TEXT = frozenset(
    ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIME", "BOOLEAN", "UUID", "INTERVAL")
)
"""Types that DuckDB makes of a text literal when the two are compared, if it can."""


def bind_expression(
    parsed: ParsedExpression, *, schema: Schema, expect: LogicalType | Literal["bool"] | None = None
) -> tuple[exp.Expr, LogicalType]:
    """Type an expression over a schema; returns a tree ready for a plan, and what it gives.

    DuckDB binds it against an empty table with no access to anything outside. What could raise on a
    row (a cast, an overflow) gives NULL instead, and so does a result that is no finite number.

    :param expect: "bool" for a condition; a type that the result must be, or be castable to.
    :raises SpecificationError: an unknown column, or types that don't fit.
    """
    tree = _with_real_columns(parsed, schema)
    with _BINDING:
        connection = _connection()
        _make_table(connection, schema)
        given = _type_of(connection, tree, parsed)
        _check_logic(connection, tree, parsed)
        _check_comparisons(connection, tree, parsed)
    if expect == "bool":
        if given.kind != "bool":
            raise SpecificationError(
                f"The {parsed.kind} {parsed.sql!r} gives {given}; a condition gives true or false."
            )
        return _guarded(tree), given
    guarded = _guarded(tree)
    if given.kind in ("float32", "float64"):
        finite = exp.Anonymous(this="isfinite", expressions=[guarded.copy()])
        guarded = exp.Case(ifs=[exp.If(this=finite, true=guarded)])
    return guarded, given


@lru_cache(maxsize=1)
def _connection() -> duckdb.DuckDBPyConnection:
    """One connection for all binding: no files, no network, no change of settings."""
    import duckdb as engine

    return engine.connect(
        ":memory:",
        config={
            "enable_external_access": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "lock_configuration": True,
            "threads": 1,
        },
    )


def _make_table(connection: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    columns = [
        exp.ColumnDef(this=exp.to_identifier(field.name, quoted=True), kind=to_duckdb(field.type))
        for field in schema
    ]
    table = exp.Create(
        this=exp.Schema(this=exp.to_table("typed_empty"), expressions=columns),
        kind="TABLE",
        replace=True,
    )
    connection.execute(table.sql(dialect="duckdb"))


def _with_real_columns(parsed: ParsedExpression, schema: Schema) -> exp.Expr:
    """The tree with every column quoted under the schema's own spelling."""
    import difflib

    exact = {name: name for name in schema.names}
    folded = {name.lower(): name for name in schema.names}

    def real(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        name = exact.get(node.name) or folded.get(node.name.lower())
        if name is None:
            close = difflib.get_close_matches(node.name.lower(), list(folded), n=3)
            near = [folded[name] for name in close]
            hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
            known = ", ".join(schema.names[:20])
            raise SpecificationError(
                f"The {parsed.kind} {parsed.sql!r} names {node.name!r}, which is no column here."
                f"{hint} Columns: {known}."
            )
        return exp.column(exp.to_identifier(name, quoted=True))

    return parsed.tree.copy().transform(real)


def _describe(connection: duckdb.DuckDBPyConnection, tree: exp.Expr) -> str:
    return str(_bound(connection, tree))


def _bound(connection: duckdb.DuckDBPyConnection, tree: exp.Expr) -> Any:
    query = exp.select(tree.copy().as_("result")).from_("typed_empty").sql(dialect="duckdb")
    return connection.sql(query).types[0]


def _type_of(
    connection: duckdb.DuckDBPyConnection, tree: exp.Expr, parsed: ParsedExpression
) -> LogicalType:
    import duckdb as engine

    try:
        found = _bound(connection, tree)
    except engine.Error as error:
        first = str(error).strip().splitlines()[0]
        raise SpecificationError(
            f"The {parsed.kind} {parsed.sql!r} does not fit the columns' types: {first}"
        ) from error
    if str(found).strip('"').upper() == "NULL":
        return LogicalType("string")
    return from_duckdb(found)


def _check_logic(
    connection: duckdb.DuckDBPyConnection, tree: exp.Expr, parsed: ParsedExpression
) -> None:
    """Refuse what DuckDB takes silently: `not n` and `n and b` on what is no condition."""
    for node in tree.find_all(exp.Not, exp.And, exp.Or):
        parts = [node.this] if isinstance(node, exp.Not) else [node.this, node.args["expression"]]
        for part in parts:
            if isinstance(part, exp.Null):
                continue
            found = _describe(connection, part)
            if found != "BOOLEAN":
                raise SpecificationError(
                    f"The {parsed.kind} {parsed.sql!r} takes {part.sql('duckdb')} ({found}) for a "
                    "condition; write a comparison."
                )


def _check_comparisons(
    connection: duckdb.DuckDBPyConnection, tree: exp.Expr, parsed: ParsedExpression
) -> None:
    """Refuse comparisons that could only fail row by row.

    Text against a number or a date, and a text literal that can't become what it is compared with:
    `d > 'nope'`.
    """
    for node in tree.find_all(*_COMPARISONS, exp.Between, exp.In):
        parts = [node.this, *_others(node)]
        types = {_describe(connection, p) for p in parts if not _is_text_literal(p)}
        if "VARCHAR" in types and types - {"VARCHAR", '"NULL"'}:
            other = ", ".join(sorted(types - {"VARCHAR"}))
            raise SpecificationError(
                f"The {parsed.kind} {parsed.sql!r} compares text with {other}; cast the text, as "
                "in `cast(amount as decimal(12,2)) > 0`."
            )
        for literal in filter(_is_text_literal, parts):
            for wanted in types:
                if not (wanted in _PARSED_TEXT or _is_number(wanted)):
                    continue
                rows = connection.execute(
                    exp.select(
                        exp.TryCast(
                            this=literal.copy(), to=exp.DataType.build(wanted, dialect="duckdb")
                        )
                    ).sql(dialect="duckdb")
                ).fetchall()
                if rows[0][0] is None:
                    raise SpecificationError(
                        f"The {parsed.kind} {parsed.sql!r} compares {wanted} with "
                        f"{literal.sql('duckdb')}, which is none."
                    )


def _others(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.Between):
        return [node.args["low"], node.args["high"]]
    if isinstance(node, exp.In):
        return list(node.expressions)
    return [node.expression]


def _is_text_literal(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and node.is_string


def _is_number(name: str) -> bool:
    return name.startswith(("DECIMAL", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")) or (
        name in ("FLOAT", "DOUBLE")
    )


def _guarded(tree: exp.Expr) -> exp.Expr:
    """No row may raise: DuckDB's TRY gives NULL where the expression would fail."""
    risky = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.Func)
    if not any(isinstance(node, risky) for node in tree.walk()):
        return tree
    return exp.Anonymous(this="try", expressions=[tree])
