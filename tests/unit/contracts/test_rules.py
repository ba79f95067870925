from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from airflow_etl_provider.contracts.patterns import PATTERNS
from airflow_etl_provider.contracts.references import Reference
from airflow_etl_provider.contracts.rules import (
    Between,
    InSet,
    Length,
    LoadExpression,
    Matches,
    NotNull,
    NullShare,
    References,
    RowExpression,
    Rule,
    Unique,
)
from airflow_etl_provider.exceptions import SpecificationError


def test_a_rule_gives_its_checks_one_by_one():
    rule = Rule(
        column="code",
        not_null=True,
        unique=True,
        in_set=["a", "b"],
        between=["a", None],
        matches="[a-z]",
        length=[1, 3],
    )
    assert rule.checks == (
        NotNull("code"),
        Unique(("code",)),
        InSet("code", ("a", "b")),
        Between("code", "a", None),
        Matches("code", "[a-z]", "[a-z]"),
        Length("code", 1, 3),
    )


@pytest.mark.parametrize(
    ("written", "check", "words", "severity"),
    [
        ({"column": "a", "not_null": True}, NotNull("a"), "a is not null", "quarantine"),
        ({"column": "a", "unique": True}, Unique(("a",)), "a is unique", "quarantine"),
        (
            {"columns": ["a", "b"], "unique": True},
            Unique(("a", "b")),
            "(a, b) is unique",
            "quarantine",
        ),
        ({"column": "a", "in_set": "x"}, InSet("a", ("x",)), "a is one of 'x'", "quarantine"),
        (
            {"column": "a", "between": [0, None]},
            Between("a", 0, None),
            "a is at least 0",
            "quarantine",
        ),
        (
            {"column": "a", "between": [None, 9]},
            Between("a", None, 9),
            "a is at most 9",
            "quarantine",
        ),
        (
            {"column": "a", "between": [1, 2]},
            Between("a", 1, 2),
            "a is between 1 and 2",
            "quarantine",
        ),
        (
            {"column": "a", "matches": "email"},
            Matches("a", "email", PATTERNS["email"]),
            "a looks like email",
            "quarantine",
        ),
        (
            {"column": "a", "length": {"max": 3}},
            Length("a", None, 3),
            "a has at most 3 characters",
            "quarantine",
        ),
        ({"column": "a", "length": [2, 2]}, Length("a", 2, 2), "a has 2 characters", "quarantine"),
        ({"rows": "a > b"}, RowExpression("a > b"), "a > b", "quarantine"),
        ({"load": "rows > 0"}, LoadExpression("rows > 0"), "rows > 0", "fail"),
        ({"load": "rows > 0", "severity": "warn"}, LoadExpression("rows > 0"), "rows > 0", "warn"),
        (
            {"column": "a", "max_null_share": "5%"},
            NullShare("a", 0.05),
            "at most 5 % of a is null",
            "fail",
        ),
    ],
)
def test_each_rule_says_in_words_what_it_wants(written, check, words, severity):
    rule = Rule(**written)
    assert rule.checks == (check,)
    assert check.describe() == words
    assert check.code.startswith("rule:")
    assert rule.severity == severity


