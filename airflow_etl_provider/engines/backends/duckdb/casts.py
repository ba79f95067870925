"""The strict cast: a value becomes the other type if it is exactly one of its values, else NULL.

DuckDB's own TRY_CAST rounds ('1.7' to 2), reads 1e3, 0x1F and 1_000 as integers, 2024/1/5 and
`infinity` as dates, and drops offsets. Text that reads back as it was written (nearly all text
does) is taken at the price of writing it; only the rest is matched against a pattern.
"""

from __future__ import annotations

from sqlglot import exp

from airflow_etl_provider.contracts.conversions import cast_refusal, holds
from airflow_etl_provider.contracts.types import Kind, LogicalType
from airflow_etl_provider.engines.backends.duckdb.trees import (
    atom,
    call,
    cast,
    choose,
    is_null,
    matches,
    number,
    text,
    try_,
    try_cast,
    when,
)
from airflow_etl_provider.exceptions import NotSupportedYetError, SpecificationError

__all__ = [
    "FALSE_WORDS",
    "TRUE_WORDS",
    "instant_of_utc",
    "strict_cast",
    "strict_json",
    "text_of",
    "text_to_decimal",
    "text_to_float",
    "text_to_timestamptz",
    "words_to_bool",
]

TRUE_WORDS = ("true", "t", "yes", "y", "on", "1")
FALSE_WORDS = ("false", "f", "no", "n", "off", "0")
"""PostgreSQL's words."""

_STRING = LogicalType("string")
_DATE = LogicalType("date")
_TIMESTAMP = LogicalType("timestamp")
_TIMESTAMPTZ = LogicalType("timestamptz")
_FLOATS: tuple[Kind, ...] = ("float32", "float64")

DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6}0*)?)?"
OFFSET = r"(Z|z|[+-](0[0-9]|1[0-8])(:?[0-5][0-9])?)"
UUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"


def strict_cast(
    value: exp.Expr, given: LogicalType, target: LogicalType, *, rounded: bool = False
) -> exp.Expr:
    """Render the cast of `value` from `given` to `target`; NULL where it is not exactly possible.

    :param rounded: round numbers half away from zero instead.
    :raises SpecificationError: no value of that type can be cast so.
    """
    if holds(target, given):
        return value.copy()
    if refusal := cast_refusal(given, target):
        raise SpecificationError(f"{refusal}.")
    if target.kind == "string":
        return _fitting(text_of(value, given), target, given)
    if given.kind == "string":
        return _from_text(value, target, rounded=rounded)
    if given.is_number and target.is_number:
        return _number_to_number(value, given, target, rounded=rounded)
    if target.kind == "json":
        return _finite_only(value, given, call("to_json", value))
    if given.element is not None and target.element is not None:
        return _array(value, given.element, target.element, rounded=rounded)
    if given.kind == "struct":
        raise NotSupportedYetError(f"cast from {given} to {target} is not supported yet.")
    return _simple(value, given, target)


def text_of(value: exp.Expr, given: LogicalType) -> exp.Expr:
    """Render the one text of a value; not finite numbers have none.

    Instants are written in UTC whatever the session's time zone: 2024-01-05 08:00:00+00.
    """
    if given.kind == "string":
        return value.copy()
    if given.kind == "binary":
        return try_(call("decode", value))
    if given.kind == "timestamptz":
        utc = cast(call("timezone", text("UTC"), value), _STRING)
        return exp.Paren(this=exp.DPipe(this=utc, expression=text("+00")))
    return _finite_only(value, given, cast(value, _STRING))


def _fitting(value: exp.Expr, target: LogicalType, given: LogicalType) -> exp.Expr:
    if target.length is None or (given.length is not None and given.length <= target.length):
        return value
    short = exp.LTE(this=call("length", value), expression=number(target.length))
    return when(short, value)


def _finite_only(value: exp.Expr, given: LogicalType, result: exp.Expr) -> exp.Expr:
    return when(call("isfinite", value), result) if given.kind in _FLOATS else result


