"""Expressions bound by DuckDB: typed against the schema, and made unable to raise on any row."""

from __future__ import annotations

import difflib
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from sqlglot import exp

from airflow_etl_provider.contracts.conversions import cast_refusal, holds
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.casts import strict_cast
from airflow_etl_provider.engines.backends.duckdb.trees import (
    call,
    choose,
    is_null,
    not_null,
    number,
    text,
    try_,
    try_cast,
    when,
)
from airflow_etl_provider.engines.backends.duckdb.types import from_duckdb, to_duckdb
from airflow_etl_provider.exceptions import NotSupportedYetError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

    from airflow_etl_provider.contracts.expressions import ParsedExpression
    from airflow_etl_provider.contracts.schema import Schema

__all__ = ["bind_condition", "bind_expression", "bind_failure"]

Expected = LogicalType | Literal["bool"] | None

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
    exp.Between,
    exp.In,
)

_CONDITIONS = (
    *_COMPARISONS,
    exp.And,
    exp.Or,
    exp.Not,
    exp.Is,
    exp.Like,
    exp.ILike,
    exp.Boolean,
    exp.Null,
)
"""What is a condition without asking."""

_PARSED_TEXT = frozenset(
    ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIME", "BOOLEAN", "UUID", "INTERVAL")
)
"""Types that DuckDB makes of a text literal when the two are compared, if it can."""

_FLOATS = frozenset(("FLOAT", "DOUBLE"))

MAX_NESTED_DIVISORS = 4
"""A divisor stands three times in the tree, so divisors in divisors multiply."""


def bind_expression(
    parsed: ParsedExpression, *, schema: Schema, expect: Expected = None
) -> tuple[exp.Expr, LogicalType]:
    """Type an expression over a schema; returns a tree ready for a plan, and what it gives.

    DuckDB binds it against an empty table with no access to anything outside. What could raise on a
    row (a cast, an overflow, a division by zero) gives NULL instead, and so does a result that is
    no finite number or, by the strict cast, none of the expected type.

    :param expect: "bool" for a condition; a type that the result is cast to, strictly.
    :raises SpecificationError: an unknown column, or types that don't fit.
    """
    tree, given = _bound(parsed, schema, expect)
    guarded = _guarded(tree)
    if expect == "bool":
        return guarded, given
    target = expect or given
    return _converted(guarded, given, target), target


def bind_condition(parsed: ParsedExpression, *, schema: Schema, on_error: bool) -> exp.Expr:
    """Type a condition; `on_error` is what it gives on a row where computing it raises.

    :raises SpecificationError: as `bind_expression` does.
    """
    tree, _ = _bound(parsed, schema, "bool")
    if not _is_risky(tree):
        return tree
    otherwise = exp.Array(expressions=[exp.Boolean(this=on_error)])
    return call("list_extract", call("coalesce", _attempt(tree), otherwise), number(1))


def bind_failure(parsed: ParsedExpression, *, schema: Schema, expect: Expected = None) -> exp.Expr:
    """Give the condition that an expression fails on a row; a NULL on purpose is no failure.

    True where it would raise, is not finite or not of the expected type; else false, never NULL.

    :raises SpecificationError: as `bind_expression` does.
    """
    tree, given = _bound(parsed, schema, expect)
    target = given if expect is None or expect == "bool" else expect
    value = _guarded(tree)
    converted = _converted(value, given, target)
    raised = is_null(_attempt(tree)) if _is_risky(tree) else exp.Boolean(this=False)
    if converted is value:
        return raised
    lost = exp.And(this=not_null(value), expression=is_null(converted))
    return exp.Or(this=raised, expression=exp.Paren(this=lost))


