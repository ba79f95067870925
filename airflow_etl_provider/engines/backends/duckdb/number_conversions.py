"""Conversions of numbers and truth values, as DuckDB trees."""

from __future__ import annotations

import re

from sqlglot import exp

from airflow_etl_provider.contracts.conversions import (
    ParseBool,
    ParseDecimal,
    ParseFloat,
    ParseInt,
    Percent,
    Round,
    Scale,
)
from airflow_etl_provider.contracts.types import MAX_PRECISION, LogicalType
from airflow_etl_provider.engines.backends.duckdb.casts import (
    strict_cast,
    text_to_decimal,
    text_to_float,
    words_to_bool,
)
from airflow_etl_provider.engines.backends.duckdb.conversions import Inputs, renders
from airflow_etl_provider.engines.backends.duckdb.trees import (
    atom,
    call,
    cast,
    choose,
    matches,
    number,
    text,
    try_,
    try_cast,
    when,
)

_STRING = LogicalType("string")
_SPACES = " \u00a0\u2009\u202f"
_APOSTROPHES = "'\u2019"


def _kinds(separator: str) -> str:
    """All characters that are written for one separator."""
    return (
        _SPACES
        if separator in _SPACES
        else _APOSTROPHES
        if separator in _APOSTROPHES
        else separator
    )


def _group_pattern(thousands: str | None) -> str:
    if thousands is None:
        return "[0-9]+"
    return f"(?:[0-9]{{1,3}}(?:[{re.escape(_kinds(thousands))}][0-9]{{3}})+|[0-9]+)"


def _without(value: exp.Expr, unwanted: str) -> exp.Expr:
    for character in unwanted:
        value = call("replace", value, text(character), text(""))
    return value


@renders(ParseInt)
def _parse_int(conversion: ParseInt, inputs: Inputs) -> exp.Expr:
    if conversion.thousands is None:
        return strict_cast(inputs.value, _STRING, inputs.output)
    pattern = rf"\s*[+-]?{_group_pattern(conversion.thousands)}\s*"
    bare = _without(inputs.value, _kinds(conversion.thousands))
    return when(matches(inputs.value, pattern), try_cast(bare, inputs.output))


@renders(ParseDecimal)
def _parse_decimal(conversion: ParseDecimal, inputs: Inputs) -> exp.Expr:
    bare = not (
        conversion.currency
        or conversion.parentheses
        or conversion.trailing_minus
        or conversion.percent
    )
    if not bare:
        return _decorated(conversion, inputs)
    if conversion.decimal == "." and conversion.thousands is None:
        return text_to_decimal(inputs.value, inputs.output, rounded=conversion.round)
    written = inputs.value
    if conversion.thousands is not None:
        written = _without(written, _kinds(conversion.thousands))
    if conversion.decimal != ".":
        written = call("replace", written, text(conversion.decimal), text("."))
    pattern = rf"\s*[+-]?{_digits_pattern(conversion, inputs.output)}\s*"
    return when(matches(inputs.value, pattern), try_cast(written, inputs.output))


def _digits_pattern(conversion: ParseDecimal, output: LogicalType) -> str:
    """Digits with their separators; no more behind the point than the type holds, but for zeros."""
    point, groups = re.escape(conversion.decimal), _group_pattern(conversion.thousands)
    scale = output.scale or 0
    if conversion.round or conversion.percent:
        return f"(?:{groups}(?:{point}[0-9]*)?|{point}[0-9]+)"
    fraction = f"[0-9]{{1,{scale}}}0*" if scale else "0+"
    return f"(?:{groups}(?:{point}[0-9]{{0,{scale}}}0*)?|{point}{fraction})"


