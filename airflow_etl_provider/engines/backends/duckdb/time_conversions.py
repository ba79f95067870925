"""Conversions of dates, times and durations, as DuckDB trees."""

from __future__ import annotations

import functools
import re

from sqlglot import exp

from airflow_etl_provider.contracts.conversions import (
    DatePart,
    DateTrunc,
    FormatDate,
    FromEpoch,
    ParseDate,
    ParseDuration,
    ParseTime,
    ParseTimestamp,
    ToTimezone,
)
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.casts import (
    CLOCK,
    DAY,
    OFFSET,
    instant_of_utc,
    strict_cast,
    text_to_timestamptz,
)
from airflow_etl_provider.engines.backends.duckdb.conversions import Inputs, renders
from airflow_etl_provider.engines.backends.duckdb.trees import (
    atom,
    call,
    cast,
    check_zone,
    choose,
    is_null,
    matches,
    number,
    text,
    try_,
    try_cast,
    when,
)

_STRING = LogicalType("string")
_DATE = LogicalType("date")
_TIME = LogicalType("time")
_TIMESTAMP = LogicalType("timestamp")
_TIMESTAMPTZ = LogicalType("timestamptz")
_UTC = ("UTC", "Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu", "GMT", "Etc/GMT", "Universal")

_MICROSECONDS = {
    "weeks": 604_800_000_000,
    "days": 86_400_000_000,
    "hours": 3_600_000_000,
    "minutes": 60_000_000,
    "seconds": 1_000_000,
    "milliseconds": 1_000,
    "microseconds": 1,
}


def _first(trees: list[exp.Expr]) -> exp.Expr:
    return trees[0] if len(trees) == 1 else call("coalesce", *trees)


def _strptime(value: exp.Expr, format: str, *, among: tuple[str, ...]) -> exp.Expr:
    """One strptime; several at once, as a list, cost ten times as much in DuckDB.

    A failing one costs ten times as much as a fitting one, so it is not tried on text without the
    format's separator.
    """
    given = value
    if "%z" in format:
        given = call("regexp_replace", value, text(r"[Zz](\s*)$"), text(r"+00\1"))
    parsed = call("try_strptime", given, text(format))
    if "%z" in format:
        far = call("regexp_matches", value, text(r"[+-](1[89]|[2-9][0-9])(:?[0-9]{2})?\s*$"))
        odd = call("regexp_matches", value, text(r"[+-][0-9]{2}:?[6-9][0-9]\s*$"))
        return when(exp.Not(this=exp.Paren(this=exp.Or(this=far, expression=odd))), parsed)
    if "%Y" in format and any("%y" in other for other in among):
        # A year of two digits is meant for the other format.
        return when(matches(value, _year_pattern(format)), parsed)
    separators = re.sub(r"%-?.|\s|[A-Za-z0-9]", "", format)
    if len(among) > 1 and separators:
        return when(call("contains", value, text(separators[0])), parsed)
    return parsed


def _year_pattern(format: str) -> str:
    """Match what has all digits of the year where the format has them; the rest may be anything."""
    digits = {"%Y": "[0-9]{4}", "%y": "[0-9]{2}"}
    inside = ""
    for part in re.findall(r"%-?.|\s+|[^%\s]+", format):
        if part.isspace():
            inside += r"\s*"
        elif part.startswith("%") and part != "%%":
            inside += digits.get(part, ".*")
        else:
            inside += re.escape(part[-1] if part == "%%" else part)
    return rf"\s*{inside}\s*"


