"""A select bound by DuckDB over its inputs' types, and settled so that the same rows give the same.

Binding happens on empty tables, on a connection of its own that can reach nothing outside. What a
query leaves to chance (which of equals comes first) is then decided by the values themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.types import from_duckdb, to_duckdb
from airflow_etl_provider.engines.relational.value_names import (
    CLOCK_NAMES,
    VALUE_NAMES,
    is_alias,
    tables_of,
)
from airflow_etl_provider.exceptions import NotSupportedYetError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.select import InputTable, ParsedSelect

__all__ = ["BoundSelect", "bind_select", "input_view", "sql_of"]

_COMPARISONS = (
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.NullSafeEQ,
    exp.NullSafeNEQ,
    exp.Between,
    exp.In,
)

_TRUTHS = (*_COMPARISONS, exp.And, exp.Or, exp.Not, exp.Is, exp.Like, exp.ILike, exp.Boolean)
"""What is true or false without asking."""

_BY_PLACE = (
    exp.RowNumber,
    exp.Lag,
    exp.Lead,
    exp.FirstValue,
    exp.LastValue,
    exp.NthValue,
    exp.ArrayAgg,
    exp.GroupConcat,
    exp.ArgMax,
    exp.ArgMin,
)
"""Functions of a window for which it matters which of equals comes first."""

_BY_PLACE_NAMES = frozenset(("ntile", "row_number", "lag", "lead", "nth_value"))

_SUMS = (exp.Sum, exp.Avg)

_FLOATING = (
    exp.Stddev,
    exp.StddevPop,
    exp.StddevSamp,
    exp.Variance,
    exp.VariancePop,
    exp.Corr,
    exp.CovarPop,
    exp.CovarSamp,
)
"""Aggregates that add floating-point numbers up, whatever they are given."""

MOST_NAMES = 30
"""Of each input, in a message."""

_SOURCES = ("from_", "from", "joins", "laterals", "windows")


@dataclass(frozen=True, slots=True)
class BoundSelect:
    """A query that is ready to run over the tables of its inputs.

    :param schema: its columns, in our types.
    :param one_thread: what it adds up or ranks depends on the order in which rows meet, so that
        only one thread gives the same every time.
    """

    tree: exp.Expr
    inputs: tuple[InputTable, ...]
    schema: Schema
    one_thread: bool


def sql_of(tree: exp.Expr) -> str:
    """The text of a tree for DuckDB, without what people wrote as comments."""
    # All names in quotes: which words need them differs between versions.
    return tree.sql(dialect="duckdb", comments=False, identify=True)


def input_view(key: str, table: str, schema: Schema, *, only: exp.Expr | None = None) -> str:
    """Write the statement that shows a table of ours (c0, c1, ...) under the input's own names.

    A view, because a table would also have a `rowid`.
    """
    columns = [exp.column(f"c{at}").as_(field.name, quoted=True) for at, field in enumerate(schema)]
    query = exp.select(*columns).from_(exp.to_table(table))
    if only is not None:
        query = query.where(only)
    view = exp.Create(this=exp.to_table(key), kind="VIEW", replace=True, expression=query)
    return sql_of(view)


def bind_select(parsed: ParsedSelect, *, schemas: Mapping[str, Schema]) -> BoundSelect:
    """Type a select over the schemas of its inputs, and settle what it leaves to chance.

    :raises SpecificationError: a name is unknown or ambiguous, types don't fit, or a column of the
        outcome occurs twice.
    """
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "lock_configuration": True,
            "threads": 1,
        },
    )
    try:
        for table in parsed.inputs:
            _make_empty(connection, table.key, schemas[table.name])
        binder = _Binder(connection, parsed, schemas=schemas)
        binder.outcome(parsed.tree)
        binder.check_names()
        binder.check_comparisons()
        binder.check_conditions()
        one_thread = binder.depends_on_order()
        tree = binder.settled()
        return BoundSelect(tree, parsed.inputs, binder.outcome(tree), one_thread)
    except RecursionError as error:
        raise SpecificationError("The select is nested too deeply.") from error
    finally:
        connection.close()


def _make_empty(connection: DuckDBPyConnection, key: str, schema: Schema) -> None:
    columns = [
        exp.ColumnDef(this=exp.to_identifier(f"c{at}"), kind=to_duckdb(field.type))
        for at, field in enumerate(schema)
    ]
    table = exp.Schema(this=exp.to_table(f"empty_{key}"), expressions=columns)
    connection.execute(sql_of(exp.Create(this=table, kind="TABLE")))
    connection.execute(input_view(key, f"empty_{key}", schema))


class _Binder:
    """Asks DuckDB about one query over empty tables."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        parsed: ParsedSelect,
        *,
        schemas: Mapping[str, Schema],
    ) -> None:
        self._connection = connection
        self._schemas = {table.name: schemas[table.name] for table in parsed.inputs}
        self._tree = parsed.tree
        self._with = [
            query for part in parsed.tree.find_all(exp.With) for query in part.expressions
        ]
        # Names of WITH are unique in the whole tree, and number n reads none after it.
        self._with.sort(key=lambda query: int(query.alias.removeprefix("with_")))

    def outcome(self, tree: exp.Expr) -> Schema:
        """The columns that a query gives.

        :raises SpecificationError: DuckDB does not accept it, or a name occurs twice.
        """
        import duckdb

        sql = sql_of(tree)
        try:
            names = [column[0] for column in self._connection.execute(sql).description or ()]
            types = self._connection.sql(sql).types
        except duckdb.Error as error:
            told = _told(error)
            missing = "not found" in told or "does not have a column" in told
            raise SpecificationError(
                f"The select does not fit its inputs: {told}",
                hint=self._columns() if missing else None,
            ) from error
        seen: dict[str, str] = {}
        for name in names:
            if name.lower() in seen:
                raise SpecificationError(
                    f"The select gives two columns named {seen[name.lower()]!r} and {name!r}.",
                    hint="Rename one by `as`; of a join, take the key once: `join ... using "
                    "(key)`, or name the columns instead of `*`.",
                )
            seen[name.lower()] = name
        return Schema(tuple(map(_field, names, types)))

    def check_names(self) -> None:
        """Refuse the clock and the session, which DuckDB gives for a name that is no column."""
        for column in self._tree.find_all(exp.Column):
            name = column.name.lower()
            if name not in VALUE_NAMES or column.table or self._is_column(column):
                continue
            what = "the clock" if name in CLOCK_NAMES else "a setting of the session"
            raise SpecificationError(
                f"The select names {name!r}, which is no column there but {what}; a load must give "
                "the same result again.",
                hint="If it is a column, write its table before it, as in `orders.user`.",
            )

    def _is_column(self, column: exp.Expr) -> bool:
        """Whether a name without a table is one of a table around it, or an alias."""
        if isinstance(column.parent, exp.Star) or is_alias(column):
            return True
        query = column.find_ancestor(exp.Select)
        while query is not None:
            for table in tables_of(query):
                named = exp.column(column.this.copy(), table=table.copy())
                if self._types([named], query) is not None:
                    return True
            query = query.find_ancestor(exp.Select)
        return False

    def check_comparisons(self) -> None:
        """Refuse text compared with numbers or dates, and instants with what a clock shows.

        DuckDB would cast the one to the other, and fail at the first row where that can't be done.
        """
        for node in list(self._tree.find_all(*_COMPARISONS)):
            parts = [node.this, *_others(node)]
            self._check_pair(_shown(node), [part for part in parts if not _is_text(part)], node)
        for join in self._tree.find_all(exp.Join):
            self._check_using(join)

    def check_conditions(self) -> None:
        """Refuse numbers and text where a condition has to stand."""
        for part in _conditions(self._tree):
            inner = part.unnest()
            if isinstance(inner, _TRUTHS):
                continue
            types = self._types([part], part)
            if types and types[0] not in ("BOOLEAN", "NULL"):
                raise SpecificationError(
                    f"The select takes {_shown(part)} ({types[0]}) for a condition; write a "
                    "comparison."
                )

    def depends_on_order(self) -> bool:
        """Whether the order in which rows meet shows in the outcome."""
        if any(map(_is_by_place, self._tree.find_all(exp.Window))):
            return True
        if any(join.args.get("method") == "ASOF" for join in self._tree.find_all(exp.Join)):
            return True
        if self._tree.find(*_FLOATING) is not None:
            return True
        for added in self._tree.find_all(*_SUMS):
            argument = added.this
            if isinstance(argument, exp.Distinct):
                argument = argument.expressions[0]
            types = self._types([argument], added)
            if not types or types[0] in ("FLOAT", "DOUBLE"):
                return True
        return False

    def settled(self) -> exp.Expr:
        """The query with everything in order: what is cut off, listed, and given."""
        tree = self._tree.copy()
        for chosen in list(tree.find_all(exp.ArgMax, exp.ArgMin)):
            _settle_choice(chosen)
        for listed in list(tree.find_all(exp.ArrayAgg, exp.GroupConcat)):
            if not isinstance(listed.find_ancestor(exp.Window, exp.Select), exp.Window):
                _settle_list(listed)
        for query in list(tree.find_all(exp.Select, exp.SetOperation, exp.Subquery)):
            if query is tree or _is_cut(query):
                self._settle_order(query)
        return tree

    def _columns(self) -> str:
        """What the inputs have, where a name was not found."""
        return " ".join(
            f"Fields of {name}: {', '.join(schema.names[:MOST_NAMES])}"
            f"{', ...' if len(schema) > MOST_NAMES else ''}."
            for name, schema in self._schemas.items()
        )

    def _settle_order(self, query: exp.Expr) -> None:
        order = query.args.get("order")
        given = list(order.expressions) if order is not None else []
        if any(isinstance(part.this, exp.Var) for part in given):
            return  # ORDER BY ALL
        every = [
            exp.Ordered(this=exp.Literal.number(at), nulls_first=False)
            for at in range(1, self._width(query) + 1)
        ]
        query.set("order", exp.Order(expressions=[*given, *every]))

    def _width(self, query: exp.Expr) -> int:
        first = query
        while not isinstance(first, exp.Select):
            first = first.this
        if not any(part.find(exp.Star) for part in first.expressions if not part.find(exp.Count)):
            return len(first.expressions)
        alone = self._with_all(query.copy())
        return len(self.outcome(alone))

    def _with_all(self, query: exp.Expr) -> exp.Expr:
        for key in ("with_", "with"):
            query.set(key, None)
        if not self._with:
            return query
        names = [part.copy() for part in self._with]
        key = "with_" if "with_" in exp.Select.arg_types else "with"
        query.set(key, exp.With(expressions=names))
        return query

    def _check_pair(self, shown: str, parts: list[exp.Expr], place: exp.Expr) -> None:
        types = set(self._types(parts, place) or ()) - {"NULL"}
        if "VARCHAR" in types and types - {"VARCHAR", "JSON"}:
            other = ", ".join(sorted(types - {"VARCHAR"}))
            raise SpecificationError(
                f"The select compares text with {other}: {shown}.",
                hint="Give the field a type under `fields` of its input, or cast one side to text.",
            )
        if "TIMESTAMP WITH TIME ZONE" in types and types & {"TIMESTAMP", "DATE", "TIME"}:
            raise SpecificationError(
                f"The select compares an instant with what a clock shows: {shown}.",
                hint="Say whose clock, as in `instant at time zone 'Europe/Berlin'`.",
            )

    def _check_using(self, join: exp.Join) -> None:
        select = join.find_ancestor(exp.Select)
        if select is None:
            return
        right = join.this.alias
        for column in join.args.get("using") or ():
            for left in select.find_all(exp.Table, exp.Subquery):
                if left.alias and left.alias != right:
                    pair: list[exp.Expr] = [
                        exp.column(column.copy(), table=exp.to_identifier(name, quoted=True))
                        for name in (left.alias, right)
                    ]
                    self._check_pair(f"using ({column.name})", pair, join)

    def _types(self, parts: Sequence[exp.Expr], place: exp.Expr) -> list[str] | None:
        """The types of parts of the query that stands around `place`.

        None where they can't stand alone: they use what an outer query has, or names of columns of
        the outcome.
        """
        import duckdb

        select = place if isinstance(place, exp.Select) else place.find_ancestor(exp.Select)
        if select is None or not parts:
            return None
        probe = exp.select(*[part.copy().as_(f"p{at}") for at, part in enumerate(parts)])
        for key in _SOURCES:
            value = select.args.get(key)
            if value:
                copied = [v.copy() for v in value] if isinstance(value, list) else value.copy()
                probe.set(key, copied)
        try:
            found = self._connection.sql(sql_of(self._with_all(probe))).types
        except duckdb.Error:
            return None
        return [str(of).strip('"').upper() for of in found]


