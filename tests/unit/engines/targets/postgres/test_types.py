"""Types of the catalog as logical types, and back."""

from __future__ import annotations

import pytest

from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.targets.postgres.types import declared_type, logical_type
from airflow_etl_provider.exceptions import TargetSchemaError


def numeric(precision: int, scale: int) -> int:
    """The `atttypmod` of numeric(precision, scale)."""
    return ((precision << 16) | (scale & 0x7FF)) + 4


@pytest.mark.parametrize(
    ("precision", "scale", "expected"),
    [
        (12, 2, "decimal(12,2)"),
        (38, 38, "decimal(38,38)"),
        (5, 0, "decimal(5,0)"),
        (3, -2, "decimal(5,0)"),
        (2, 4, "decimal(4,4)"),
        (1000, 20, "decimal(38,20)"),
        (60, 50, "decimal(38,38)"),
        (38, -5, "decimal(38,0)"),
    ],
)
def test_numerics_keep_their_precision_where_ours_reaches(
    precision: int, scale: int, expected: str
) -> None:
    assert str(logical_type("numeric", modifier=numeric(precision, scale))) == expected


def test_numeric_without_precision_has_digits_on_both_sides() -> None:
    assert str(logical_type("numeric", modifier=-1)) == "decimal(38,18)"


@pytest.mark.parametrize(
    ("logical", "declared"),
    [
        ("string(20)", "varchar(20)"),
        ("string(99999999)", "text"),
        ("decimal(12,2)", "numeric(12,2)"),
        ("array<decimal(12,2)>", "numeric(12,2)[]"),
        ("json", "jsonb"),
        ("duration", "interval"),
    ],
)
def test_created_columns_are_declared_as_postgresql_writes_them(
    logical: str, declared: str
) -> None:
    assert declared_type(parse_type(logical), column="c") == declared


@pytest.mark.parametrize(
    "logical", ["struct<a: int64>", "array<array<int64>>", "array<struct<a: int64>>"]
)
def test_types_without_a_column_are_refused(logical: str) -> None:
    with pytest.raises(TargetSchemaError, match="Column 'c'"):
        declared_type(parse_type(logical), column="c")
