from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.engines.arrow_values import array_of, one_row, scalar_of

REASONS = pa.list_(pa.struct([("code", pa.string()), ("message", pa.string())]))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), TEXT),
    (pa.large_string(), TEXT),
    (pa.binary(), st.binary(max_size=8)),
    (pa.large_binary(), st.binary(max_size=8)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.int8(), st.integers(-128, 127)),
    (pa.bool_(), st.booleans()),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(timezone.utc))),
    (pa.list_(pa.int8()), st.lists(st.integers(-128, 127), max_size=3)),
    (
        REASONS,
        st.lists(
            st.fixed_dictionaries({"code": TEXT}, optional={"message": st.none() | TEXT}),
            max_size=3,
        ),
    ),
]


@pytest.mark.parametrize(("of", "value"), VALUES, ids=[str(of) for of, _ in VALUES])
@given(data=st.data())
def test_an_array_is_what_pyarrow_makes_of_the_values(
    of: pa.DataType, value: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    values = data.draw(st.lists(st.none() | value, max_size=40))
    made = array_of(values, of)
    made.validate(full=True)
    assert made.equals(pa.array(values, of))


@pytest.mark.parametrize("value", ["é", "", None])
def test_one_value_is_a_scalar(value: str | None) -> None:
    assert scalar_of(value, pa.string()) == pa.scalar(value, pa.string())


def test_parameters_keep_their_types() -> None:
    moment = datetime(2026, 11, 24, 1, 2, 3, 4, tzinfo=timezone.utc)
    row = one_row(["x", 7, None, moment])
    assert row.to_pylist() == [{"0": "x", "1": 7, "2": None, "3": moment}]
    assert row.schema.types == [pa.string(), pa.int64(), pa.null(), pa.timestamp("us", "UTC")]


@pytest.mark.parametrize(
    ("values", "of"),
    [([1], pa.string()), (["x"], pa.int64()), ([2**63], pa.int64()), ([1], pa.bool_())],
)
def test_a_value_of_another_type_is_refused(values: list[Any], of: pa.DataType) -> None:
    with pytest.raises((TypeError, OverflowError, AttributeError)):
        array_of(values, of)
