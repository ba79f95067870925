"""Which fields of the inputs each column of a select comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from airflow_etl_provider.contracts.select import parse_select
from airflow_etl_provider.engines.lineage import InputField, SourceSide, Use, children, is_hiding
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_etl_provider.engines.lineage import Origins

__all__ = ["select_lineage"]

Found = tuple[SourceSide, str, Use]


def select_lineage(
    sql: str, *, inputs: Mapping[str, SourceSide], columns: tuple[str, ...]
) -> tuple[Origins, tuple[InputField, ...]]:
    """Follow each column of a query to fields of its inputs; and those that decide on its rows.

    :param columns: what the query gives, in order, by the names that the plan knows.
    :raises SpecificationError: the query can't be followed.
    """
    parsed = parse_select(sql, inputs=inputs)
    sides = {table.key: inputs[table.name] for table in parsed.inputs}
    schema: dict[str, object] = {
        key: {field.name: str(field.type.kind) for field in side.schema}
        for key, side in sides.items()
    }
    try:
        tree = qualify(
            parsed.tree.copy(), schema=schema, dialect="duckdb", validate_qualify_columns=False
        )
        scope = build_scope(tree)
        if scope is None:
            raise SpecificationError("The select is no query.")
        query = _Query(sides)
        # From the inputs upwards, so that a long chain of queries is no deep one.
        for part in scope.traverse():
            written = part.expression.selects if isinstance(part.expression, exp.Query) else []
            for at in range(len(written)):
                query.output(part, at)
        origins = {name: _gathered(query.output(scope, at)) for at, name in enumerate(columns)}
        return origins, _gathered(query.deciding(scope))
    except SqlglotError as error:
        raise SpecificationError("The columns of the select can't be followed.") from error


class _Query:
    """One qualified query; scopes are visited as columns lead to them.

    Each column is followed once, however many others are made of it: ways through a chain of
    queries double with every one of them.
    """

    def __init__(self, sides: Mapping[str, SourceSide]) -> None:
        self._sides = sides
        self._outputs: dict[tuple[Scope, int], tuple[Found, ...]] = {}

    def output(self, scope: Scope, at: int) -> tuple[Found, ...]:
        """What the column at a position is made of, each way once."""
        known = self._outputs.get((scope, at))
        if known is None:
            found = {(side.name, field, use): side for side, field, use in self._made_of(scope, at)}
            known = tuple((side, field, use) for (_, field, use), side in found.items())
            self._outputs[scope, at] = known
        return known

    def _made_of(self, scope: Scope, at: int) -> Iterator[Found]:
        parts = _branches(scope)
        for part in parts:
            yield from self.output(part, at)
        query = scope.expression
        if not parts and isinstance(query, exp.Query) and at < len(query.selects):
            yield from self._value(scope, query.selects[at].unalias())

    def deciding(self, scope: Scope) -> Iterator[Found]:
        """What decides which rows there are, in all queries within."""
        for part in scope.traverse():
            query = part.expression
            for key, use in (
                ("where", Use("FILTER", words=("where",))),
                ("having", Use("FILTER", words=("having",))),
                ("qualify", Use("FILTER", words=("qualify",))),
                ("group", Use("GROUP_BY", words=("group by",))),
            ):
                if (clause := query.args.get(key)) is not None:
                    yield from self._walk(part, clause, use)
            for join in query.args.get("joins") or ():
                for key, child in children(join):
                    if key in ("on", "using"):
                        yield from self._walk(part, child, Use("JOIN", words=("join",)))
            order = query.args.get("order")
            if order is not None and query.args.get("limit") is not None:
                yield from self._walk(part, order, Use("SORT", words=("order by",)))

    def _value(self, scope: Scope, node: exp.Expr) -> Iterator[Found]:
        bare = node.unnest()
        plain = isinstance(bare, exp.Column)
        use = Use("IDENTITY" if plain else "TRANSFORMATION", words=("select",))
        yield from self._walk(scope, bare, use)

    def _walk(self, scope: Scope, node: exp.Expr, use: Use) -> Iterator[Found]:
        if isinstance(node, exp.Column):
            for side, field, made in self._column(scope, node):
                yield side, field, made.then(use)
            return
        if isinstance(node, exp.Query) and node is not scope.expression:
            query = node.unnest()
            inner = next((s for s in scope.subquery_scopes if s.expression is query), None)
            if inner is not None:
                for at in range(len(node.selects)):
                    for side, field, made in self.output(inner, at):
                        yield side, field, made.then(use)
            return
        if isinstance(node, exp.AggFunc) and use.type == "DIRECT":
            use = replace(use, subtype="AGGREGATION")
        if isinstance(node, exp.Func) and is_hiding(node):
            use = replace(use, masking=True)
        for key, child in children(node):
            yield from self._walk(scope, child, _inside(node, key, use))

    def _column(self, scope: Scope, column: exp.Column) -> Iterator[Found]:
        source = scope.sources.get(column.table)
        if isinstance(source, Scope):
            query = source.expression
            written = query.named_selects if isinstance(query, exp.Query) else []
            names = [name.lower() for name in written]
            if column.name.lower() in names:
                yield from self.output(source, names.index(column.name.lower()))
        elif isinstance(source, exp.Table) and source.name in self._sides:
            side = self._sides[source.name]
            own = {name.lower(): name for name in reversed(side.schema.names)}
            if (name := own.get(column.name.lower())) is not None:
                yield side, name, Use("IDENTITY")


def _branches(scope: Scope) -> list[Scope]:
    """The queries of a UNION, INTERSECT or EXCEPT."""
    # sqlglot renamed them between the ends of the range that we take.
    name = "set_operation_scopes" if hasattr(scope, "set_operation_scopes") else "union_scopes"
    return list(getattr(scope, name))


def _inside(node: exp.Expr, key: str, use: Use) -> Use:
    """How a child of a node is used, where the node's own value is used by `use`."""
    if use.type != "DIRECT":
        return use
    conditional = (
        (isinstance(node, exp.Case | exp.If) and key == "this")
        or (isinstance(node, exp.Nullif) and key == "expression")
        or (isinstance(node, exp.Filter) and key == "expression")
    )
    if conditional:
        return replace(use, subtype="CONDITIONAL")
    if isinstance(node, exp.Window) and key != "this":
        return replace(use, subtype="WINDOW")
    return use


def _gathered(found: Iterable[Found]) -> tuple[InputField, ...]:
    """Each field once, with all its uses."""
    uses: dict[tuple[str, str], tuple[SourceSide, list[Use]]] = {}
    for side, field, use in found:
        kept = uses.setdefault((side.name, field), (side, []))[1]
        if use not in kept:
            kept.append(use)
    return tuple(
        InputField(side.dataset, field, tuple(kept)) for (_, field), (side, kept) in uses.items()
    )