def _bound(
    parsed: ParsedExpression, schema: Schema, expect: Expected
) -> tuple[exp.Expr, LogicalType]:
    """The tree over the schema's own names, with divisors that raise when they are zero."""
    tree = _with_real_columns(parsed, schema)
    try:
        with _BINDING:
            binder = _Binder(parsed, schema)
            given = binder.result(tree)
            binder.check_conditions(tree)
            binder.check_comparisons(tree)
    except RecursionError as error:
        raise SpecificationError(f"The {parsed.kind} is nested too deeply.") from error
    if expect == "bool" and given.kind != "bool":
        raise SpecificationError(
            f"The {parsed.kind} {_short(parsed)} gives {given}; a condition gives true or false."
        )
    if isinstance(expect, LogicalType) and (refusal := cast_refusal(given, expect)):
        raise SpecificationError(f"The {parsed.kind} {_short(parsed)} gives {given}; {refusal}.")
    return _with_checked_divisors(tree, parsed), given


def _converted(value: exp.Expr, given: LogicalType, target: LogicalType) -> exp.Expr:
    """A finite value of the target's type, else NULL."""
    if given.kind in ("float32", "float64"):
        value = when(call("isfinite", value), value)
    elif given.kind == "decimal":
        # DuckDB's integers of 128 bits are decimals to us.
        value = try_cast(value, given)
    return value if holds(target, given) else strict_cast(value, given, target)


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


