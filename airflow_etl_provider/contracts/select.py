"""A `select` over named inputs: parsed, and held to an allow-list of tree classes.

It is one query that reads the named inputs and nothing else: no file, no table function, no
catalog, no statement. Inside it the rules of expressions hold, and aggregates and windows come
from a closed list, since a load must give the same rows again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.contracts.expressions import (
    FUNCTIONS,
    check_node,
    parse_single,
    refused,
)
from airflow_etl_provider.contracts.problem import did_you_mean
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlglot import exp

__all__ = ["AGGREGATES", "MAX_DEPTH", "WINDOWS", "InputTable", "ParsedSelect", "parse_select"]

MAX_DEPTH = 60
"""Levels of nodes: a query nests deeper than an expression."""

AGGREGATES = frozenset(
    """
    count sum min max avg mean median quantile_cont quantile_disc string_agg listagg group_concat
    list array_agg arg_min arg_max min_by max_by count_if countif bool_and bool_or
    stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop covar_samp
    """.split()  # noqa: SIM905
)
"""Aggregates that give the same for the same rows, in whatever order they come."""

WINDOWS = frozenset(
    """
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value
    nth_value
    """.split()  # noqa: SIM905
)
"""Functions that need `over (...)`; aggregates may have it too."""

_MORE = frozenset(["unnest", "grouping", "grouping_id"])

_REFUSED_AGGREGATES = {
    **dict.fromkeys(
        ("first", "last", "any_value", "arbitrary", "mode"),
        "which takes a row by chance; use min, max, arg_min or arg_max",
    ),
    **dict.fromkeys(
        ("approx_count_distinct", "approx_quantile", "approx_top_k", "reservoir_quantile"),
        "which only estimates; use count(distinct ...) or quantile_cont",
    ),
}

_RELATIONAL = """
    Select From Join Where Group Having Qualify Order Ordered Limit Offset Distinct With CTE
    Subquery TableAlias Alias Union Except Intersect Exists Unnest Explode Lateral Values Rollup
    Cube GroupingSets Window WindowSpec Filter IgnoreNulls RespectNulls WithinGroup Star Dot
    Struct PropertyEQ ColumnDef
""".split()  # noqa: SIM905

_REASONS = {
    "Into": "a table to write into",
    "Lock": "a lock",
    "TableSample": "a sample, which is chance",
    "Pivot": "a pivot; write aggregates with `filter (where ...)`",
    "HistoricalData": "a table of another time",
    "LimitOptions": "a limit by share or with ties",
    "Columns": "columns by pattern; write their names",
}


@dataclass(frozen=True, slots=True)
class InputTable:
    """Marks a table of the tree as one of the inputs: its name in the tree is `key`."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class ParsedSelect:
    """A query that only reads its inputs; whether names and types fit is for a backend to say.

    :param tree: the sqlglot tree, in which inputs are called `input_0`, `input_1`, ... and the
        queries of a WITH `with_0`, `with_1`, ..., each under the name that was written as alias.
    :param inputs: the inputs that it reads, in the order of their keys.
    """

    sql: str
    tree: exp.Expr
    inputs: tuple[InputTable, ...]


def parse_select(sql: str, *, inputs: Collection[str]) -> ParsedSelect:
    """Parse and check what a person wrote.

    :param inputs: the names of the inputs that it reads, and all that it may read.
    :raises SpecificationError: with the position and the reason.
    """
    tree, called = parse_single(sql, kind="select", depth=MAX_DEPTH)
    from sqlglot import exp

    if not isinstance(tree, exp.Select | exp.SetOperation | exp.Subquery):
        raise refused(
            sql, "select", _first_word(sql), "no query; it begins with `select` or `with`"
        )
    for word in sorted(called & _REFUSED_AGGREGATES.keys()):
        raise refused(sql, "select", word, f"the function {word}, {_REFUSED_AGGREGATES[word]}")
    allowed = called & (FUNCTIONS | AGGREGATES | WINDOWS | _MORE)
    known = frozenset[type[Any]]().union(*map(_classes_of, sorted(allowed)))
    for node in tree.walk(bfs=False):
        _check(node, sql, known)
    tree = tree.copy()
    resolver = _Resolver(sql, inputs)
    resolver.resolve(tree, {})
    _check_output(tree, sql)
    if not resolver.used:
        raise SpecificationError(
            "The select reads none of its inputs.", hint=f"There are: {_listed(inputs)}."
        )
    if unread := [name for name in inputs if name not in resolver.used]:
        raise SpecificationError(
            f"There is an input {unread[0]!r}, which the select does not read.",
            hint="Take it out of `inputs`, or read it.",
        )
    return ParsedSelect(sql, tree, tuple(resolver.used.values()))


