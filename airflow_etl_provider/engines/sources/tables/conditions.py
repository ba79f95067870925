"""The parts of a condition that a database may decide: where it can't mean anything else.

The whole condition is decided by our own engine. A database that leaves rows out before only
saves reading them, so it is given nothing but comparisons of a column with a constant of the
column's own type, of types that every database orders in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timezone
from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.contracts.expressions import parse_expression
from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.contracts.mapping import MappingContract
    from airflow_etl_provider.contracts.schema import Field, Schema
    from airflow_etl_provider.contracts.types import LogicalType
    from airflow_etl_provider.engines.plan import Interval

__all__ = ["Condition", "conditions_of", "conditions_of_interval"]

_FLIPPED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.EQ,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
}

_WHOLE = {"int16": 1 << 15, "int32": 1 << 31, "int64": 1 << 63}
_TIMES = ("date", "timestamp", "timestamptz")


@dataclass(frozen=True, slots=True)
class Condition:
    """`column` compared with a constant; `value` is its text, in ISO form.

    :ivar is_number: `value` is a literal of SQL as it stands.
    :ivar or_null: rows without a value meet it too.
    """

    column: str
    operator: type[exp.Expr]
    value: str
    type: LogicalType
    or_null: bool = False

    @property
    def is_number(self) -> bool:
        return self.type.kind in _WHOLE

    def over(self, column: exp.Expr, constant: exp.Expr) -> exp.Expr:
        """Write it over a column and a constant as a database has them."""
        compared = self.operator(this=column, expression=constant)
        if not self.or_null:
            return compared
        return exp.paren(exp.or_(compared, exp.Is(this=column.copy(), expression=exp.null())))


def conditions_of_interval(
    interval: Interval, contract: MappingContract, schema: Schema
) -> tuple[Condition, ...]:
    """Give what leaves unread most of what is outside of an interval; none where that may err.

    Rows without a value are read: they are rejected, which must be told.
    """
    column = interval.column
    if interval.scope == "target":
        mapping = contract.columns.get(column)
        if mapping is None or len(mapping.from_) != 1 or mapping.convert or mapping.when:
            return ()
        column = mapping.from_[0]
    if column not in schema:
        return ()
    of = schema[column].type
    wanted = contract.target.fields.get(interval.column) if interval.scope == "target" else of
    if of != wanted:
        return ()
    bounds = ((exp.GTE, interval.start), (exp.LT, interval.end))
    written = [(operator, _bound(value, of)) for operator, value in bounds if value is not None]
    return tuple(
        Condition(column, operator, text, of, or_null=True)
        for operator, text in written
        if text is not None
    )


def _bound(value: datetime | int, of: LogicalType) -> str | None:
    """Write a bound as the column has its values; None where that is not exact."""
    if isinstance(value, int):
        return str(value) if of.kind in _WHOLE and abs(value) < _WHOLE[of.kind] else None
    moment = value.astimezone(timezone.utc)
    if of.kind == "timestamptz":
        return moment.isoformat(sep=" ")
    if of.kind == "timestamp":
        return moment.replace(tzinfo=None).isoformat(sep=" ")
    if of.kind == "date" and moment.time() == time(0):
        return moment.date().isoformat()
    return None


def conditions_of(where: str, schema: Schema) -> tuple[Condition, ...]:
    """Give the conditions that must all hold for `where` to hold, as far as there are any."""
    tree: exp.Expr = parse_expression(where, kind="filter").tree
    fields = {field.name.lower(): field for field in schema}
    found = (_condition(part, fields) for part in _parts(tree))
    return tuple(one for one in found if one is not None)


def _parts(tree: exp.Expr) -> Iterator[exp.Expr]:
    tree = tree.unnest()
    if isinstance(tree, exp.And):
        yield from _parts(tree.this)
        yield from _parts(tree.expression)
    elif isinstance(tree, exp.Between):
        yield exp.GTE(this=tree.this, expression=tree.args["low"])
        yield exp.LTE(this=tree.this, expression=tree.args["high"])
    else:
        yield tree


def _condition(part: exp.Expr, fields: dict[str, Field]) -> Condition | None:
    operator = type(part)
    if operator not in _FLIPPED:
        return None
    left, right = part.this.unnest(), part.expression.unnest()
    if isinstance(right, exp.Column):
        left, right, operator = right, left, _FLIPPED[operator]
    if not isinstance(left, exp.Column) or left.name.lower() not in fields:
        return None
    field = fields[left.name.lower()]
    value = _value(right, field.type)
    return None if value is None else Condition(field.name, operator, value, field.type)


def _value(constant: exp.Expr, of: LogicalType) -> str | None:
    """The constant as the column's type has it; None where it is anything else."""
    if isinstance(constant, exp.Cast) and constant.to == to_duckdb(of):
        constant = constant.this
    if of.kind in _WHOLE:
        return _as_whole(constant, below=_WHOLE[of.kind])
    if of.kind in _TIMES and isinstance(constant, exp.Literal) and constant.is_string:
        return _as_text(constant, of)
    return None


def _as_whole(constant: exp.Expr, *, below: int) -> str | None:
    """A number that the column may have: what a database makes of a larger one is its own."""
    if not isinstance(constant, exp.Literal) or constant.is_string or not constant.is_int:
        return None
    value = int(constant.name)
    return str(value) if value < below else None


def _as_text(constant: exp.Literal, of: LogicalType) -> str | None:
    """What our engine makes of a text: the database may read it otherwise."""
    import duckdb

    typed = exp.TryCast(this=constant.copy(), to=to_duckdb(of))
    text = exp.Cast(this=typed, to=exp.DataType.build("VARCHAR", dialect="duckdb"))
    with duckdb.connect(config={"threads": "1", "enable_external_access": "false"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        ((value,),) = connection.execute(exp.select(text).sql(dialect="duckdb")).fetchall()
    # Infinity and times before Christ are written differently.
    return value if isinstance(value, str) and value[:4].isdigit() and "BC" not in value else None