def test_codes_of_checks_are_stable():
    codes = [
        check.code
        for check in (NotNull, Unique, InSet, Between, Matches, Length, References, RowExpression)
    ]
    assert codes == [
        "rule:not_null",
        "rule:unique",
        "rule:in_set",
        "rule:between",
        "rule:matches",
        "rule:length",
        "rule:references",
        "rule:rows",
    ]
    assert (NullShare.code, LoadExpression.code) == ("rule:null_share", "rule:load")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({}, "a rule is about one of column, columns, rows, load; found none"),
        ({"column": "a", "rows": "b"}, "found column and rows"),
        ({"column": "a"}, "says nothing about column 'a'"),
        ({"column": "a", "not_null": False}, "says nothing about column 'a'"),
        ({"columns": ["a", "b"]}, "takes `unique: true`"),
        ({"columns": ["a"], "unique": True, "not_null": True}, "takes `unique: true`"),
        ({"rows": "a > b", "not_null": True}, "not_null: belongs to a column"),
        ({"load": "rows > 0", "severity": "quarantine"}, "warn or fail"),
        ({"column": "a", "max_null_share": 0.1, "severity": "quarantine"}, "warn or fail"),
        ({"column": "a", "max_null_share": 0.1, "not_null": True}, "a rule of its own"),
        ({"column": "a", "max_null_share": 5}, "expected a share"),
        ({"column": "a", "in_set": []}, "no row could pass"),
        ({"column": "a", "in_set": ["x", None]}, "holds null"),
        ({"column": "a", "in_set": [["x"]]}, "found a list"),
        ({"column": "a", "between": [1]}, "expected two limits"),
        ({"column": "a", "between": [None, None]}, "no limit at all"),
        ({"column": "a", "between": [2, 1]}, "above its end"),
        ({"column": "a", "between": [1, "2"]}, "two kinds"),
        ({"column": "a", "between": [0, float("nan")]}, "infinite or no number"),
        ({"column": "a", "length": 3}, "expected { min: 1, max: 20 }"),
        ({"column": "a", "length": [3, 1]}, "above its end"),
        ({"column": "a", "length": [-1, 1]}, "number of characters"),
        ({"column": "a", "length": [True, 1]}, "number of characters"),
        ({"column": "a", "length": {"mn": 1}}, "expected { min: 1, max: 20 }"),
        ({"column": "a", "not_null": "yes"}, "found 'yes'; expected true or false"),
        ({"column": "a", "not_null": True, "severity": "wran"}, "Did you mean 'warn'"),
        ({"column": "a", "matches": "emial"}, "Did you mean 'email'"),
        ({"column": "a", "matches": "(a"}, "broken"),
        ({"column": "a", "matches": "a{2,1}x("}, "broken"),
        ({"column": "a", "matches": "(?=a)b"}, "look-ahead"),
        ({"column": "a", "matches": "(?<!a)b"}, "look-behind"),
        ({"column": "a", "matches": r"(a)\1"}, "back-reference"),
        ({"rows": ""}, "rows: is empty"),
        ({"column": "a", "references": "id"}, "expected table.column"),
        ({"column": "a", "references": "a.b.c.d"}, "expected table.column"),
        ({"column": "a", "references": "a..c"}, "expected table.column"),
        ({"column": "a", "references": 5}, "found 5; expected table.column"),
        ({"column": "a", "references": {"table": "t"}}, "expected table.column"),
        ({"column": "a", "references": {"table": "", "column": "c"}}, "the table's name"),
        ({"column": "a", "references": {"table": "t", "columns": ["x", "y"]}}, "names 2 columns"),
        ({"columns": ["a", "b"], "references": "t.x"}, "names 1 columns for 2"),
        ({"rows": "a > b", "references": "t.x"}, "belongs to a column"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(written, problem):
    with pytest.raises(SpecificationError) as error:
        Rule(**written)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("written", "table", "columns"),
    [
        ("customers.id", "customers", ("id",)),
        ("sales.customers.id", "sales.customers", ("id",)),
        ('"a.b"."c.d"."e""f"', '"a.b"."c.d"', ('e"f',)),
        ({"table": "t", "column": "c"}, "t", ("c",)),
        ({"table": "t", "columns": ["c"]}, "t", ("c",)),
    ],
)
def test_a_reference_names_a_table_and_its_column(written, table, columns):
    rule = Rule(column="customer", references=written)
    assert rule.checks == (References(("customer",), Reference(table, columns)),)


def test_several_columns_together_refer_to_as_many():
    rule = Rule(columns=["a", "b"], unique=True, references={"table": "t", "columns": ["x", "y"]})
    assert rule.checks == (
        Unique(("a", "b")),
        References(("a", "b"), Reference("t", ("x", "y"))),
    )
    assert rule.checks[1].describe() == "(a, b) is in t (x, y)"


@pytest.mark.parametrize(
    ("check", "breach"),
    [
        (NotNull("a"), "a has no value"),
        (Unique(("a", "b")), "(a, b) occurs in an earlier record"),
        (InSet("a", ("x", 1)), "a is none of 'x', 1"),
        (Between("a", 0, None), "a is below 0"),
        (Between("a", None, 9), "a is above 9"),
        (Between("a", 0, 9), "a is not between 0 and 9"),
        (Matches("a", "email", PATTERNS["email"]), "a does not look like email"),
        (Matches("a", "[a-z]", "[a-z]"), "a does not match [a-z]"),
        (Length("a", None, 5), "a has more than 5 characters"),
        (Length("a", 2, None), "a has fewer than 2 characters"),
        (Length("a", 2, 5), "a has not 2 to 5 characters"),
        (RowExpression("a > b"), "a > b does not hold"),
        (References(("a",), Reference("s.t", ("id",))), "a is not in s.t.id"),
        (NullShare("a", 0.05), "more than 5 % of a is null"),
        (LoadExpression("rows > 5"), "rows > 5 does not hold"),
    ],
)
def test_a_breach_names_the_column_and_the_limit(check, breach):
    assert check.breach == breach


def test_each_limit_is_a_check_of_its_own():
    assert Between("a", 0, 9).ends == (Between("a", 0, None), Between("a", None, 9))
    assert Length("a", None, 5).ends == (Length("a", None, 5),)


def test_dates_and_decimals_of_python_are_those_of_yaml():
    python = Rule(column="a", between=(dt.date(2026, 1, 1), None), in_set=[Decimal("1.10")])
    assert python == Rule(column="a", between=["2026-01-01", None], in_set=["1.10"])


def test_values_keep_their_kind():
    rule = Rule(column="a", in_set=[1, 1.5, True, "1"])
    assert [type(value) for value in rule.in_set] == [int, float, bool, str]


def test_a_long_list_of_values_is_described_by_its_beginning():
    words = InSet("a", tuple(range(50))).describe()
    assert words.endswith("9, ... (50 in all)")
