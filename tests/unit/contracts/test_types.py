from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType, parse_type
from airflow_etl_provider.exceptions import SpecificationError

SIMPLE = ["bool", "int64", "float32", "string", "date", "timestamptz", "uuid", "json", "binary"]

TYPES = st.recursive(
    st.one_of(
        st.sampled_from(SIMPLE).map(LogicalType),
        st.integers(1, 38).flatmap(
            lambda p: st.integers(0, p).map(lambda s: LogicalType("decimal", precision=p, scale=s))
        ),
        st.integers(1, 10**6).map(lambda n: LogicalType("string", length=n)),
    ),
    lambda inner: st.one_of(
        inner.map(lambda of: LogicalType("array", element=of)),
        st.lists(
            st.tuples(st.from_regex(r"[a-z_]{1,5}", fullmatch=True), inner),
            min_size=1,
            max_size=3,
            unique_by=lambda field: field[0],
        ).map(lambda fields: LogicalType("struct", fields=tuple(fields))),
    ),
    max_leaves=6,
)


@given(TYPES)
def test_a_type_is_read_as_it_is_printed(of):
    assert parse_type(str(of)) == of


@given(st.text(alphabet="abdecimlstrng<>(),: 0123456789", max_size=30))
def test_any_text_is_a_type_or_refused(text):
    with suppress(SpecificationError):
        assert parse_type(str(parse_type(text))) == parse_type(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("integer", "'integer' is no type"),
        ("decimal", "'decimal' is no type"),
        ("decimal(39,2)", "out of range"),
        ("decimal(5,6)", "out of range"),
        ("string(0)", "at least one character"),
        ("array<>", "'' is no type"),
        ("struct<a>", "'a' is no struct field"),
        ("struct<a: int64, a: date>", "names a field twice"),
        ("array<" * 1000, "at most 2000 characters"),
    ],
)
def test_a_wrong_type_is_refused(text, problem):
    with pytest.raises(SpecificationError) as error:
        parse_type(text)
    assert problem in str(error.value)


def test_a_schema_keeps_order_and_names_apart():
    schema = Schema((Field("b", LogicalType("int64")), Field("B", LogicalType("string"))))
    assert schema.names == ("b", "B")
    assert schema["B"].type == LogicalType("string")
    assert "a" not in schema
    with pytest.raises(SpecificationError, match="Two columns are named 'b'"):
        Schema((Field("b", LogicalType("int64")), Field("b", LogicalType("int64"))))


def test_a_fingerprint_is_about_names_types_and_order():
    a, b = Field("a", LogicalType("int64")), Field("b", LogicalType("string"))
    assert Schema((a, b)).fingerprint == Schema((a, b)).fingerprint
    assert Schema((a, b)).fingerprint != Schema((b, a)).fingerprint
    assert Schema((a,)).fingerprint != Schema((Field("a", LogicalType("int32")),)).fingerprint
