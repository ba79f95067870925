"""Types suggested from values: sure or text."""

from __future__ import annotations

import pytest

from airflow_etl_provider.engines.sources.infer import suggest_type, suggest_types


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-20", "0"], "int64"),
        (["1", "007"], "string"),
        (["1", "+2"], "string"),
        (["1", " 2"], "string"),
        (["1", ""], "string"),
        (["1", "NA"], "string"),
        (["12345678901234567890"], "string"),
        (["1.50", "20.75"], "decimal(14,2)"),
        (["1.5", "20.75", "3"], "decimal(16,4)"),
        (["01.50"], "string"),
        (["1,50"], "string"),
        (["0.1234567890123456789"], "float64"),
        (["1.5e3", "2.0"], "float64"),
        (["1e5", "2e7"], "string"),
        (["true", "False"], "bool"),
        (["yes", "no"], "string"),
        (["0", "1"], "int64"),
        (["2024-01-31", "1999-12-01"], "date"),
        (["2024-02-30"], "string"),
        (["31/01/2024"], "string"),
        (["2024-01-31 10:00", "2024-01-31T10:00:00.123"], "timestamp"),
        (["2024-01-31T10:00:00Z", "2024-01-31T10:00:00+02:00"], "timestamptz"),
        (["2024-01-31T10:00:00Z", "2024-01-31T10:00:00"], "string"),
        (["2024-01-31T25:00:00"], "string"),
        (["2024-01-31", "2024-01-31 10:00"], "string"),
        ([], "string"),
    ],
)
def test_a_type_is_suggested_only_beyond_doubt(values: list[str], expected: str) -> None:
    assert str(suggest_type(values)) == expected


def test_null_is_no_evidence() -> None:
    schema = suggest_types(("a", "b"), [[("1", None), (None, None)], [("2", None)]])
    assert [str(field.type) for field in schema] == ["int64", "string"]


def test_one_odd_value_anywhere_makes_text() -> None:
    blocks = [[(str(number),) for number in range(1000)], [("n/a",)]]
    assert str(suggest_types(("a",), blocks)["a"].type) == "string"