def _plausible(
    value: exp.Expr, parsed: exp.Expr, formats: tuple[str, ...], of: LogicalType
) -> exp.Expr:
    """Whether `parsed` was made by a format.

    DuckDB takes `epoch` and `infinity` by any format and makes 1900 of them (2.0.0), or 1970 and
    infinity (2.0.1), so what is one of these must have a digit in its text. It takes 1/2/13 by %Y
    as the year 13, and 1/2/3 by %y as 2003: only years that may have come so are matched against a
    pattern. A year 0 is none of our calendar.
    """

    def since(written: str) -> exp.Expr:
        return exp.GTE(this=parsed.copy(), expression=instant(written))

    def instant(written: str) -> exp.Expr:
        local = cast(text(written), _TIMESTAMP)
        return instant_of_utc(local) if of.kind == "timestamptz" else local

    has_digit = call("regexp_matches", value, text("[0-9]"))
    no_word = exp.and_(
        exp.NEQ(this=parsed.copy(), expression=instant("1900-01-01")),
        exp.NEQ(this=parsed.copy(), expression=instant("1970-01-01")),
        call("isfinite", parsed),
    )
    conditions: list[exp.Expr] = [exp.or_(no_word, has_digit)]
    whole = matches(value, "|".join(_year_pattern(format) for format in formats))
    if any("%Y" in format for format in formats):
        early = exp.and_(since("0001-01-01"), whole.copy())
        conditions.append(exp.or_(since("1000-01-01"), early))
    if any("%y" in format for format in formats):
        conditions.append(exp.or_(since("2010-01-01"), exp.not_(since("2000-01-01")), whole.copy()))
    for letter in ("Y", "y") if any("%j" in format for format in formats) else ():
        # Day 366 of a short year becomes the first day of the next.
        if any(f"%{letter}" in format for format in formats):
            year = call("strftime", parsed, text(f"%{letter}"))
            conditions.append(call("contains", value, year))
    return exp.and_(*conditions)


@renders(ParseDate)
def _parse_date(conversion: ParseDate, inputs: Inputs) -> exp.Expr:
    value, formats = inputs.value, conversion.formats
    parsed = _first([_strptime(value, format, among=formats) for format in formats])
    return when(_plausible(value, parsed, formats, _TIMESTAMP), try_cast(parsed, _DATE))


@renders(ParseTimestamp)
def _parse_timestamp(conversion: ParseTimestamp, inputs: Inputs) -> exp.Expr:
    value, zone, formats = inputs.value, conversion.timezone, conversion.formats
    if not formats:
        return _iso(conversion, inputs)
    trees: list[exp.Expr] = []
    for offset in (False, True):
        some = tuple(format for format in formats if ("%z" in format) is offset)
        if not some:
            continue
        parsed = _first([_strptime(value, format, among=formats) for format in some])
        of = _TIMESTAMPTZ if offset else _TIMESTAMP
        result = parsed if offset or zone is None else try_(_instant(parsed, zone, conversion))
        trees.append(when(_plausible(value, parsed, some, of), result))
    return _first(trees)


def _iso(conversion: ParseTimestamp, inputs: Inputs) -> exp.Expr:
    value, zone = inputs.value, conversion.timezone
    if inputs.output.kind == "timestamp":
        return strict_cast(value, _STRING, _TIMESTAMP)
    if zone is None:
        return text_to_timestamptz(value)
    # The check comes last: a plain cast is computed once where it stands several times.
    local = try_cast(value, _TIMESTAMP)
    checked = strict_cast(value, _STRING, _TIMESTAMP)
    fine = exp.Not(this=exp.Paren(this=is_null(checked)))
    offset = matches(value, rf"\s*{DAY}[ T]{CLOCK} ?{OFFSET}\s*")
    return choose(
        (fine, try_(_instant(local, zone, conversion))), (offset, text_to_timestamptz(value))
    )


