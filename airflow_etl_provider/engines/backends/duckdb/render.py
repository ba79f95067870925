"""A plan as one DuckDB query: layers of projections over the scan, no row lost between them.

The query keeps every row of the scan. Besides the target columns `o0, o1, ...` it gives

- `_failed`: NULL for a good row, '' for a filtered one, else the positions of the failed checks,
  each followed by a comma, and after a bar the source record as JSON;
- `_warned`, where checks have severity `warn`: the positions of those that the row fails;
- `_key0`, ... where keys are remembered: a hash of each unique key of a good row;
- `_delete`, where records may delete: whether this one does;
- `_mark`, if the interval is marked: the value of its column as a 64-bit number.

Names inside are ours (`s0` a source field, `c1_0` a step, `o1` a column), so that no name in a file
can collide with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from sqlglot import exp

from airflow_etl_provider.contracts.conversions import Sql
from airflow_etl_provider.contracts.expressions import parse_expression
from airflow_etl_provider.contracts.rules import NotNull, RowExpression
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.checks import (
    any_of,
    call,
    is_not_null,
    is_null,
    render_rule,
    render_unstorable,
    value_literal,
)
from airflow_etl_provider.engines.backends.duckdb.conversions import render_conversion
from airflow_etl_provider.engines.backends.duckdb.expressions import (
    bind_condition,
    bind_expression,
    bind_failure,
)
from airflow_etl_provider.engines.interval import in_microseconds
from airflow_etl_provider.engines.plan import (
    DeleteNotComputed,
    DoesNotFit,
    Duplicate,
    IsNull,
    NotComputed,
    NotConverted,
    OutsideInterval,
    RuleBroken,
    Unstorable,
    WrongKey,
)
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_etl_provider.contracts.rules import (
        Between,
        InSet,
        Length,
        Matches,
    )
    from airflow_etl_provider.engines.plan import (
        Deletes,
        Interval,
        Plan,
        PlannedColumn,
        RowCheck,
        Step,
        UniqueKey,
    )

__all__ = ["RenderedPlan", "bind_load_condition", "render_plan", "sql_of"]

FIRST, LAST = "0001-01-01 00:00:00+00:00", "9999-12-31 23:59:59.999999+00:00"
"""The instants that a position may stand at."""


def sql_of(tree: exp.Expr) -> str:
    """The text of a tree for DuckDB."""
    return tree.sql(dialect="duckdb")


def _name(name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True))


@dataclass(frozen=True, slots=True)
class _Failure:
    """When one step of one column failed."""

    condition: exp.Expr


@dataclass(slots=True)
class RenderedPlan:
    """The trees of one plan, bound once, put over any relation with the source's fields.

    :param layers: projections, each over the one before, all keeping what is below.
    :param tests: by position of the check; true for a row that fails it.
    :param gates: one of these is true wherever one of `tests` is; there are fewer of them.
    :param constants: what people wrote as values; each must be one of its column's type.
    """

    plan: Plan
    layers: list[list[exp.Expr]] = field(default_factory=list)
    kept: exp.Expr = field(default_factory=lambda: exp.Boolean(this=True))
    mark: exp.Expr | None = None
    tests: dict[int, exp.Expr] = field(default_factory=dict)
    gates: dict[int, exp.Expr] = field(default_factory=dict)
    constants: list[exp.Expr] = field(default_factory=list)

    def query(self, relation: str, *, with_keys: bool = False) -> exp.Select:
        """The query of the module's docstring over `relation` (a view's name)."""
        columns = [_name(f"o{i}") for i in range(len(self.plan.columns))]
        warned = [_name("_warned")] if self.plan.warning else []
        deletes = [] if self.plan.deletes is None else [_name("_delete")]
        mark = [] if self.mark is None else [self.mark.copy().as_("_mark")]
        keys = [
            self._key_hash(unique).as_(f"_key{number}")
            for number, unique in enumerate(self.plan.unique_keys if with_keys else ())
        ]
        return exp.select(*columns, _name("_failed"), *warned, *deletes, *mark, *keys).from_(
            self._judged(relation).subquery("judged")
        )

    def _key_hash(self, unique: UniqueKey) -> exp.Expr:
        values = self.outputs(unique.columns)
        competes = exp.and_(
            is_null(_name("_failed")),
            *[is_not_null(v) for v in values],
            *self._competing(with_deletes=unique.with_deletes),
        )
        return exp.Case(ifs=[exp.If(this=competes, true=call("hash", *values))])

    def keys(
        self, relation: str, columns: tuple[str, ...], *, with_deletes: bool = False
    ) -> exp.Select:
        """One 64-bit hash per kept row whose key has no NULL; nothing else is computed."""
        values = self.outputs(columns)
        return (
            exp.select(call("hash", *values).as_("h"))
            .from_(self._stacked(relation).subquery("stacked"))
            .where(
                exp.and_(
                    self.kept.copy(),
                    *[is_not_null(v) for v in values],
                    *self._competing(with_deletes=with_deletes),
                )
            )
        )

    def key_values(self, relation: str, columns: tuple[str, ...]) -> exp.Select:
        """The target columns of all kept rows that bring a row; nothing else is computed."""
        return (
            exp.select(*self.outputs(columns))
            .from_(self._stacked(relation).subquery("stacked"))
            .where(exp.and_(self.kept.copy(), *self._competing(with_deletes=False)))
        )

    def outputs(self, columns: tuple[str, ...]) -> list[exp.Column]:
        """Target columns by the names that queries of ours give them."""
        return [_name(f"o{self.plan.target.names.index(c)}") for c in columns]

    def _competing(self, *, with_deletes: bool) -> list[exp.Expr]:
        """A record that deletes brings no row that others could repeat."""
        if with_deletes or self.plan.deletes is None:
            return []
        return [exp.Not(this=_name("_delete"))]

    def candidates(
        self,
        relation: str,
        columns: tuple[str, ...],
        latest_by: str | None,
        hashes: str,
        *,
        with_deletes: bool = False,
    ) -> exp.Select:
        """Rows that compete and whose key hash is in table `hashes`, with positions."""
        names = self.plan.target.names
        values = self.outputs(columns)
        latest = _name(f"o{names.index(latest_by)}") if latest_by else exp.null()
        numbered = exp.select(
            exp.Star(),
            (exp.Window(this=call("row_number")) - exp.Literal.number(1)).as_("_row"),
        ).from_(self._judged(relation).subquery("judged"))
        suspects = exp.select(_name("h")).from_(exp.to_table(hashes))
        return (
            exp.select(
                _name("_row"),
                call("struct_pack", *[_pack(f"k{i}", v) for i, v in enumerate(values)]).as_("key"),
                latest.as_("latest"),
                self._record().as_("fields"),
            )
            .from_(numbered.subquery("numbered"))
            .where(
                exp.and_(
                    self._competes(),
                    exp.In(this=call("hash", *values), query=suspects.subquery()),
                    *self._competing(with_deletes=with_deletes),
                )
            )
        )

    def _competes(self) -> exp.Expr:
        if not self.plan.judges_all:
            return is_null(_name("_failed"))
        return exp.NullSafeNEQ(this=_name("_failed"), expression=exp.Literal.string(""))

    def _stacked(self, relation: str) -> exp.Select:
        fields = [
            exp.column(exp.to_identifier(f.name, quoted=True)).as_(f"s{i}", quoted=True)
            for i, f in enumerate(self.plan.source)
        ]
        query = exp.select(*fields).from_(exp.to_table(relation))
        for number, layer in enumerate(self.layers):
            query = exp.select(exp.Star(), *[e.copy() for e in layer]).from_(
                query.subquery(f"l{number}")
            )
        return query

    def _judged(self, relation: str) -> exp.Select:
        failing, warning = self.plan.rejecting, self.plan.warning
        failed = exp.Case(
            ifs=[
                exp.If(this=exp.Not(this=exp.paren(self.kept.copy())), true=exp.Literal.string("")),
                *self._numbers(failing, exp.Literal.string("|"), self._record()),
            ]
        )
        warned = [exp.Case(ifs=self._numbers(warning)).as_("_warned")] if warning else []
        return exp.select(exp.Star(), failed.as_("_failed"), *warned).from_(
            self._stacked(relation).subquery("stacked")
        )

    def _numbers(self, checks: tuple[int, ...], *more: exp.Expr) -> list[exp.Expr]:
        """Cheap for good rows: the parts are computed only where one of them holds."""
        if not checks:
            return []
        parts = [
            exp.Case(ifs=[exp.If(this=self.tests[i].copy(), true=exp.Literal.string(f"{i},"))])
            for i in checks
        ]
        gates = any_of([self.gates[i].copy() for i in checks if i in self.gates])
        return [exp.If(this=gates, true=call("concat", *parts, *more))]

    def _record(self) -> exp.Expr:
        pairs: list[exp.Expr] = []
        for i, source in enumerate(self.plan.source):
            pairs += [exp.Literal.string(source.name), _name(f"s{i}")]
        text = exp.DataType.build("VARCHAR", dialect="duckdb")
        return exp.Cast(this=call("json_object", *pairs), to=text)


def _pack(name: str, value: exp.Expr) -> exp.Expr:
    return exp.PropertyEQ(this=exp.to_identifier(name), expression=value)


def render_plan(plan: Plan) -> RenderedPlan:
    """Bind all that people wrote and stack the layers.

    :raises SpecificationError: an expression or a constant does not fit the schema.
    """
    return _Renderer(plan).render()


class _Renderer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.failures: dict[tuple[int, int], _Failure] = {}
        self.rendered = RenderedPlan(plan)

    def render(self) -> RenderedPlan:
        depths = [self._column(at, column) for at, column in enumerate(self.plan.columns)]
        for depth in range(max((len(steps) for steps in depths), default=0)):
            self.rendered.layers.append([s[depth] for s in depths if depth < len(s)])
        if self.plan.deletes is not None:
            # A condition that can't be computed is false here; a check of its own rejects.
            deletes = self._source_condition(self.plan.deletes.when, on_error=False)
            self.rendered.layers[0].append(_true(deletes).as_("_delete"))
        self.rendered.layers.append(
            [
                self._final(at, column, steps=len(depths[at])).as_(f"o{at}", quoted=True)
                for at, column in enumerate(self.plan.columns)
            ]
        )
        self.rendered.kept = self._kept()
        if self.plan.interval is not None and self.plan.interval.marked:
            self.rendered.mark = self._interval_value()
        before: Between | Length | None = None
        for at, check in enumerate(self.plan.row_checks):
            test = self._test(check)
            whole = check.test.whole if isinstance(check.test, RuleBroken) else None
            gate = test if whole is None else self._rule(whole)
            if self.plan.deletes is not None and not self._concerns_deletes(check):
                test, gate = _unless_deleted(test), _unless_deleted(gate)
            self.rendered.tests[at] = test
            if whole is None or whole is not before:
                self.rendered.gates[at] = gate
            before = whole
        return self.rendered

    def _source_condition(self, sql: str, *, on_error: bool) -> exp.Expr:
        bound = bind_condition(
            parse_expression(sql, kind="filter"), schema=self.plan.source, on_error=on_error
        )
        return self._renamed(bound, self.plan.source, "s")

    def _source_failure(self, sql: str) -> exp.Expr:
        failure = bind_failure(
            parse_expression(sql, kind="filter"), schema=self.plan.source, expect="bool"
        )
        return self._renamed(failure, self.plan.source, "s")

    def _renamed(self, tree: exp.Expr, schema: Schema, prefix: str) -> exp.Expr:
        """Point the names people wrote at our columns; DuckDB compares names without case."""
        places = {name.lower(): i for i, name in enumerate(schema.names)}

        def rename(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column):
                return _name(f"{prefix}{places[node.name.lower()]}")
            return node

        return tree.copy().transform(rename)

    def _column(self, at: int, column: PlannedColumn) -> list[exp.Expr]:
        """The steps of one column, cut after each that can fail so that its result has a name."""
        layers: list[exp.Expr] = []
        values: tuple[exp.Expr, ...] = tuple(_name(f"s{i}") for i in column.inputs)
        for number, step in enumerate(column.steps):
            result = self._step(step, number, values)
            if step.conversion.fallible:
                name = f"c{at}_{len(layers)}"
                layers.append(result.as_(name, quoted=True))
                self.failures[at, number] = _Failure(
                    self._sql(step, number, values, failure=True)
                    if isinstance(step.conversion, Sql)
                    else exp.and_(*[is_not_null(v) for v in values], is_null(_name(name)))
                )
                result = _name(name)
            values = (result,)
        if not layers or not isinstance(values[0], exp.Column):
            layers.append(values[0].copy().as_(f"c{at}_{len(layers)}", quoted=True))
        return layers

    def _step(self, step: Step, number: int, values: tuple[exp.Expr, ...]) -> exp.Expr:
        if isinstance(step.conversion, Sql):
            return self._sql(step, number, values, failure=False)
        return render_conversion(
            step.conversion,
            inputs=tuple(v.copy() for v in values),
            input_types=step.input_types,
            target=step.output,
        )

    def _sql(
        self, step: Step, number: int, values: tuple[exp.Expr, ...], *, failure: bool
    ) -> exp.Expr:
        """What an SQL step gives, or when it fails: it alone may give NULL on purpose.

        The first step sees the source's fields, a later one `value`: what the step before made.
        """
        parsed = parse_expression(cast("Sql", step.conversion).sql, kind="conversion")
        first = number == 0
        schema = self.plan.source if first else Schema((Field("value", step.input_types[0]),))
        if failure:
            tree = bind_failure(parsed, schema=schema, expect=step.output)
        else:
            tree, _ = bind_expression(parsed, schema=schema, expect=step.output)
        if first:
            return self._renamed(tree, self.plan.source, "s")
        value = values[0]
        return tree.copy().transform(lambda n: value.copy() if isinstance(n, exp.Column) else n)

    def _final(self, at: int, column: PlannedColumn, *, steps: int) -> exp.Expr:
        value: exp.Expr = _name(f"c{at}_{steps - 1}")
        if column.on_failure == "default":
            failed = any_of([f.condition for (c, _), f in self.failures.items() if c == at])
            default = self._constant(column.default, column.type)
            value = exp.Case(ifs=[exp.If(this=failed.copy(), true=default)], default=value)
        if column.when is not None:
            condition = self._source_condition(column.when, on_error=False)
            for (c, number), failure in list(self.failures.items()):
                if c == at:
                    self.failures[c, number] = _Failure(
                        exp.and_(_true(condition), exp.paren(failure.condition))
                    )
            value = exp.Case(ifs=[exp.If(this=condition.copy(), true=value)])
        if self.plan.deletes is not None and at not in self.plan.deletes.needs:
            value = exp.Case(ifs=[exp.If(this=exp.Not(this=_name("_delete")), true=value)])
        return value

    def _concerns_deletes(self, check: RowCheck) -> bool:
        """Whether a record that deletes must pass the check: it is about what such a one needs."""
        needs = cast("Deletes", self.plan.deletes).needs
        test = check.test
        if isinstance(test, NotConverted | DoesNotFit | Unstorable | IsNull):
            return test.column in needs
        if isinstance(test, NotComputed):
            return test.column is None or test.column in needs
        if isinstance(test, RuleBroken):
            if isinstance(test.check, RowExpression):
                return False
            return self.plan.target.names.index(test.check.column) in needs
        return True

    def _kept(self) -> exp.Expr:
        conditions = []
        if self.plan.filter is not None:
            # A record whose filter raises is kept here and rejected by a check of its own.
            conditions.append(_true(self._source_condition(self.plan.filter, on_error=True)))
        if self.plan.interval is not None:
            value, interval = self._interval_value(), self.plan.interval
            inside = [
                compare(this=value.copy(), expression=_bound(bound, marked=interval.marked))
                for compare, bound in ((exp.GTE, interval.start), (exp.LT, interval.end))
                if bound is not None
            ]
            if inside:
                within = exp.paren(exp.and_(*inside))
                conditions.append(call("coalesce", within, exp.Boolean(this=True)))
        return exp.and_(*conditions) if conditions else exp.Boolean(this=True)

    def _interval_value(self) -> exp.Expr:
        interval = cast("Interval", self.plan.interval)
        schema = self.plan.target if interval.scope == "target" else self.plan.source
        prefix = "o" if interval.scope == "target" else "s"
        column = _name(f"{prefix}{schema.names.index(interval.column)}")
        if interval.kind == "integer":
            return exp.TryCast(this=column, to=exp.DataType.build("BIGINT", dialect="duckdb"))
        value = exp.TryCast(this=column, to=exp.DataType.build("TIMESTAMPTZ", dialect="duckdb"))
        if not interval.marked:
            return value
        # Infinity would be the highest value for ever, and what Python can't write no bound.
        years = exp.Between(this=value, low=_instant(FIRST), high=_instant(LAST))
        return exp.Case(ifs=[exp.If(this=years, true=call("epoch_us", value.copy()))])

    def _test(self, check: RowCheck) -> exp.Expr:
        test = check.test
        if isinstance(test, NotConverted):
            return self.failures[test.column, test.step].condition
        if isinstance(test, DoesNotFit):
            length = call("length", _name(f"o{test.column}"))
            longer = exp.GT(this=length, expression=exp.Literal.number(test.length))
            return call("coalesce", longer, exp.Boolean(this=False))
        if isinstance(test, Unstorable):
            of = self.plan.columns[test.column].type
            return render_unstorable(_name(f"o{test.column}"), of, limit=test.limit)
        if isinstance(test, IsNull):
            return self._missing(is_null(_name(f"o{test.column}")), test.column)
        if isinstance(test, OutsideInterval):
            interval = cast("Interval", self.plan.interval)
            missing = is_null(self._interval_value())
            if interval.scope == "source":
                return missing
            return self._missing(missing, self.plan.target.names.index(interval.column))
        if isinstance(test, NotComputed):
            sql = self.plan.filter if test.column is None else self.plan.columns[test.column].when
            return self._source_failure(cast("str", sql))
        if isinstance(test, DeleteNotComputed):
            return self._source_failure(cast("Deletes", self.plan.deletes).when)
        if isinstance(test, RuleBroken):
            if isinstance(test.check, NotNull):
                at = self.plan.target.names.index(test.check.column)
                return self._missing(is_null(_name(f"o{at}")), at)
            return self._rule(test.check)
        if isinstance(test, Duplicate | WrongKey):
            raise SpecificationError("Keys are judged over all rows, not by a row check.")
        raise AssertionError(test)

    def _rule(
        self, check: NotNull | InSet | Between | Matches | Length | RowExpression
    ) -> exp.Expr:
        return render_rule(
            check,
            column=self._target_column,
            bind=self._row_condition,
            constant=self._constant,
        )

    def _missing(self, missing: exp.Expr, at: int) -> exp.Expr:
        """A value that did not convert is reported as that, not also as missing."""
        if self.plan.columns[at].on_failure != "reject":
            return missing
        failed = [f.condition for (c, _), f in self.failures.items() if c == at]
        return exp.and_(missing, exp.Not(this=exp.paren(any_of(failed)))) if failed else missing

    def _constant(self, value: object, of: LogicalType) -> exp.Expr:
        tree = value_literal(value, of)
        self.rendered.constants.append(tree)
        return tree.copy()

    def _target_column(self, name: str) -> tuple[exp.Expr, LogicalType]:
        at = self.plan.target.names.index(name)
        return _name(f"o{at}"), self.plan.target.fields[at].type

    def _row_condition(self, sql: str) -> exp.Expr:
        # A rule that can't be computed does not hold.
        bound = bind_condition(
            parse_expression(sql, kind="rule"), schema=self.plan.target, on_error=False
        )
        return self._renamed(bound, self.plan.target, "o")


def _unless_deleted(test: exp.Expr) -> exp.Expr:
    return exp.and_(exp.Not(this=_name("_delete")), exp.paren(test))


def _true(condition: exp.Expr) -> exp.Expr:
    return call("coalesce", exp.paren(condition.copy()), exp.Boolean(this=False))


def _bound(bound: datetime | int, *, marked: bool) -> exp.Expr:
    if isinstance(bound, int):
        return exp.Literal.number(bound)
    if marked:
        return exp.Literal.number(in_microseconds(bound))
    return _instant(bound.isoformat())


def _instant(text: str) -> exp.Expr:
    return exp.Cast(
        this=exp.Literal.string(text), to=exp.DataType.build("TIMESTAMPTZ", dialect="duckdb")
    )


def bind_load_condition(sql: str, figures: tuple[str, ...]) -> exp.Expr:
    """Check an SQL condition over the figures of a load.

    :raises SpecificationError: it is no condition over those names.
    """
    schema = Schema(tuple(Field(name, LogicalType("int64"), nullable=False) for name in figures))
    tree, _ = bind_expression(parse_expression(sql, kind="load"), schema=schema, expect="bool")
    return tree
