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
    is_null,
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


_MARK = "\ue000"
"""A private character: where a document has it itself, its numbers are not marked."""

_LONG_NUMBER = "[0-9][0-9.]{15,}"
"""DuckDB takes numbers in JSON for doubles, which hold fifteen digits for certain."""

_UNMARKED = r'"(?:[^"\\]|\\.)*"|[0-9][0-9.]*[eE][-+]?[0-9]+'
"""Texts, and numbers with an exponent, which have no digits to lose that mean anything."""


@renders(JsonPath)
def _json_path(conversion: JsonPath, inputs: Inputs) -> exp.Expr:
    path, written = text(conversion.path), cast(inputs.value, _STRING)
    exact = call("json_extract_string", _marked(written), path)
    plain = call("json_extract_string", written, path)
    if inputs.output.kind == "json":
        found = call("json_extract", inputs.value, path)
        null = exp.EQ(this=call("json_type", found), expression=text("NULL"))
        plain = choose((null, exp.Null()), otherwise=found)
        exact = call("json_extract", _marked(written), path)
        exact_null = exp.EQ(this=call("json_type", exact), expression=text("NULL"))
        unmarked = cast(_unmarked(cast(exact, _STRING)), inputs.output)
        exact = choose((exact_null, exp.Null()), otherwise=unmarked)
    else:
        exact = _unmarked(exact)
    long = call("regexp_matches", written, text(_LONG_NUMBER))
    has_mark = exp.Paren(this=exp.Not(this=call("contains", written, text(_MARK))))
    return choose((exp.And(this=long, expression=has_mark), exact), otherwise=plain)


def _marked(written: exp.Expr) -> exp.Expr:
    """The same JSON with long numbers as texts that begin with the mark.

    Control characters can't stand in JSON, so they can show where a number begins and ends.
    """
    pattern = text(f"({_UNMARKED})|(-?{_LONG_NUMBER})")
    shown = call("regexp_replace", written, pattern, text("\\1\x01\\2\x02"), text("g"))
    texts = call("replace", shown, text("\x01\x02"), text(""))
    begun = call("replace", texts, text("\x01"), text(f'"{_MARK}'))
    return call("replace", begun, text("\x02"), text('"'))


def _unmarked(found: exp.Expr) -> exp.Expr:
    """What was found, with its numbers as they were."""
    bare = call("starts_with", found, text(_MARK))
    pattern, number_alone = text(f'"{_MARK}([^"]*)"'), call("substring", found, number(2))
    inside = call("regexp_replace", found, pattern, text("\\1"), text("g"))
    return choose((bare, number_alone), otherwise=inside)


@renders(ArraySplit)
def _array_split(conversion: ArraySplit, inputs: Inputs) -> exp.Expr:
    empty = exp.EQ(this=atom(inputs.value), expression=text(""))
    split = call("string_split", inputs.value, text(conversion.separator))
    return choose((empty, cast(call("list_value"), inputs.output)), otherwise=split)


@renders(ArrayJoin)
def _array_join(conversion: ArrayJoin, inputs: Inputs) -> exp.Expr:
    joined = call("array_to_string", inputs.value, text(conversion.separator))
    # DuckDB makes NULL of an array that has nothing but NULLs.
    return choose(
        (is_null(inputs.value), cast(exp.Null(), inputs.output)),
        otherwise=call("coalesce", joined, text("")),
    )