def _instant(local: exp.Expr, zone: str, conversion: ParseTimestamp | ToTimezone) -> exp.Expr:
    """Give the instant at which clocks in the zone show a local time.

    DuckDB takes the later one of an hour that comes twice and moves a skipped hour forward. The two
    candidates here have the offsets of a day before and a day after: exact wherever clocks change
    at most once in two days. Far from a change they are the same.
    """
    check_zone(zone)
    if zone in _UTC:
        return instant_of_utc(local)
    name, day = text(zone), number(_MICROSECONDS["days"])
    hours = call("to_hours", number(24))
    micros = call("epoch_us", local)

    def candidate(there: type[exp.Add | exp.Sub], back: type[exp.Add | exp.Sub]) -> exp.Expr:
        moved = call("make_timestamp", there(this=micros, expression=day))
        return exp.Paren(this=back(this=call("timezone", name, moved), expression=hours))

    def shows(instant: exp.Expr) -> exp.Expr:
        return exp.EQ(this=call("timezone", name, instant), expression=atom(local))

    before, after = candidate(exp.Sub, exp.Add), candidate(exp.Add, exp.Sub)
    twice = exp.And(this=shows(before), expression=shows(after))
    picks = {
        "earlier": call("least", before, after),
        "later": call("greatest", before, after),
        "reject": exp.Null(),
    }
    return choose(
        (exp.EQ(this=before, expression=after), before),
        (twice, picks[conversion.ambiguous]),
        (shows(before), before),
        (shows(after), after),
        otherwise=before if conversion.nonexistent == "shift" else None,
    )


@renders(ParseTime)
def _parse_time(conversion: ParseTime, inputs: Inputs) -> exp.Expr:
    value = inputs.value if inputs.type.is_text else cast(inputs.value, _STRING)
    trees = []
    for format in conversion.formats:
        if format in ("%H%M", "%H%M%S"):
            trees.append(_digits(value, width=4 if format == "%H%M" else 6))
        else:
            parsed = _strptime(value, format, among=conversion.formats)
            fine = _plausible(value, parsed, (format,), _TIMESTAMP)
            trees.append(when(fine, try_cast(parsed, _TIME)))
    return _first(trees)


def _digits(value: exp.Expr, *, width: int) -> exp.Expr:
    padded = call("lpad", call("trim", value), number(width), text("0"))
    day_end = "24" + "0" * (width - 2)
    filled = choose(
        (exp.EQ(this=padded, expression=text(day_end)), text("0" * width)), otherwise=padded
    )
    parts = [call("substring", filled, number(1 + i), number(2)) for i in range(0, width, 2)]
    clock = call("concat_ws", text(":"), *parts)
    return when(matches(value, rf"\s*[0-9]{{1,{width}}}\s*"), try_cast(clock, _TIME))


_WIDE = LogicalType("decimal", precision=30, scale=6)


@renders(ParseDuration)
def _parse_duration(conversion: ParseDuration, inputs: Inputs) -> exp.Expr:
    if inputs.type.is_number:
        return _interval(
            strict_cast(inputs.value, inputs.type, _WIDE), conversion.unit or "seconds"
        )
    value = inputs.value
    branches: list[tuple[exp.Expr, exp.Expr]] = []
    if conversion.unit is not None:
        plain = r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)\s*"
        branches.append(
            (matches(value, plain), _interval(strict_cast(value, _STRING, _WIDE), conversion.unit))
        )
    clock = r"\s*(-?)([0-9]{1,6}):([0-5][0-9])(?::([0-5][0-9](?:\.[0-9]{1,6})?))?\s*"
    branches.append((matches(value, clock), _sum_of(value, clock, ("hours", "minutes", "seconds"))))
    iso = (
        r"\s*(-?)P(?:([0-9]{1,9})W)?(?:([0-9]{1,9})D)?"
        r"(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,12}(?:\.[0-9]{1,6})?)S)?)?\s*"
    )
    units = ("weeks", "days", "hours", "minutes", "seconds")
    something = exp.And(
        this=matches(value, iso),
        expression=call("regexp_matches", value, text(r"[0-9][WDHMS]\s*$")),
    )
    branches.append((something, _sum_of(value, iso, units)))
    return choose(*branches)


def _interval(amount: exp.Expr, unit: str) -> exp.Expr:
    factor = cast(text(str(_MICROSECONDS[unit])), LogicalType("decimal", precision=12, scale=0))
    exact = LogicalType("decimal", precision=38, scale=6)
    product = try_cast(try_(exp.Mul(this=cast_narrow(amount), expression=factor)), exact)
    return try_(call("to_microseconds", strict_cast(product, exact, LogicalType("int64"))))


