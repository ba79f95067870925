from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.engines.sources.delimited.header import merge_header, name_columns


def test_names_are_unique_and_never_empty() -> None:
    assert name_columns(["id", "name", "", "name", "ID"], width=6) == (
        "id", "name", "column_3", "name_2", "ID_2", "column_6",
    )  # fmt: skip


def test_a_made_name_gives_way_to_a_given_one() -> None:
    assert name_columns(["a", "a", "a_2", "", "column_4"], width=5) == (
        "a", "a_3", "a_2", "column_4_2", "column_4",
    )  # fmt: skip


@given(st.lists(st.sampled_from(["a", "A", "a_2", "", " ", "column_2", "\0"])), st.integers(0, 9))
def test_any_header_gives_as_many_different_names_as_columns(names: list[str], width: int) -> None:
    made = name_columns(names, width=width)
    assert len({name.casefold() for name in made}) == len(made) == width
    assert all(made)


def test_groups_above_span_the_names_below() -> None:
    rows = [
        ["Date", "Travel", "", "", "Other", "Total"],
        ["", "", "", "", "", ""],
        ["", "Air", "Rail", "Taxi", "", ""],
    ]
    assert merge_header(rows, width=6) == [
        "Date", "Travel Air", "Travel Rail", "Travel Taxi", "Other", "Total",
    ]  # fmt: skip


def test_a_group_does_not_reach_into_its_neighbour() -> None:
    rows = [["Staff", "", "Cost", ""], ["AO", "", "", "SCS"], ["n", "fte", "n", "fte"]]
    assert merge_header(rows, width=4) == ["Staff AO n", "Staff AO fte", "Cost n", "Cost SCS fte"]
