"""Conversions about values as a whole, as DuckDB trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.contracts.conversions import (
    Cast,
    Coalesce,
    ConstantValue,
    Default,
    Identity,
    MapValues,
    NullIf,
    NullWords,
)
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.casts import strict_cast
from airflow_etl_provider.engines.backends.duckdb.conversions import Inputs, renders
from airflow_etl_provider.engines.backends.duckdb.text_conversions import BLANKS
from airflow_etl_provider.engines.backends.duckdb.trees import (
    atom,
    call,
    cast,
    choose,
    is_null,
    one_of,
    text,
    when,
)
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from decimal import Decimal

    Written = str | int | float | bool | Decimal | None

__all__ = ["constant"]


def constant(value: Written, of: LogicalType) -> exp.Expr:
    """Render what a person wrote as a value of a type.

    :raises SpecificationError: it is no value of that type.
    """
    if value is None:
        return cast(exp.Null(), of)
    written = ("true" if value else "false") if isinstance(value, bool) else str(value)
    given = LogicalType("string")
    if isinstance(value, bool) and of.is_number:
        raise SpecificationError(f"{written} is no {of}.")
    tree = strict_cast(text(written), given, of)
    if not _is_value(tree):
        raise SpecificationError(f"{written!r} is no {of}.")
    # The engine folds constants, so a plain cast costs no more than a literal.
    return tree if of.kind == "binary" else cast(text(_written(written, of)), of)


def _written(value: str, of: LogicalType) -> str:
    if of.kind == "bool":
        return "true" if value.strip().lower() in ("true", "t", "yes", "y", "on", "1") else "false"
    return value if of.is_text else value.strip()


def _is_value(tree: exp.Expr) -> bool:
    import duckdb

    connection = duckdb.connect(config={"enable_external_access": "false", "threads": "1"})
    try:
        row = connection.execute(
            exp.select(exp.Not(this=exp.Paren(this=is_null(tree)))).sql(dialect="duckdb")
        ).fetchone()
    finally:
        connection.close()
    return bool(row and row[0])


@renders(Identity)
def _identity(_: Identity, inputs: Inputs) -> exp.Expr:
    return inputs.value.copy()


@renders(Cast)
def _cast(conversion: Cast, inputs: Inputs) -> exp.Expr:
    return strict_cast(inputs.value, inputs.type, inputs.output, rounded=conversion.round)


@renders(ConstantValue)
def _constant(conversion: ConstantValue, inputs: Inputs) -> exp.Expr:
    return constant(conversion.value, inputs.output)


@renders(Default)
def _default(conversion: Default, inputs: Inputs) -> exp.Expr:
    return call("coalesce", inputs.value, constant(conversion.value, inputs.type))


@renders(Coalesce)
def _coalesce(_: Coalesce, inputs: Inputs) -> exp.Expr:
    return call("coalesce", *inputs.trees)


@renders(NullWords)
def _null_words(conversion: NullWords, inputs: Inputs) -> exp.Expr:
    word = call("trim", inputs.value, text(BLANKS))
    words = [word.strip(BLANKS) for word in conversion.words]
    if conversion.ignore_case:
        word = call("lower", word)
        words = [word.lower() for word in words]
    if not words:
        return inputs.value.copy()
    listed = one_of(word, [text(w) for w in dict.fromkeys(words)])
    return when(exp.Not(this=exp.Paren(this=listed)), inputs.value)


@renders(NullIf)
def _nullif(conversion: NullIf, inputs: Inputs) -> exp.Expr:
    listed = one_of(inputs.value, [constant(value, inputs.type) for value in conversion.value])
    return when(exp.Not(this=exp.Paren(this=listed)), inputs.value)


@renders(MapValues)
def _map_values(conversion: MapValues, inputs: Inputs) -> exp.Expr:
    given = inputs.value.copy()
    keys = list(conversion.values)
    if inputs.type.is_text and conversion.ignore_case:
        given = call("lower", given)
        keys = [str(key).lower() for key in keys]
        if len(set(keys)) < len(keys):
            raise SpecificationError("map_values has a key twice, as case does not count.")
    key_type = LogicalType("string") if inputs.type.is_text else inputs.type
    results = conversion.values.values()
    branches: list[tuple[exp.Expr, exp.Expr]] = [
        (exp.EQ(this=atom(given), expression=constant(key, key_type)), constant(to, inputs.output))
        for key, to in zip(keys, results, strict=True)
    ]
    branches.insert(0, (is_null(inputs.value), cast(exp.Null(), inputs.output)))
    otherwise: exp.Expr | None = None
    if conversion.otherwise == "keep":
        otherwise = inputs.value
    elif isinstance(conversion.otherwise, dict):
        otherwise = constant(conversion.otherwise["value"], inputs.output)
    return choose(*branches, otherwise=otherwise)