def _shown(node: exp.Expr) -> str:
    return node.sql(dialect="duckdb", comments=False)


def _field(name: str, of: Any) -> Field:
    if str(of).strip('"').upper() == "NULL":
        return Field(name, LogicalType("string"))
    try:
        return Field(name, from_duckdb(of))
    except NotSupportedYetError as error:
        raise type(error)(f"Column {name!r} of the select: {error}") from error


def _others(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.Between):
        return [node.args["low"], node.args["high"]]
    if isinstance(node, exp.In):
        return list(node.expressions)
    return [node.expression]


def _is_text(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and bool(node.is_string)


def _conditions(tree: exp.Expr) -> Iterator[exp.Expr]:
    for node in tree.walk():
        if isinstance(node, exp.Where | exp.Having | exp.Qualify | exp.Not):
            yield node.this
        elif isinstance(node, exp.Join) and node.args.get("on") is not None:
            yield node.args["on"]
        elif isinstance(node, exp.And | exp.Or):
            yield from (node.this, node.expression)


def _is_by_place(window: exp.Window) -> bool:
    function: exp.Expr = window.this
    while isinstance(function, exp.IgnoreNulls | exp.RespectNulls | exp.Filter):
        function = function.this
    spec = window.args.get("spec")
    if spec is not None and str(spec.args.get("kind") or "").upper() == "ROWS":
        return True
    named = isinstance(function, exp.Anonymous) and str(function.this).lower() in _BY_PLACE_NAMES
    return named or isinstance(function, _BY_PLACE) or function.key == "ntile"


def _is_cut(query: exp.Expr) -> bool:
    distinct = query.args.get("distinct")
    on = isinstance(distinct, exp.Distinct) and distinct.args.get("on") is not None
    return bool(query.args.get("limit") or query.args.get("offset") or on)


def _settle_choice(chosen: exp.Expr) -> None:
    """Of several rows with the largest value take the one with the largest (smallest) result."""
    value, result = chosen.expression, chosen.this
    both = exp.Anonymous(this="row", expressions=[value.copy(), result.copy()])
    there = exp.Not(
        this=exp.Paren(this=exp.Is(this=exp.Paren(this=value.copy()), expression=exp.Null()))
    )
    chosen.set("expression", exp.Case(ifs=[exp.If(this=there, true=both)]))


def _settle_list(listed: exp.Expr) -> None:
    """Order what is listed by what was written, and then by the values themselves."""
    inner = listed.this
    given = list(inner.expressions) if isinstance(inner, exp.Order) else []
    values = inner.this if isinstance(inner, exp.Order) else inner
    value = values.expressions[0] if isinstance(values, exp.Distinct) else values
    last = exp.Ordered(this=value.copy(), nulls_first=False)
    listed.set("this", exp.Order(this=values.copy(), expressions=[*given, last]))


def _told(error: BaseException) -> str:
    """What DuckDB says of a query on no rows, without the query itself."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[:1] + [line for line in lines[1:] if line.startswith("Candidate bindings")]
    words = " ".join(told).replace("Candidate bindings: :", "There are:")
    return words.removeprefix("Binder Error: ").removeprefix("Catalog Error: ") or "no reason given"
