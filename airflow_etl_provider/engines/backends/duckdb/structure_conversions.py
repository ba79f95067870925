"""Conversions of JSON and lists, and those that hide a value, as DuckDB trees."""

from __future__ import annotations

from sqlglot import exp

from airflow_etl_provider.contracts.conversions import (
    ArrayJoin,
    ArraySplit,
    Hash,
    JsonParse,
    JsonPath,
    Mask,
    Uuid5,
)
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.casts import strict_json
from airflow_etl_provider.engines.backends.duckdb.conversions import Inputs, renders
from airflow_etl_provider.engines.backends.duckdb.text_conversions import all_given, texts_of
from airflow_etl_provider.engines.backends.duckdb.trees import (
    atom,
    call,
    cast,
    choose,
    number,
    text,
    try_cast,
)

_STRING = LogicalType("string")


def _joined(inputs: Inputs) -> exp.Expr:
    """One text of all inputs, in which every input can be told from the next."""
    texts = texts_of(inputs)
    if len(texts) == 1:
        return texts[0]
    parts: list[exp.Expr] = []
    for written in texts:
        parts += [cast(call("length", written), _STRING), text(":"), written]
    return all_given(inputs, call("concat", *parts))


@renders(Hash)
def _hash(conversion: Hash, inputs: Inputs) -> exp.Expr:
    return call(conversion.algorithm, _joined(inputs))


@renders(Mask)
def _mask(conversion: Mask, inputs: Inputs) -> exp.Expr:
    value, length = inputs.value, call("length", inputs.value)
    shown = conversion.keep_first + conversion.keep_last
    character = text(conversion.character)
    whole = call("repeat", character, length)
    if not shown:
        return whole
    inside = call("repeat", character, exp.Sub(this=length, expression=number(shown)))
    parts = [inside]
    if conversion.keep_first:
        parts.insert(0, call("left", value, number(conversion.keep_first)))
    if conversion.keep_last:
        parts.append(call("right", value, number(conversion.keep_last)))
    short = exp.LTE(this=length.copy(), expression=number(shown))
    # concat() would make empty text of NULL; the condition is NULL then, and so is `length`.
    long = exp.GT(this=length.copy(), expression=number(shown))
    return choose((short, whole), (long, call("concat", *parts)))


@renders(Uuid5)
def _uuid5(conversion: Uuid5, inputs: Inputs) -> exp.Expr:
    space = call("unhex", text(conversion.space.hex))
    name = call("encode", _joined(inputs))
    digest = call("sha1", exp.Paren(this=exp.DPipe(this=space, expression=name)))

    def digits(start: int, count: int) -> exp.Expr:
        return call("substring", digest, number(start), number(count))

    variant = call("translate", digits(17, 1), text("0123456789abcdef"), text("89ab89ab89ab89ab"))
    dash, version = text("-"), text("-5")
    parts = [
        digits(1, 8), dash, digits(9, 4), version, digits(14, 3), dash,
        variant, digits(18, 3), dash, digits(21, 12),
    ]  # fmt: skip
    joined: exp.Expr = parts[0]
    for part in parts[1:]:
        joined = exp.DPipe(this=joined, expression=part)
    return try_cast(exp.Paren(this=joined), LogicalType("uuid"))


@renders(JsonParse)
def _json_parse(_: JsonParse, inputs: Inputs) -> exp.Expr:
    return strict_json(inputs.value)


@renders(JsonPath)
def _json_path(conversion: JsonPath, inputs: Inputs) -> exp.Expr:
    path = text(conversion.path)
    if inputs.output.kind != "json":
        return call("json_extract_string", inputs.value, path)
    found = call("json_extract", inputs.value, path)
    null = exp.EQ(this=call("json_type", found), expression=text("NULL"))
    return choose((null, exp.Null()), otherwise=found)


@renders(ArraySplit)
def _array_split(conversion: ArraySplit, inputs: Inputs) -> exp.Expr:
    empty = exp.EQ(this=atom(inputs.value), expression=text(""))
    split = call("string_split", inputs.value, text(conversion.separator))
    return choose((empty, cast(call("list_value"), inputs.output)), otherwise=split)


@renders(ArrayJoin)
def _array_join(conversion: ArrayJoin, inputs: Inputs) -> exp.Expr:
    return call("array_to_string", inputs.value, text(conversion.separator))
