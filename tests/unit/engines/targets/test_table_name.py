from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.engines.targets.table_name import TableName, parse_table_name
from airflow_etl_provider.exceptions import SpecificationError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("orders", TableName("orders")),
        ("sales.orders", TableName("orders", "sales")),
        ('"a.b"', TableName("a.b")),
        ('"a.b"."c ""d"""', TableName('c "d"', "a.b")),
        ("Mixed Case", TableName("Mixed Case")),
        ('x"; drop table y; --', TableName('x"; drop table y; --')),
        ('"open', TableName('"open')),
    ],
)
def test_a_name_is_read_as_it_is_written(text: str, name: TableName) -> None:
    assert parse_table_name(text) == name


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a.b.c", '""', "a\0b"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(SpecificationError, match="no table name"):
        parse_table_name(text)


parts = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@given(st.builds(TableName, parts, st.none() | parts))
def test_a_printed_name_reads_back(name: TableName) -> None:
    assert parse_table_name(str(name)) == name
