"""SQL expressions that people write: parsed, and held to an allow-list of tree classes.

An expression is one scalar over the columns in reach: no statement, no subquery, no aggregate,
nothing that reads files, settings, the clock or chance, since a load must give the same result
again.
"""

from __future__ import annotations

import difflib
import itertools
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = [
    "FUNCTIONS",
    "ExpressionKind",
    "ParsedExpression",
    "check_node",
    "parse_expression",
    "parse_single",
    "refused",
]

ExpressionKind = Literal["conversion", "filter", "rule", "load", "select"]

MAX_LENGTH = 10_000
"""Characters; a longer expression belongs into a view or a model."""

MAX_TOKENS = 2_000
"""Words and signs; more would take seconds to check."""

MAX_DEPTH = 30
"""Levels of brackets, functions and signs; more would exhaust the parser's stack."""

FUNCTIONS = frozenset(
    """
    abs ascii bit_length ceil ceiling char_length character_length chr coalesce concat concat_ws
    contains date_diff datediff date_part datepart date_sub date_trunc datetrunc day dayname
    dayofmonth dayofweek dayofyear ends_with suffix epoch epoch_ms even exp extract floor
    greatest hour ifnull instr isfinite isinf isnan isoyear isodow json_array_length
    json_extract json_extract_string json_type json_valid last_day lcase least left len length
    levenshtein ln log log10 log2 lower lpad ltrim make_date make_time make_timestamp md5
    microsecond millisecond minute mod month monthname nullif ord parse_filename pow power
    prefix quarter regexp_extract regexp_full_match regexp_like regexp_matches regexp_replace
    repeat replace reverse right round rpad rtrim second sha256 sign split_part sqrt starts_with
    strftime string_split strip_accents strlen strpos strptime substr substring timezone
    to_base64 to_hex to_timestamp translate trim trunc try_strptime ucase unicode upper week
    weekday weekofyear year yearweek list_contains array_contains array_length list_element
    jaro_similarity jaro_winkler_similarity damerau_levenshtein
    """.split()  # noqa: SIM905
)
"""Scalar functions of DuckDB that give the same result for the same input, always."""

_TYPES = frozenset(
    """
    TINYINT SMALLINT INT BIGINT FLOAT DOUBLE DECIMAL BOOLEAN TEXT VARCHAR CHAR NCHAR NVARCHAR
    DATE TIME TIMESTAMP TIMESTAMPTZ TIMESTAMPNTZ INTERVAL UUID JSON
    """.split()  # noqa: SIM905
)

_WORDS = frozenset(
    """
    all and any array as between case cast distinct else end escape extract from if ilike in
    interval is like not on or position some substring then trim try_cast when
    tinyint smallint int integer bigint float double real decimal numeric boolean bool text varchar
    char string date time timestamp timestamptz uuid json
    """.split()  # noqa: SIM905
)
"""What may stand before a bracket without being a function."""

_CLOCK = "the clock; a load must give the same result again"
_CHANCE = "chance; a load must give the same result again"
_SESSION = "a setting of the session"

_REFUSED_FUNCTIONS = {
    **dict.fromkeys(
        (
            "now",
            "today",
            "get_current_timestamp",
            "current_localtimestamp",
            "transaction_timestamp",
        ),
        _CLOCK,
    ),
    **dict.fromkeys(("random", "uuid", "uuidv4", "uuidv7", "gen_random_uuid", "setseed"), _CHANCE),
    **dict.fromkeys(("current_setting", "getvariable", "version", "current_schema"), _SESSION),
    **dict.fromkeys(("nextval", "currval"), "a sequence; a load must give the same result again"),
}

_REASONS = {
    "Select": "a subquery",
    "Subquery": "a subquery",
    "Exists": "a subquery",
    "Window": "a window; it sees more than one row",
    "Star": "a star",
    "Alias": "an alias; is an operator missing?",
    "Aliases": "an alias; is an operator missing?",
    "Block": "more than one statement",
    "Command": "a statement",
    "Parameter": "a parameter",
    "Placeholder": "a placeholder",
    "SessionParameter": "a setting",
    "Lambda": "a lambda",
    "Rand": _CHANCE,
    "CurrentDate": _CLOCK,
    "CurrentTime": _CLOCK,
    "CurrentTimestamp": _CLOCK,
    "CurrentUser": _SESSION,
    "Semicolon": "more than one statement",
}


@dataclass(frozen=True, slots=True)
class ParsedExpression:
    """An expression that only computes; whether its types fit is for a backend to say.

    :param columns: the column names as written, each once, in order.
    :param tree: the sqlglot tree; copy it before you change it.
    """

    sql: str
    kind: ExpressionKind
    columns: tuple[str, ...]
    tree: exp.Expr


