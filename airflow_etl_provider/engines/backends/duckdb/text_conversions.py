"""Conversions of text, as DuckDB trees."""

from __future__ import annotations

from sqlglot import exp

from airflow_etl_provider.contracts.conversions import (
    Concat,
    Length,
    Lower,
    NormalizeSpace,
    Pad,
    RegexExtract,
    RegexReplace,
    Replace,
    SplitPart,
    StripAccents,
    Substring,
    Template,
    Title,
    Trim,
    Upper,
)
from airflow_etl_provider.engines.backends.duckdb.casts import text_of
from airflow_etl_provider.engines.backends.duckdb.conversions import Inputs, renders
from airflow_etl_provider.engines.backends.duckdb.trees import (
    atom,
    call,
    check_regex,
    choose,
    is_null,
    not_null,
    number,
    text,
    when,
)
from airflow_etl_provider.exceptions import SpecificationError

__all__ = ["BLANKS", "all_given", "texts_of"]

BLANKS = (
    " \t\n\v\f\r\x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What Unicode calls white space, and the byte order mark."""

_SPACE_RUN = (
    r"[\s\x0b\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
    r"\x{feff}]+"
)


def texts_of(inputs: Inputs) -> list[exp.Expr]:
    """Give the text of every input."""
    return [text_of(tree, of) for tree, of in zip(inputs.trees, inputs.types, strict=True)]


def all_given(inputs: Inputs, value: exp.Expr) -> exp.Expr:
    """NULL as soon as one input is NULL."""
    condition = not_null(inputs.trees[0])
    for tree in inputs.trees[1:]:
        condition = exp.And(this=condition, expression=not_null(tree))
    return when(condition, value)


@renders(Trim)
def _trim(conversion: Trim, inputs: Inputs) -> exp.Expr:
    function = {"both": "trim", "left": "ltrim", "right": "rtrim"}[conversion.side]
    return call(function, inputs.value, text(conversion.characters or BLANKS))


@renders(NormalizeSpace)
def _normalize_space(_: NormalizeSpace, inputs: Inputs) -> exp.Expr:
    single = call("regexp_replace", inputs.value, text(_SPACE_RUN), text(" "), text("g"))
    return call("trim", single, text(" "))


@renders(Upper)
def _upper(_: Upper, inputs: Inputs) -> exp.Expr:
    return call("upper", inputs.value)


@renders(Lower)
def _lower(_: Lower, inputs: Inputs) -> exp.Expr:
    return call("lower", inputs.value)


@renders(Title)
def _title(_: Title, inputs: Inputs) -> exp.Expr:
    parts = call(
        "regexp_extract_all",
        inputs.value,
        text(r"[\p{L}\p{M}\p{N}'\x{2019}]+|[^\p{L}\p{M}\p{N}'\x{2019}]+"),
    )
    name = exp.to_identifier("part")
    part = exp.column(name.copy())
    capital = exp.DPipe(
        this=call("upper", call("substring", part, number(1), number(1))),
        expression=call("lower", call("substring", part, number(2))),
    )
    each = exp.Anonymous(
        this="list_transform",
        expressions=[parts, exp.Lambda(this=capital, expressions=[name], colon=True)],
    )
    joined = call("array_to_string", each, text(""))
    return choose(
        (exp.EQ(this=atom(inputs.value), expression=text("")), text("")), otherwise=joined
    )


@renders(StripAccents)
def _strip_accents(_: StripAccents, inputs: Inputs) -> exp.Expr:
    return call("strip_accents", inputs.value)


@renders(Replace)
def _replace(conversion: Replace, inputs: Inputs) -> exp.Expr:
    return call("replace", inputs.value, text(conversion.old), text(conversion.new))


@renders(RegexExtract)
def _regex_extract(conversion: RegexExtract, inputs: Inputs) -> exp.Expr:
    check_regex(conversion.pattern)
    _check_group(conversion.pattern, conversion.group)
    pattern = text(conversion.pattern)
    return when(
        call("regexp_matches", inputs.value, pattern),
        call("regexp_extract", inputs.value, pattern, number(conversion.group)),
    )


def _check_group(pattern: str, group: int) -> None:
    import re

    try:
        groups = re.compile(pattern).groups
    except re.error:
        # RE2 knows forms that Python does not; the engine then says what is wrong, if anything.
        return
    if group > groups:
        raise SpecificationError(f"regex_extract takes group {group}; the pattern has {groups}.")


@renders(RegexReplace)
def _regex_replace(conversion: RegexReplace, inputs: Inputs) -> exp.Expr:
    check_regex(conversion.pattern)
    return call(
        "regexp_replace",
        inputs.value,
        text(conversion.pattern),
        text(conversion.replacement),
        text("g"),
    )


@renders(Substring)
def _substring(conversion: Substring, inputs: Inputs) -> exp.Expr:
    start = number(conversion.begins)
    if conversion.length is None:
        return call("substring", inputs.value, start)
    return call("substring", inputs.value, start, number(conversion.length))


@renders(SplitPart)
def _split_part(conversion: SplitPart, inputs: Inputs) -> exp.Expr:
    parts = call("string_split", inputs.value, text(conversion.separator))
    # An index beyond the list gives NULL.
    return call("list_extract", parts, number(conversion.part))


@renders(Pad)
def _pad(conversion: Pad, inputs: Inputs) -> exp.Expr:
    function = "lpad" if conversion.side == "left" else "rpad"
    length = number(conversion.length)
    padded = call(function, inputs.value, length, text(conversion.character))
    longer = exp.GTE(this=call("length", inputs.value), expression=length)
    return choose((longer, inputs.value), otherwise=padded)


@renders(Concat)
def _concat(conversion: Concat, inputs: Inputs) -> exp.Expr:
    joined = call("concat_ws", text(conversion.separator), *texts_of(inputs))
    if not conversion.skip_null:
        return all_given(inputs, joined)
    missing = is_null(inputs.trees[0])
    for tree in inputs.trees[1:]:
        missing = exp.And(this=missing, expression=is_null(tree))
    return when(exp.Not(this=exp.Paren(this=missing)), joined)


@renders(Template)
def _template(conversion: Template, inputs: Inputs) -> exp.Expr:
    texts = texts_of(inputs)
    parts = [texts[part] if isinstance(part, int) else text(part) for part in conversion.parts]
    return all_given(inputs, call("concat", *parts))


@renders(Length)
def _length(conversion: Length, inputs: Inputs) -> exp.Expr:
    return call("strlen" if conversion.unit == "bytes" else "length", inputs.value)