def _from_text(value: exp.Expr, target: LogicalType, *, rounded: bool) -> exp.Expr:
    if target.is_integer:
        if rounded:
            return when(matches(value, _plain_number()), try_cast(value, target))
        return _read_back(value, target, r"\s*[+-]?[0-9]+\s*")
    if target.kind == "decimal":
        return text_to_decimal(value, target, rounded=rounded)
    if target.kind in _FLOATS:
        return text_to_float(value, target)
    if target.kind == "bool":
        return words_to_bool(value, TRUE_WORDS, FALSE_WORDS)
    if target.kind == "date":
        return _read_back(value, target, rf"\s*{DAY}\s*", unless=" (BC)")
    if target.kind == "timestamp":
        return _read_back(value, target, rf"\s*{DAY}([ T]{CLOCK})?\s*", unless=" (BC)")
    if target.kind == "timestamptz":
        return text_to_timestamptz(value)
    if target.kind == "time":
        bare = call("trim", value, text(" \t\r\n\f\v"))
        return when(
            exp.And(
                this=matches(value, rf"\s*{CLOCK}\s*"),
                expression=exp.Not(this=call("starts_with", bare, text("24"))),
            ),
            try_cast(bare, target),
        )
    if target.kind == "uuid":
        trimmed = call("trim", value)
        return when(matches(trimmed, UUID), try_cast(trimmed, target))
    if target.kind == "binary":
        return call("encode", value)
    return strict_json(value)


def _read_back(
    value: exp.Expr, target: LogicalType, pattern: str, *, unless: str | None = None
) -> exp.Expr:
    """Take what reads back as it was written, else what is as the pattern says.

    :param unless: an end of the written form that is refused (years before 1).
    """
    result = try_cast(value, target)
    same: exp.Expr = exp.EQ(this=cast(result, _STRING), expression=atom(value))
    if unless is not None:
        # `infinity` reads back too, and so do years beyond four digits.
        same = exp.And(
            this=same,
            expression=exp.And(
                this=exp.GTE(this=result.copy(), expression=cast(text("0001-01-01"), target)),
                expression=exp.LT(this=result.copy(), expression=cast(text("10000-01-01"), target)),
            ),
        )
        checked = when(
            exp.GTE(this=result.copy(), expression=cast(text("0001-01-01"), target)), result
        )
        return choose((same, result), (matches(value, pattern), checked))
    return choose((same, result), (matches(value, pattern), result))


def _plain_number() -> str:
    return r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)\s*"


def text_to_decimal(value: exp.Expr, target: LogicalType, *, rounded: bool = False) -> exp.Expr:
    """Render text in plain notation as a decimal; digits that would be lost reject unless zeros."""
    result = try_cast(value, target)
    if rounded:
        return when(matches(value, _plain_number()), result)
    scale = target.scale or 0
    part = rf"\.[0-9]{{1,{scale}}}0*" if scale else r"\.0+"
    pattern = rf"\s*[+-]?([0-9]+(\.[0-9]{{0,{scale}}}0*)?|{part})\s*"
    same = exp.EQ(this=cast(result, _STRING), expression=atom(value))
    return choose((same, result), (matches(value, pattern), result))


def text_to_float(value: exp.Expr, target: LogicalType) -> exp.Expr:
    """Render text as the nearest floating-point number, which must be finite."""
    result = try_cast(value, target)
    plain = exp.Not(this=call("contains", value, text("_")))
    return when(exp.And(this=call("isfinite", result), expression=plain), result)


def text_to_timestamptz(value: exp.Expr) -> exp.Expr:
    """Render ISO text with an offset as an instant."""
    floor = cast(text("0001-01-01 00:00:00+00"), _TIMESTAMPTZ)

    def late_enough(written: exp.Expr, between: str) -> tuple[exp.Expr, exp.Expr]:
        result = try_cast(written, _TIMESTAMPTZ)
        fits = matches(value, rf"\s*{DAY}[ T]{CLOCK}{between}{OFFSET}\s*")
        return exp.And(this=fits, expression=exp.GTE(this=result, expression=floor)), result

    # DuckDB takes no blank before the offset; other programs write one.
    closed = call("regexp_replace", value, text(r"(:[0-9.]+) ([Zz+-])"), text(r"\1\2"))
    return choose(late_enough(value, ""), late_enough(closed, " "))