def cast_narrow(amount: exp.Expr) -> exp.Expr:
    """Room for the factor: a decimal product of DuckDB's has at most 38 digits."""
    return try_cast(amount, LogicalType("decimal", precision=26, scale=6))


def _sum_of(value: exp.Expr, pattern: str, units: tuple[str, ...]) -> exp.Expr:
    def group(at: int) -> exp.Expr:
        return call("regexp_extract", value, text(pattern), number(at))

    parts: list[exp.Expr] = []
    for at, unit in enumerate(units):
        written = call("coalesce", call("nullif", group(at + 2), text("")), text("0"))
        amount = try_cast(written, LogicalType("decimal", precision=20, scale=6))
        factor = cast(text(str(_MICROSECONDS[unit])), LogicalType("decimal", precision=12, scale=0))
        parts.append(exp.Mul(this=amount, expression=factor))
    total = functools.reduce(lambda a, b: exp.Add(this=a, expression=b), parts)
    sign = choose((exp.EQ(this=group(1), expression=text("-")), number(-1)), otherwise=number(1))
    signed = exp.Mul(this=try_cast(try_(total), LogicalType("int64")), expression=sign)
    return try_(call("to_microseconds", exp.Paren(this=signed)))


@renders(FromEpoch)
def _from_epoch(conversion: FromEpoch, inputs: Inputs) -> exp.Expr:
    micros: exp.Expr
    int64 = LogicalType("int64")
    if inputs.type.is_integer and conversion.unit != "ns":
        factor = {"s": 1_000_000, "ms": 1_000, "us": 1}[conversion.unit]
        micros = try_(exp.Mul(this=cast(inputs.value, int64), expression=number(factor)))
    else:
        micros = _exact_micros(conversion, inputs)
    make = "make_timestamp" if inputs.output.kind == "timestamp" else "make_timestamptz"
    made = try_(call(make, micros))
    return when(call("isfinite", made), made)


def _exact_micros(conversion: FromEpoch, inputs: Inputs) -> exp.Expr:
    exact = LogicalType("decimal", precision=30, scale=9)
    product_type = LogicalType("decimal", precision=38, scale=12)
    given = inputs.type
    amount = strict_cast(inputs.value, given, exact, rounded=True)
    factors = {"s": "1000000", "ms": "1000", "us": "1", "ns": "0.001"}
    scale = 3 if conversion.unit == "ns" else 0
    factor_type = LogicalType("decimal", precision=8, scale=scale)
    factor = cast(text(factors[conversion.unit]), factor_type)
    product = try_cast(try_(exp.Mul(this=amount, expression=factor)), product_type)
    if conversion.round:
        return try_cast(call("floor", product), LogicalType("int64"))
    return strict_cast(product, product_type, LogicalType("int64"))


@renders(ToTimezone)
def _to_timezone(conversion: ToTimezone, inputs: Inputs) -> exp.Expr:
    check_zone(conversion.timezone)
    finite = call("isfinite", inputs.value)
    if inputs.type.kind == "timestamp":
        return when(finite, try_(_instant(inputs.value, conversion.timezone, conversion)))
    return when(finite, try_(call("timezone", text(conversion.timezone), inputs.value)))


@renders(DateTrunc)
def _date_trunc(conversion: DateTrunc, inputs: Inputs) -> exp.Expr:
    return try_cast(call("date_trunc", text(conversion.unit), inputs.value), inputs.output)


@renders(DatePart)
def _date_part(conversion: DatePart, inputs: Inputs) -> exp.Expr:
    return call("date_part", text(conversion.part), inputs.value)


@renders(FormatDate)
def _format_date(conversion: FormatDate, inputs: Inputs) -> exp.Expr:
    return try_(call("strftime", inputs.value, text(conversion.format)))
