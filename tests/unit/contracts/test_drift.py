"""The difference of two schemas, and what each change breaks."""

from __future__ import annotations

import pytest

from airflow_etl_provider.contracts.drift import (
    FieldAdded,
    FieldRemoved,
    TypeChanged,
    compare_schemas,
    contains,
    widened,
)
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type


def schema(**types: str) -> Schema:
    return Schema(tuple(Field(name, parse_type(of)) for name, of in types.items()))


def test_fields_are_added_removed_and_changed_by_name() -> None:
    was = schema(a="int32", b="string", c="date")
    now = schema(c="date", d="bool", a="int64")
    changes = compare_schemas(was, now)
    assert changes == (
        TypeChanged("a", parse_type("int32"), parse_type("int64")),
        FieldRemoved("b", parse_type("string")),
        FieldAdded("d", parse_type("bool")),
    )
    assert [change.effect for change in changes] == ["compatible", "breaking", "additive"]
    assert [change.breaking for change in changes] == [False, True, False]
    assert [change.describe() for change in changes] == [
        "'a' was int32 and is int64",
        "'b' (string) is gone",
        "'d' (bool) is new",
    ]


def test_the_order_of_fields_is_no_difference() -> None:
    assert compare_schemas(schema(a="int32", b="date"), schema(b="date", a="int32")) == ()


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("int64", "int32"),
        ("int32", "int16"),
        ("decimal(19,0)", "int64"),
        ("decimal(12,2)", "int32"),
        ("decimal(12,2)", "decimal(10,2)"),
        ("decimal(12,4)", "decimal(10,2)"),
        ("string", "string(20)"),
        ("string(30)", "string(20)"),
        ("float64", "float32"),
        ("float64", "int32"),
        ("array<int64>", "array<int32>"),
    ],
)
def test_a_wider_type_holds_a_narrower_one_and_not_the_other_way_round(
    wide: str, narrow: str
) -> None:
    one, other = parse_type(wide), parse_type(narrow)
    assert contains(one, other)
    assert not contains(other, one)
    assert widened(other, one) == widened(one, other) == one
    assert TypeChanged("a", other, one).widens
    assert not TypeChanged("a", one, other).widens


@pytest.mark.parametrize(
    ("held", "coming", "both"),
    [
        ("int64", "decimal(12,2)", "decimal(21,2)"),
        ("int32", "decimal(8,2)", "decimal(12,2)"),
        ("decimal(10,2)", "decimal(8,4)", "decimal(12,4)"),
        ("decimal(38,0)", "decimal(4,2)", None),
        ("int64", "float64", None),
        ("int64", "string", None),
        ("string", "int64", None),
        ("date", "timestamp", None),
        ("json", "string", None),
    ],
)
def test_what_holds_two_types_is_no_more_than_it_has_to_be(
    held: str, coming: str, both: str | None
) -> None:
    wider = widened(parse_type(held), parse_type(coming))
    assert wider == (parse_type(both) if both else None)


@pytest.mark.parametrize(
    ("was", "now", "effect"),
    [
        ("int64", "int32", "compatible"),
        ("int64", "string", "breaking"),
        ("decimal(10,2)", "decimal(8,4)", "breaking"),
        ("string", "json", "breaking"),
    ],
)
def test_a_change_of_type_is_compatible_where_one_type_holds_the_other(
    was: str, now: str, effect: str
) -> None:
    assert TypeChanged("a", parse_type(was), parse_type(now)).effect == effect