def parse_expression(sql: str, *, kind: ExpressionKind) -> ParsedExpression:
    """Parse and check what a person wrote.

    :raises SpecificationError: with the position and the reason.
    """
    from sqlglot import exp

    tree, called = parse_single(sql, kind=kind, depth=MAX_DEPTH)
    columns: dict[str, None] = {}
    for node in tree.walk(bfs=False):
        check_node(node, sql, kind, called)
        if isinstance(node, exp.Column):
            columns[node.name] = None
    return ParsedExpression(sql, kind, tuple(columns), tree)


def parse_single(sql: str, *, kind: ExpressionKind, depth: int) -> tuple[exp.Expr, frozenset[str]]:
    """Parse what has to be one expression or query; gives its words before a bracket, too.

    :raises SpecificationError: it can't be read, is too large, or calls what no SQL here may.
    """
    import sqlglot
    from sqlglot.errors import ParseError, TokenError

    _check_size(sql, kind)
    try:
        tokens = sqlglot.tokenize(sql, read="duckdb")
        if len(tokens) > MAX_TOKENS:
            raise SpecificationError(
                f"The {kind} has {len(tokens)} words and signs; at most {MAX_TOKENS} are allowed."
            )
        trees = sqlglot.parse(sql, read="duckdb")
    except (ParseError, TokenError) as error:
        raise SpecificationError(_parse_problem(sql, kind, error)) from error
    except RecursionError as error:
        raise SpecificationError(f"The {kind} is nested too deeply to be read.") from error
    if any(token.token_type == sqlglot.TokenType.SEMICOLON for token in tokens) or len(trees) != 1:
        raise refused(sql, kind, ";", "more than one statement")
    tree = trees[0]
    if tree is None:
        raise SpecificationError(f"The {kind} is empty.")
    _check_depth(tree, kind, depth)
    called = _called(tokens)
    for word in sorted(called & _REFUSED_FUNCTIONS.keys()):
        raise refused(sql, kind, word, _unknown_function(word))
    return tree, called


def _check_size(sql: str, kind: ExpressionKind) -> None:
    if len(sql) > MAX_LENGTH:
        raise SpecificationError(
            f"The {kind} has {len(sql)} characters; at most {MAX_LENGTH} are allowed."
        )
    if "\0" in sql:
        raise SpecificationError(f"The {kind} holds a NUL character.")
    depth = 0
    for char in sql:
        depth += (char in "([{") - (char in ")]}")
        if depth > MAX_DEPTH:
            raise SpecificationError(f"The {kind} is nested more than {MAX_DEPTH} levels deep.")
    lowered = sql.lower()
    if lowered.count("not ") + lowered.count("case") + sql.count("-") + sql.count("~") > 500:
        raise SpecificationError(f"The {kind} is too complex.")


def _check_depth(tree: exp.Expr, kind: ExpressionKind, most: int) -> None:
    """Refuse trees that can't be written again; chains of one operator cost no depth there."""
    pending = [(tree, 0)]
    while pending:
        node, depth = pending.pop()
        if depth > most:
            raise SpecificationError(f"The {kind} is nested more than {most} levels deep.")
        pending += [
            (child, depth + (type(child) is not type(node))) for child in node.iter_expressions()
        ]


def _called(tokens: list[Any]) -> frozenset[str]:
    """The words that stand before a bracket: functions, types and some keywords."""
    from sqlglot import TokenType

    return frozenset(
        word.text.lower()
        for word, bracket in itertools.pairwise(tokens)
        if bracket.token_type == TokenType.L_PAREN and word.text.replace("_", "a").isalnum()
    )


def check_node(node: exp.Expr, sql: str, kind: ExpressionKind, called: frozenset[str]) -> None:
    """Refuse a node of a tree that does more than compute on one row.

    :param called: words before a bracket, from `parse_single`.
    """
    from sqlglot import exp

    name = type(node).__name__
    if isinstance(node, exp.Column):
        if node.table:
            raise refused(sql, kind, node.sql("duckdb"), "a name with a table; columns stand alone")
        return
    if isinstance(node, exp.DataType):
        if node.this.value not in _TYPES:
            raise refused(sql, kind, node.sql("duckdb"), f"a cast to {node.sql('duckdb')}")
        return
    if isinstance(node, exp.AggFunc):
        raise refused(sql, kind, _word(node), "an aggregate; it sees more than one row")
    if isinstance(node, exp.Anonymous):
        if str(node.this).lower() not in FUNCTIONS:
            raise refused(sql, kind, str(node.this), _unknown_function(str(node.this)))
        return
    if name in _REASONS:
        raise refused(sql, kind, _word(node), _REASONS[name])
    if isinstance(node, _allowed_nodes()):
        return
    if isinstance(node, exp.Func):
        words = {_word(node).lower(), *(n.lower() for n in type(node).sql_names())}
        # sqlglot has names of its own for some (make_date is a DateFromParts): what was written
        # counts, unless it was written without brackets, as current_user is.
        bracketed = name not in _without_brackets() and called <= FUNCTIONS | _WORDS
        if words & FUNCTIONS or bracketed:
            return
        raise refused(sql, kind, _word(node), _unknown_function(_word(node).lower()))
    raise refused(sql, kind, _word(node), f"{name}, which is no part of an expression here")