def _check(node: exp.Expr, sql: str, known: frozenset[type[Any]]) -> None:
    """Refuse every class of node that is not known to only compute on rows of the inputs."""
    from sqlglot import exp

    name = type(node).__name__
    if name in _REASONS:
        raise refused(sql, "select", _excerpt(node), _REASONS[name])
    if isinstance(node, exp.Column | exp.Var | exp.Identifier | exp.JSONPathWildcard):
        return
    if (check := _CHECKS.get(name)) is not None:
        check(node, sql)
    elif type(node) not in known and not isinstance(node, _relational()):
        if isinstance(node, exp.AggFunc):
            word = _excerpt(node).lower()
            reason = f"the aggregate {word}, which is not among the allowed ones"
            raise refused(sql, "select", word, f"{reason}{did_you_mean(word, AGGREGATES)}")
        check_node(node, sql, "select", frozenset({"unknown"}))


_FUNCTION_AS_TABLE = "a function in place of a table; only the named inputs can be read"


def _check_source(node: exp.Expr, sql: str) -> None:
    if not isinstance(node.this, _sources()):
        raise refused(sql, "select", _excerpt(node.this), _FUNCTION_AS_TABLE)
    if str(node.args.get("method") or "").upper() == "POSITIONAL":
        raise refused(sql, "select", "positional", "a join by position, which rows have not")


def _check_with(node: exp.Expr, sql: str) -> None:
    if node.args.get("recursive"):
        raise refused(sql, "select", "recursive", "a recursive WITH, not supported yet")


def _check_lateral(node: exp.Expr, sql: str) -> None:
    from sqlglot import exp

    if not isinstance(node.this, exp.Subquery | exp.Unnest) or node.args.get("view"):
        raise refused(sql, "select", "lateral", "a LATERAL that is no subquery")


def _check_query(node: exp.Expr, sql: str) -> None:
    for key in ("hint", "kind", "operation_modifiers"):
        if node.args.get(key):
            raise refused(
                sql, "select", "select", f"a {key} beside SELECT, which is not known here"
            )


def _check_type(node: exp.Expr, sql: str) -> None:
    if node.this.value not in ("ARRAY", "LIST", "STRUCT"):
        check_node(node, sql, "select", frozenset())


def _check_function(node: exp.Expr, sql: str) -> None:
    if str(node.this).lower() not in AGGREGATES | WINDOWS | _MORE:
        check_node(node, sql, "select", frozenset())


def _check_table(node: exp.Expr, sql: str) -> None:
    from sqlglot import exp

    if not isinstance(node.this, exp.Identifier):
        raise refused(sql, "select", _excerpt(node), _FUNCTION_AS_TABLE)
    if node.args.get("db") or node.args.get("catalog"):
        raise refused(
            sql, "select", _excerpt(node), "a table with a schema; inputs stand alone by their name"
        )
    plain = {"this", "alias", "joins", "laterals"}
    if extra := [key for key, value in node.args.items() if value and key not in plain]:
        raise refused(sql, "select", _excerpt(node), f"a table with {extra[0]}")


_CHECKS = {
    "Table": _check_table,
    "From": _check_source,
    "Join": _check_source,
    "With": _check_with,
    "Lateral": _check_lateral,
    "Select": _check_query,
    "Union": _check_query,
    "Except": _check_query,
    "Intersect": _check_query,
    "DataType": _check_type,
    "Anonymous": _check_function,
}


@lru_cache(maxsize=1)
def _sources() -> tuple[type[Any], ...]:
    from sqlglot import exp

    return (exp.Table, exp.Subquery, exp.Unnest, exp.Lateral, exp.Values)