def _decorated(conversion: ParseDecimal, inputs: Inputs) -> exp.Expr:
    """One pattern says what a number may look like; then all that is no digit is taken away."""
    value = inputs.value
    bare = value.copy()
    for word in _currency(conversion):
        bare = call("replace", bare, text(word), text(""))
    unwanted = f"[^0-9{re.escape(conversion.decimal)}]"
    bare = call("regexp_replace", bare, text(unwanted), text(""), text("g"))
    if conversion.decimal != ".":
        bare = call("replace", bare, text(conversion.decimal), text("."))
    negative: exp.Expr = call("contains", value, text("-"))
    if conversion.parentheses:
        negative = exp.Or(this=negative, expression=call("contains", value, text("(")))
    sign = choose((negative, text("-")), otherwise=text(""))
    written = exp.Paren(this=exp.DPipe(this=sign, expression=bare))
    if conversion.percent:
        result = _hundredth(written, inputs.output, rounded=conversion.round)
    else:
        result = try_cast(written, inputs.output)
    return when(matches(value, _decorated_pattern(conversion, inputs.output)), result)


def _currency(conversion: ParseDecimal) -> list[str]:
    return sorted(conversion.currency, key=len, reverse=True)


def _decorated_pattern(conversion: ParseDecimal, output: LogicalType) -> str:
    blank = r"[\s\x{a0}\x{202f}]*"
    digits = _digits_pattern(conversion, output)
    percent = f"{blank}%" if conversion.percent else ""
    before = after = ""
    money = "|".join(re.escape(word) for word in _currency(conversion))
    if money:
        before, after = f"(?:(?:{money}){blank})?", f"(?:{blank}(?:{money}))?"
    core = f"{before}{digits}{after}{percent}"
    forms = [f"[+-]?{core}"]
    if money:
        forms.append(f"(?:{money}){blank}[+-]?{digits}{percent}")
    if conversion.trailing_minus:
        forms += [f"{core}-", f"{before}{digits}-{after}{percent}"]
    if conversion.parentheses:
        forms += [rf"\({blank}{core}{blank}\)", rf"{before}\({digits}\){after}{percent}"]
    return f"{blank}(?:{'|'.join(forms)}){blank}"


def _hundredth(written: exp.Expr, output: LogicalType, *, rounded: bool) -> exp.Expr:
    """A hundredth of a number in text: exact, then strictly into the type."""
    scale = max((output.scale or 0) - 2, 0)
    wide = LogicalType("decimal", precision=MAX_PRECISION - 4, scale=min(scale, 30))
    by = cast(text("0.01"), LogicalType("decimal", precision=3, scale=2))
    read = text_to_decimal(written, wide, rounded=rounded)
    product = try_(exp.Mul(this=read, expression=by))
    product_type = LogicalType("decimal", precision=MAX_PRECISION, scale=(wide.scale or 0) + 2)
    return strict_cast(try_cast(product, product_type), product_type, output, rounded=rounded)


@renders(ParseFloat)
def _parse_float(conversion: ParseFloat, inputs: Inputs) -> exp.Expr:
    value = inputs.value.copy()
    if conversion.decimal == "." and conversion.thousands is None:
        return text_to_float(value, inputs.output)
    point = re.escape(conversion.decimal)
    groups = _group_pattern(conversion.thousands)
    pattern = rf"\s*[+-]?(?:{groups}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?\s*"
    if conversion.thousands is not None:
        value = _without(value, _kinds(conversion.thousands))
    if conversion.decimal != ".":
        value = call("replace", value, text(conversion.decimal), text("."))
    return when(matches(inputs.value, pattern), text_to_float(value, inputs.output))


@renders(ParseBool)
def _parse_bool(conversion: ParseBool, inputs: Inputs) -> exp.Expr:
    return words_to_bool(inputs.value, conversion.true_words, conversion.false_words)


@renders(Round)
def _round(conversion: Round, inputs: Inputs) -> exp.Expr:
    value, digits = inputs.value, conversion.digits
    if digits >= (inputs.type.scale or 0) and inputs.type.kind not in ("float32", "float64"):
        return value.copy()
    if conversion.mode in ("half_up", "half_even"):
        function = "round" if conversion.mode == "half_up" else "round_even"
        rounded = try_(call(function, value, number(digits)))
    else:
        rounded = _directed(conversion, inputs)
    result = try_cast(rounded, inputs.output)
    if inputs.type.kind in ("float32", "float64"):
        return when(call("isfinite", result), result)
    return result