def instant_of_utc(value: exp.Expr) -> exp.Expr:
    """Render a timestamp in UTC as an instant, without the cost of a time zone."""
    return call("make_timestamptz", call("epoch_us", value))


def words_to_bool(
    value: exp.Expr, true_words: tuple[str, ...], false_words: tuple[str, ...]
) -> exp.Expr:
    """Render words as true or false, without case and surrounding blanks."""
    trues = list(dict.fromkeys(w.strip().lower() for w in true_words))
    falses = list(dict.fromkeys(w.strip().lower() for w in false_words))
    words = call("list_value", *[text(word) for word in (*trues, *falses)])
    lower = call("lower", value)
    trimmed = call("lower", call("trim", value, text(" \t\r\n\f\v\u00a0")))
    # Nearly all text is one of the first words as it stands, and each further look costs more. No
    # form is written twice: DuckDB would then compute it for every row, whatever the branch.
    places = [
        call("nullif", call("list_position", words, form), number(0)) for form in (lower, trimmed)
    ]
    plain = [
        (exp.EQ(this=atom(value), expression=text(words[0])), exp.Boolean(this=result))
        for words, result in ((trues, True), (falses, False))
        if words
    ]
    looked_up = exp.LTE(this=call("coalesce", *places), expression=number(len(trues)))
    return choose(*plain, otherwise=looked_up)


_JSON_LAX = r'(?s)\s*(?:[\[\]{}:,\s]|"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null)*'
"""Only words that JSON has; what they add up to is the parser's business."""


def strict_json(value: exp.Expr) -> exp.Expr:
    """Render text as JSON; DuckDB's parser also takes NaN, Infinity and trailing commas."""
    result = try_cast(value, LogicalType("json"))
    bare = call("regexp_replace", value, text(r'(?s)"(?:[^"\\]|\\.)*"'), text('""'), text("g"))
    trailing = call("regexp_matches", bare, text(r",\s*[\]}]"))
    fine = exp.And(this=matches(value, _JSON_LAX), expression=exp.Not(this=trailing))
    return when(fine, result)


def _number_to_number(
    value: exp.Expr, given: LogicalType, target: LogicalType, *, rounded: bool
) -> exp.Expr:
    result = try_cast(value, target)
    if rounded:
        # The cast of a whole float rounds half to even; round() first makes it half away from zero.
        if given.kind in _FLOATS and target.is_integer:
            result = try_cast(call("round", value), target)
        return when(call("isfinite", result), result) if target.kind in _FLOATS else result
    if given.is_integer and target.is_integer:
        return result
    if given.is_integer and target.kind == "decimal":
        return result
    exact: exp.Expr = exp.EQ(this=try_cast(result, given), expression=atom(value))
    if target.kind in _FLOATS:
        exact = exp.And(this=call("isfinite", result), expression=exact)
    return when(exact, result)


def _array(value: exp.Expr, given: LogicalType, target: LogicalType, *, rounded: bool) -> exp.Expr:
    element = exp.column(exp.to_identifier("element"))
    each = exp.Anonymous(
        this="list_transform",
        expressions=[
            value.copy(),
            exp.Lambda(
                this=strict_cast(element, given, target, rounded=rounded),
                expressions=[exp.to_identifier("element")],
                colon=True,
            ),
        ],
    )
    whole = exp.EQ(this=call("list_count", value), expression=call("list_count", each))
    return when(whole, each)


def _simple(value: exp.Expr, given: LogicalType, target: LogicalType) -> exp.Expr:
    if target.kind == "bool":
        zero, one = number(0), number(1)
        return choose(
            (exp.EQ(this=atom(value), expression=one), exp.Boolean(this=True)),
            (exp.EQ(this=atom(value), expression=zero), exp.Boolean(this=False)),
        )
    result = try_cast(value, target)
    if (given.kind, target.kind) == ("timestamp", "date"):
        midnight = exp.EQ(this=cast(result, _TIMESTAMP), expression=atom(value))
        return when(midnight, result)
    if (given.kind, target.kind) == ("date", "timestamp"):
        return choose((is_null(value), exp.Null()), otherwise=result)
    return result