def _with_real_columns(parsed: ParsedExpression, schema: Schema) -> exp.Expr:
    """The tree with every column quoted under the schema's own spelling."""
    exact = {name: name for name in schema.names}
    folded: dict[str, list[str]] = {}
    for name in schema.names:
        folded.setdefault(name.lower(), []).append(name)

    def real(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        found = [exact[node.name]] if node.name in exact else folded.get(node.name.lower(), [])
        if len(found) > 1:
            raise SpecificationError(
                f"The {parsed.kind} {_short(parsed)} names {node.name!r}, which may be "
                f"{' or '.join(map(repr, found))}; write it as the column is written."
            )
        if not found:
            near = difflib.get_close_matches(node.name.lower(), folded, n=3)
            words = " or ".join(repr(folded[name][0]) for name in near)
            hint = f" Did you mean {words}?" if near else ""
            known = ", ".join(schema.names[:20])
            raise SpecificationError(
                f"The {parsed.kind} {_short(parsed)} names {node.name!r}, which is no column here."
                f"{hint} Columns: {known}."
            )
        return exp.column(exp.to_identifier(found[0], quoted=True))

    return parsed.tree.copy().transform(real)


class _Binder:
    """Asks DuckDB for types over one schema; used under the lock."""

    def __init__(self, parsed: ParsedExpression, schema: Schema) -> None:
        self._parsed = parsed
        self._connection = _connection()
        columns = [
            exp.ColumnDef(
                this=exp.to_identifier(field.name, quoted=True), kind=to_duckdb(field.type)
            )
            for field in schema
        ]
        table = exp.Create(
            this=exp.Schema(this=exp.to_table("typed_empty"), expressions=columns),
            kind="TABLE",
            replace=True,
        )
        self._connection.execute(table.sql(dialect="duckdb"))

    def result(self, tree: exp.Expr) -> LogicalType:
        """The type of the whole.

        :raises SpecificationError: DuckDB does not accept it over these types.
        """
        (found,) = self._types([tree])
        # DuckDB 1.5 calls a bare NULL an integer.
        if _name(found) == "NULL" or isinstance(tree.unnest(), exp.Null):
            return LogicalType("string")
        try:
            return from_duckdb(found)
        except NotSupportedYetError as error:
            raise type(error)(f"The {self._parsed.kind} {_short(self._parsed)}: {error}") from error

    def check_conditions(self, tree: exp.Expr) -> None:
        """Refuse what DuckDB takes silently: `not n` and `n and b` on what is no condition."""
        asked = [part for part in _used_as_conditions(tree) if not _is_condition(part)]
        for part, found in zip(asked, self._types(asked), strict=True):
            if _name(found) not in ("BOOLEAN", "NULL"):
                raise SpecificationError(
                    f"The {self._parsed.kind} {_short(self._parsed)} takes {part.sql('duckdb')} "
                    f"({found}) for a condition; write a comparison."
                )

    def check_comparisons(self, tree: exp.Expr) -> None:
        """Refuse comparisons that could only fail row by row, or mean what nobody meant.

        Text against a number or a date, a text literal that can't become what it is compared with
        (`d > 'nope'`), and an instant against what a clock shows.
        """
        groups = [[node.this, *_others(node)] for node in tree.find_all(*_COMPARISONS)]
        asked = [part for parts in groups for part in parts if not _is_text_literal(part)]
        names = {id(part): _name(of) for part, of in zip(asked, self._types(asked), strict=True)}
        for parts in groups:
            types = {names[id(part)] for part in parts if id(part) in names} - {"NULL"}
            self._check_types(types)
            for literal in filter(_is_text_literal, parts):
                self._check_literal(literal, types)
            values = {names[id(part)] for part in parts if not isinstance(part, exp.Literal)}
            for literal in filter(_is_number_literal, parts):
                self._check_number(literal, values)

    def _check_types(self, types: set[str]) -> None:
        where = f"The {self._parsed.kind} {_short(self._parsed)}"
        if "VARCHAR" in types and len(types) > 1:
            other = ", ".join(sorted(types - {"VARCHAR"}))
            raise SpecificationError(
                f"{where} compares text with {other}; cast the text, as in "
                "`cast(amount as decimal(12,2)) > 0`."
            )
        if "TIMESTAMP WITH TIME ZONE" in types and types & {"TIMESTAMP", "DATE", "TIME"}:
            raise SpecificationError(
                f"{where} compares an instant with what a clock shows; say whose clock, as in "
                "`instant at time zone 'Europe/Berlin'`."
            )

    def _check_literal(self, literal: exp.Expr, types: set[str]) -> None:
        for wanted in types:
            if not (wanted in _PARSED_TEXT or _is_number(wanted)):
                continue
            to = exp.DataType.build(wanted, dialect="duckdb")
            query = exp.select(exp.TryCast(this=literal.copy(), to=to))
            row = self._connection.execute(query.sql(dialect="duckdb")).fetchone()
            if row is None or row[0] is None:
                raise SpecificationError(
                    f"The {self._parsed.kind} {_short(self._parsed)} compares {wanted} with "
                    f"{literal.sql('duckdb')}, which is none."
                )

    def _check_number(self, literal: exp.Expr, types: set[str]) -> None:
        import duckdb as engine

        for wanted in filter(_is_number, types):
            zero = exp.Cast(this=number(0), to=exp.DataType.build(wanted, dialect="duckdb"))
            # Over a column: the optimizer takes the literal for one of its values.
            compared = exp.LT(this=exp.column("v"), expression=literal.copy())
            query = exp.select(compared).from_(exp.select(zero.as_("v")).subquery("t"))
            failed: engine.Error | None = None
            try:
                self._connection.execute(query.sql(dialect="duckdb")).fetchone()
            except engine.Error as error:
                failed = error
            # A BIGNUM may pass here, and fail once the optimizer knows a table's values.
            if failed is not None or (self._is_beyond_128_bits(literal) and wanted not in _FLOATS):
                raise SpecificationError(
                    f"The {self._parsed.kind} {_short(self._parsed)} compares {wanted} with "
                    f"{literal.sql('duckdb')}, which is too large or too exact for it."
                ) from failed

    def _is_beyond_128_bits(self, literal: exp.Expr) -> bool:
        (of,) = self._types([literal])
        return _name(of) == "BIGNUM"

    def _types(self, trees: Sequence[exp.Expr]) -> list[Any]:
        import duckdb as engine

        if not trees:
            return []
        columns = [tree.copy().as_(f"r{i}") for i, tree in enumerate(trees)]
        query = exp.select(*columns).from_("typed_empty").sql(dialect="duckdb")
        try:
            return list(self._connection.sql(query).types)
        except engine.Error as error:
            first = str(error).strip().splitlines()[0]
            raise SpecificationError(
                f"The {self._parsed.kind} {_short(self._parsed)} does not fit the columns' types: "
                f"{first}"
            ) from error


def _name(of: object) -> str:
    return str(of).strip('"').upper()


def _used_as_conditions(tree: exp.Expr) -> Iterator[exp.Expr]:
    for node in tree.find_all(exp.Not, exp.And, exp.Or, exp.Xor, exp.If):
        if isinstance(node, exp.Not):
            yield node.this
        elif isinstance(node, exp.If):
            parent = node.parent
            if not (isinstance(parent, exp.Case) and parent.this is not None):
                yield node.this
        else:
            yield from (node.this, node.expression)


def _is_condition(node: exp.Expr) -> bool:
    while isinstance(node, exp.Paren):
        node = node.this
    return isinstance(node, _CONDITIONS)


def _others(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.Between):
        return [node.args["low"], node.args["high"]]
    if isinstance(node, exp.In):
        return list(node.expressions)
    return [node.expression]


def _is_text_literal(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and node.is_string


def _is_number_literal(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string


def _is_number(name: str) -> bool:
    integers = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
    return name.startswith(("DECIMAL", *integers)) or name in _FLOATS


def _with_checked_divisors(tree: exp.Expr, parsed: ParsedExpression) -> exp.Expr:
    """Make a division by zero raise, as the others do; DuckDB's `/` gives an infinite number.

    `128 - abs(sign(d))` fits a TINYINT for every divisor but zero, where the cast raises in every
    version of DuckDB; error() can't stand in TRY().
    """
    for node in tree.find_all(exp.Div, exp.IntDiv, exp.Mod):
        nested = sum(1 for _ in node.expression.find_all(exp.Div, exp.IntDiv, exp.Mod))
        if nested > MAX_NESTED_DIVISORS:
            raise SpecificationError(
                f"The {parsed.kind} {_short(parsed)} has too many divisions inside a divisor."
            )

    # From the leaves up, so that the copies of a divisor are checked too.
    for part in reversed(list(tree.walk())):
        if not isinstance(part, exp.Div | exp.IntDiv | exp.Mod) or _is_safe(part.expression):
            continue
        divisor = part.expression
        less = exp.Sub(this=number(128), expression=call("abs", call("sign", divisor)))
        tiny = exp.Cast(this=less, to=exp.DataType.build("TINYINT", dialect="duckdb"))
        fine = exp.EQ(this=tiny, expression=number(127))
        part.set("expression", choose((fine, divisor)))
    return tree


def _is_safe(divisor: exp.Expr) -> bool:
    """Whether it needs no check: the optimizer computes constants beforehand, outside of TRY()."""
    return divisor.find(exp.Column) is None


def _is_risky(tree: exp.Expr) -> bool:
    risky = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.Func)
    return any(isinstance(node, risky) for node in tree.walk())


def _guarded(tree: exp.Expr) -> exp.Expr:
    """No row may raise: NULL where the expression would fail."""
    if not _is_risky(tree):
        return tree
    return call("list_extract", _attempt(tree), number(1))


def _attempt(tree: exp.Expr) -> exp.Expr:
    """Give a list of the one value, or NULL where computing it raises.

    DuckDB computes what two expressions share beforehand, outside of TRY(), where it raises. It
    does not look into a lambda, so the whole is computed in one, over a struct of the columns.
    """
    columns = list(dict.fromkeys(node.name for node in tree.find_all(exp.Column)))
    names = {name: f"c{at}" for at, name in enumerate(columns)}
    row = exp.to_identifier("_row", quoted=True)

    def inside(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        return exp.Anonymous(
            this="struct_extract", expressions=[row.copy(), text(names[node.name])]
        )

    packed: list[exp.Expr] = [
        exp.PropertyEQ(
            this=exp.to_identifier(names[name]),
            expression=exp.column(exp.to_identifier(name, quoted=True)),
        )
        for name in columns
    ]
    given: exp.Expr = exp.Anonymous(this="struct_pack", expressions=packed)
    if not packed:
        given = number(1)
    rows = exp.Anonymous(this="list_value", expressions=[given])
    body = exp.Lambda(this=tree.copy().transform(inside), expressions=[row.copy()], colon=True)
    return try_(exp.Anonymous(this="list_transform", expressions=[rows, body]))


def _short(parsed: ParsedExpression) -> str:
    words = " ".join(parsed.sql.split())
    return repr(words if len(words) <= 120 else f"{words[:117]}...")