@lru_cache(maxsize=1)
def _allowed_nodes() -> tuple[type[Any], ...]:
    """Classes that only compute on one row; named by what sqlglot has in all versions we allow."""
    from sqlglot import exp

    names = """
        Identifier Literal Boolean Null Paren Neg Not And Or Xor Add Sub Mul Div IntDiv Mod
        DPipe SafeConcat Concat EQ NEQ GT GTE LT LTE NullSafeEQ NullSafeNEQ Is In Between Like
        ILike RegexpLike Escape Any BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitwiseLeftShift
        BitwiseRightShift Case If Cast TryCast DataTypeParam Interval Var Extract Tuple Coalesce
        Nullif TimestampTrunc DateTrunc DateAdd DateSub DateDiff TsOrDsToDate StrToTime
        StrToDate TimeToStr Substring StrPosition Trim Upper Lower Length Round Abs Ceil Floor
        Left Right Replace Pow SplitPart RegexpExtract RegexpReplace RegexpFullMatch RegexpILike
        StartsWith EndsWith Greatest Least Year Month Day DayOfWeek DayOfYear DayOfMonth Week
        WeekOfYear Quarter ConcatWs Pad Sqrt Ln Log Exp Sign Reverse Repeat Contains MD5
        SHA2 Unicode Chr Levenshtein JSONExtract JSONExtractScalar JSONPath JSONPathRoot
        JSONPathKey JSONPathSubscript Array Bracket ArrayContains AtTimeZone Collate IsNan IsInf
        Hour Minute Second LastDay Translate Strftime ToBase64 Hex
    """.split()  # noqa: SIM905
    return tuple(getattr(exp, name) for name in names if hasattr(exp, name))


def _word(node: exp.Expr) -> str:
    """The first word of a node as it may stand in the text."""
    from sqlglot import exp

    if isinstance(node, exp.Anonymous):
        return str(node.this)
    if isinstance(node, exp.Func):
        return type(node).sql_name()
    return node.sql("duckdb")


@lru_cache(maxsize=1)
def _without_brackets() -> frozenset[str]:
    """Names of the classes of what is called without brackets."""
    from sqlglot.dialects.duckdb import DuckDB

    return frozenset(c.__name__ for c in DuckDB.Parser.NO_PAREN_FUNCTIONS.values())


def _unknown_function(name: str) -> str:
    if reason := _REFUSED_FUNCTIONS.get(name.lower()):
        return f"the function {name}: {reason}"
    near = difflib.get_close_matches(name.lower(), sorted(FUNCTIONS), n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"the function {name}, which is not among the allowed ones{hint}"


def refused(sql: str, kind: str, excerpt: str, reason: str) -> SpecificationError:
    """Give the error that says where `excerpt` stands and why it is refused."""
    word = excerpt.lower().split("(")[0].strip() or excerpt.lower()
    whole = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", sql.lower())
    place = whole.start() if whole else sql.lower().find(word)
    return SpecificationError(f"The {kind} {_at(sql, place)}holds {reason}. Written: {_short(sql)}")


def _at(sql: str, place: int) -> str:
    if place < 0:
        return ""
    line = sql.count("\n", 0, place) + 1
    column = place - (sql.rfind("\n", 0, place) + 1) + 1
    return f"(line {line}, column {column}) "


def _parse_problem(sql: str, kind: str, error: Exception) -> str:
    details = getattr(error, "errors", None) or [{}]
    first = details[0]
    line, column = first.get("line"), first.get("col")
    place = f"(line {line}, column {column}) " if line and column else ""
    what = first.get("description") or "can't be read as SQL"
    if "<class" in what:
        # The parser speaks of its own classes there.
        near = str(first.get("highlight") or "").strip()
        what = f"something is missing or wrong at {near!r}" if near else "something is missing"
    form = "query" if kind == "select" else "expression"
    return f"The {kind} {place}is no SQL {form}: {what.rstrip('.')}. Written: {_short(sql)}"


def _short(sql: str) -> str:
    text = " ".join(sql.split())
    return repr(text if len(text) <= 120 else text[:117] + "...")
