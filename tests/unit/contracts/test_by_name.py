from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.contracts.by_name import contract_by_name
from airflow_etl_provider.contracts.conversions import Cast
from airflow_etl_provider.contracts.mapping import ColumnMapping, MappingContract
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.exceptions import SpecificationError, TargetSchemaError


def schema(*, required: tuple[str, ...] = (), **types: str) -> Schema:
    return Schema(
        tuple(
            Field(name, parse_type(of), nullable=name not in required) for name, of in types.items()
        )
    )


def by_name(
    source: Schema, target: Schema | None, suggested: Schema | None = None
) -> MappingContract:
    return contract_by_name(
        name="orders",
        source=source,
        suggested=suggested or source,
        target=target,
        source_dataset="orders.csv",
        target_dataset="warehouse/orders",
    )


def test_columns_of_one_name_belong_together_and_are_cast_where_types_differ():
    contract = by_name(
        schema(id="string", note="string", extra="string"),
        schema(note="string", id="int64", missing="date"),
    )
    assert contract.columns == {
        "note": ColumnMapping(from_="note"),
        "id": ColumnMapping(from_="id", convert=(Cast(),)),
    }
    assert contract.unmapped.source == ("extra",)
    assert contract.unmapped.target == ("missing",)
    assert contract.source.dataset == "orders.csv"
    contract.require_approved()


def test_case_is_ignored_where_that_leaves_one_candidate():
    contract = by_name(schema(ID="string", Note="string"), schema(id="int64", note="string"))
    assert {name: column.from_ for name, column in contract.columns.items()} == {
        "id": ("ID",),
        "note": ("Note",),
    }


def test_the_exact_name_goes_before_another_case():
    contract = by_name(schema(ID="string", id="string"), schema(id="string"))
    assert contract.columns["id"].from_ == ("id",)
    assert contract.unmapped.source == ("ID",)


def test_several_candidates_of_another_case_are_left_unmapped():
    contract = by_name(
        schema(Id="string", ID="string", note="string"), schema(id="string", note="string")
    )
    assert "id" not in contract.columns
    assert contract.unmapped.target == ("id",)
    assert contract.unmapped.source == ("Id", "ID")


def test_two_columns_that_differ_by_case_do_not_share_a_field():
    contract = by_name(
        schema(ID="string", note="string"), schema(id="string", Id="string", note="string")
    )
    assert set(contract.columns) == {"note"}


def test_a_target_that_is_not_there_gets_every_field_with_its_suggested_type():
    contract = by_name(
        schema(id="string", note="string"), None, suggested=schema(id="int64", note="string")
    )
    assert contract.target.fields == {"id": parse_type("int64"), "note": parse_type("string")}
    assert contract.columns["id"].convert == (Cast(),)
    assert contract.columns["note"].convert == ()


def test_a_column_that_needs_a_value_and_has_no_field_is_an_error():
    with pytest.raises(TargetSchemaError, match="needs a value in 'order_id'"):
        by_name(
            schema(note="string"), schema(note="string", order_id="int64", required=("order_id",))
        )


def test_a_column_that_its_table_can_fill_needs_no_field():
    filled = Field("channel", parse_type("string"), nullable=False, has_default=True)
    contract = by_name(schema(id="string"), Schema((*schema(id="string"), filled)))
    assert contract.unmapped.target == ("channel",)


def test_fields_that_differ_by_case_alone_are_named_where_a_value_is_needed():
    with pytest.raises(TargetSchemaError, match=r"differ by case alone \(.ID., .Id.\)"):
        by_name(
            schema(ID="string", Id="string", note="string"),
            schema(id="string", note="string", required=("id",)),
        )


def test_no_common_name_is_an_error_that_lists_both_sides():
    with pytest.raises(SpecificationError) as error:
        by_name(schema(a="string", b="string"), schema(x="int64", required=("x",)))
    assert "Source: 'a', 'b'. Target: 'x'." in str(error.value)


def test_a_source_without_fields_is_an_error():
    with pytest.raises(SpecificationError, match=r"share no column name\. Source: none"):
        by_name(Schema(()), None)


def test_columns_of_the_load_are_nobodys_to_fill():
    contract = by_name(
        schema(id="string", _etl_load_id="string"),
        schema(
            id="string",
            _etl_load_id="string",
            _etl_loaded_at="timestamptz",
            required=("_etl_load_id", "_etl_loaded_at"),
        ),
    )
    assert set(contract.columns) == {"id"}
    assert contract.unmapped.target == ()


NAMES = st.lists(st.sampled_from(["a", "A", "b", "B", "ß", "SS", "c"]), unique=True, min_size=1)


@given(NAMES, NAMES)
def test_every_field_and_column_is_mapped_once_or_listed_unmapped(fields, columns):
    source = schema(**dict.fromkeys(fields, "string"))
    target = schema(**dict.fromkeys(columns, "int64"))
    try:
        contract = by_name(source, target)
    except SpecificationError:
        assert not set(fields) & set(columns)
        return
    used = [name for column in contract.columns.values() for name in column.from_]
    assert sorted([*used, *contract.unmapped.source]) == sorted(fields)
    assert sorted([*contract.columns, *contract.unmapped.target]) == sorted(columns)
    assert all(
        column.from_[0].casefold() == name.casefold() for name, column in contract.columns.items()
    )