def _directed(conversion: Round, inputs: Inputs) -> exp.Expr:
    """Floor, ceiling or truncation at a digit: to a whole number of units and back."""
    function = {"down": "trunc", "floor": "floor", "ceiling": "ceil"}[conversion.mode]
    if conversion.digits == 0:
        return try_(call(function, inputs.value))
    unit = f"{'1' if conversion.digits < 0 else '0.'}{'0' * (abs(conversion.digits) - 1)}" + (
        "1" if conversion.digits > 0 else "0"
    )
    if inputs.type.kind in ("float32", "float64"):
        # Multiplying by a whole power of ten errs less than dividing by a fraction.
        power = cast(text(f"1e{abs(conversion.digits)}"), LogicalType("float64"))
        up, down = (exp.Mul, exp.Div) if conversion.digits > 0 else (exp.Div, exp.Mul)
        units = call(function, up(this=atom(inputs.value), expression=power))
        return down(this=units, expression=power.copy())
    step = LogicalType(
        "decimal", precision=abs(conversion.digits) + 1, scale=max(conversion.digits, 0)
    )
    one = cast(text(unit), step)
    rest = exp.Paren(this=exp.Mod(this=atom(inputs.value), expression=one))
    down_to = exp.Sub(this=atom(inputs.value), expression=rest)
    zero = number(0)
    if conversion.mode == "down":
        return try_(down_to)
    past = exp.LT if conversion.mode == "floor" else exp.GT
    moved = (exp.Sub if conversion.mode == "floor" else exp.Add)(
        this=exp.Paren(this=down_to), expression=one.copy()
    )
    return try_(choose((past(this=rest.copy(), expression=zero), moved), otherwise=down_to))


@renders(Scale)
def _scale(conversion: Scale, inputs: Inputs) -> exp.Expr:
    if inputs.output.kind == "float64":
        factor = cast(text(str(conversion.factor)), LogicalType("float64"))
        product = exp.Mul(this=cast(inputs.value, LogicalType("float64")), expression=factor)
        return when(call("isfinite", product), product)
    factor = cast(text(f"{conversion.factor:f}"), conversion.factor_type)
    if inputs.output.is_integer:
        factor = cast(text(f"{conversion.factor:f}"), LogicalType("int64"))
        return try_(exp.Mul(this=cast(inputs.value, LogicalType("int64")), expression=factor))
    room = MAX_PRECISION - (conversion.factor_type.precision or 0)
    wide = LogicalType(
        "decimal", precision=max(room, 1), scale=min(inputs.type.scale or 0, max(room, 1))
    )
    product = exp.Mul(this=try_cast(inputs.value, wide), expression=factor)
    return try_cast(try_(product), inputs.output)


@renders(Percent)
def _percent(conversion: Percent, inputs: Inputs) -> exp.Expr:
    if inputs.output.kind == "float64":
        share = exp.Div(
            this=cast(inputs.value, LogicalType("float64")),
            expression=cast(text("100"), LogicalType("float64")),
        )
        return when(call("isfinite", share), share)
    if not inputs.type.is_text:
        return _hundredth(cast(inputs.value, _STRING), inputs.output, rounded=False)
    written = call(
        "rtrim", call("regexp_replace", inputs.value, text(r"[\s\x{a0}\x{202f}]*%\s*$"), text(""))
    )
    if conversion.decimal == ".":
        return _hundredth(written, inputs.output, rounded=False)
    pointed = call("replace", written, text(conversion.decimal), text("."))
    result = _hundredth(pointed, inputs.output, rounded=False)
    return when(exp.Not(this=call("contains", inputs.value, text("."))), result)