@lru_cache(maxsize=1)
def _relational() -> tuple[type[Any], ...]:
    from sqlglot import exp

    return tuple(getattr(exp, name) for name in _RELATIONAL if hasattr(exp, name))


@lru_cache(maxsize=256)
def _classes_of(name: str) -> frozenset[type[Any]]:
    """The classes that sqlglot makes of an allowed function, some of which it names otherwise."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import ParseError

    known: set[type[Any]] = set()
    for arguments in ("", "a", "a, b", "a, b, c", "'x', a"):
        try:
            tree = sqlglot.parse_one(f"SELECT {name}({arguments})", read="duckdb")
        except ParseError:
            continue
        known |= {type(node) for node in tree.find_all(exp.Func)}
    return frozenset(known - {exp.Anonymous, exp.AnonymousAggFunc})


class _Resolver:
    """Finds what each table of a query is, and gives it a name that nothing else has."""

    def __init__(self, sql: str, inputs: Collection[str]) -> None:
        self._sql = sql
        self._inputs = {name.lower(): name for name in inputs}
        self._queries = 0
        self.used: dict[str, InputTable] = {}

    def resolve(self, node: exp.Expr, scope: Mapping[str, str]) -> None:
        """Rename the tables below `node`; `scope` has the queries of WITH that are in reach."""
        from sqlglot import exp

        within = next((part for part in node.args.values() if isinstance(part, exp.With)), None)
        if within is not None:
            scope = self._with(within, scope)
        if isinstance(node, exp.Table):
            self._rename(node, scope)
        for child in list(node.iter_expressions()):
            if child is not within:
                self.resolve(child, scope)

    def _with(self, within: exp.With, scope: Mapping[str, str]) -> Mapping[str, str]:
        from sqlglot import exp

        for query in within.expressions:
            self.resolve(query.this, scope)
            written = query.alias.lower()
            if written in self._inputs:
                raise refused(
                    self._sql,
                    "select",
                    query.alias,
                    f"a WITH named {query.alias!r}, as an input is",
                )
            new = f"with_{self._queries}"
            self._queries += 1
            query.args["alias"].set("this", exp.to_identifier(new))
            scope = {**scope, written: new}
        return scope

    def _rename(self, table: exp.Table, scope: Mapping[str, str]) -> None:
        from sqlglot import exp

        written, folded = table.name, table.name.lower()
        if folded in scope:
            new = scope[folded]
        elif folded in self._inputs:
            name = self._inputs[folded]
            if name not in self.used:
                self.used[name] = InputTable(name, f"input_{len(self.used)}")
            new = self.used[name].key
        else:
            near = did_you_mean(written, self._inputs.values()).rstrip("?")
            raise refused(
                self._sql,
                "select",
                written,
                f"the table {written!r}, which is none of the inputs "
                f"({_listed(self._inputs.values())}){near}",
            )
        if not table.alias:
            alias = exp.to_identifier(written, quoted=True)
            table.set("alias", exp.TableAlias(this=alias))
        table.set("this", exp.to_identifier(new))


def _check_output(tree: exp.Expr, sql: str) -> None:
    """Refuse columns of the outcome that have no name of their own."""
    from sqlglot import exp

    while isinstance(tree, exp.SetOperation | exp.Subquery):
        tree = tree.this
    if not isinstance(tree, exp.Select):
        raise refused(
            sql, "select", _first_word(sql), "no query; it begins with `select` or `with`"
        )
    for at, column in enumerate(tree.expressions, 1):
        if not isinstance(column, exp.Column | exp.Alias | exp.Star):
            raise refused(
                sql, "select", _excerpt(column), f"no name for column {at} of its outcome; write "
                "`... as name`"
            )  # fmt: skip


def _excerpt(node: exp.Expr) -> str:
    """What may stand in the text for a node: its first name."""
    from sqlglot import exp

    if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
        return node.name
    first = node.find(exp.Identifier, exp.Literal)
    if isinstance(node, exp.Func) or isinstance(node.this, exp.Func):
        func = node if isinstance(node, exp.Func) else node.this
        return str(func.this) if isinstance(func, exp.Anonymous) else func.sql_name()
    return first.name if first is not None else type(node).__name__


def _first_word(sql: str) -> str:
    return sql.split(maxsplit=1)[0] if sql.split() else sql


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
