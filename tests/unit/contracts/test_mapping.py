from __future__ import annotations

import copy
from typing import Any

import pytest

from airflow_etl_provider.contracts.conversions import read_conversion
from airflow_etl_provider.contracts.files import contract_from_text
from airflow_etl_provider.contracts.mapping import ColumnMapping, MappingContract
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.exceptions import SpecificationError

ORDERS = """
contract: orders
version: 3
status: approved
approved: { by: dana, at: 2026-11-20T09:14:00Z }
source:
  dataset: shop_files/exports/orders
  fingerprint: 6f1c
  fields: { ord_no: string, amt: string, tax: string, dt: string, legacy_flag: string }
target:
  dataset: warehouse/sales.orders
  fields:
    order_id: int64
    amount: "decimal(12,2)"
    ordered_at: timestamptz
    channel: string
    net: decimal(12,2)
    coupon_code: string
columns:
  order_id:
    from: ord_no
    convert: cast
    confidence: 0.99
    evidence: ["names share 'ord'", "98 % of values in both"]
  amount:
    { from: amt, convert: { parse_decimal: { decimal: ",", thousands: "." } }, confidence: 0.97 }
  ordered_at:
    from: dt
    convert: { parse_timestamp: { formats: ["%d/%m/%Y %H:%M"], timezone: Europe/Berlin } }
    confidence: 0.93
  channel:    { convert: { constant: web }, when: "amt is not null", status: edited }
  net:        { from: [amt, tax], convert: { sql: "amt - tax" } }
unmapped: { source: [legacy_flag], target: [coupon_code] }
"""

SMALL: dict[str, Any] = {
    "contract": "small",
    "source": {"fields": {"a": "string", "b": "string"}},
    "target": {"fields": {"x": "int64", "y": "string"}},
    "columns": {"x": {"from": "a", "convert": "cast"}, "y": {"from": "b"}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    spec = copy.deepcopy(SMALL)
    *parents, last = path.split(".")
    part = spec
    for parent in parents:
        part = part[parent]
    part[last] = value
    return spec


def test_the_contract_of_the_design_is_the_same_in_yaml_and_in_python():
    contract = contract_from_text(ORDERS, name="orders.mapping.yaml")
    assert contract.version == 3
    assert contract.approved is not None
    assert contract.approved.at.isoformat() == "2026-11-20T09:14:00+00:00"
    assert contract.target.fields["amount"] == parse_type("decimal(12,2)")
    assert contract.columns["order_id"] == ColumnMapping(
        from_="ord_no",
        convert=[read_conversion("cast")],
        confidence=0.99,
        evidence=("names share 'ord'", "98 % of values in both"),
    )
    assert contract.columns["channel"].convert == (read_conversion({"constant": "web"}),)
    assert contract.columns["net"].from_ == ("amt", "tax")


def test_a_contract_written_again_is_equal():
    contract = contract_from_text(ORDERS, name="orders.mapping.yaml")
    spec = contract.to_spec()
    assert spec["columns"]["order_id"]["from"] == "ord_no"
    assert spec["columns"]["order_id"]["convert"] == "cast"
    assert spec["columns"]["net"]["from"] == ["amt", "tax"]
    assert spec["approved"] == {"by": "dana", "at": "2026-11-20T09:14:00Z"}
    assert MappingContract(**spec) == contract


def test_steps_stay_in_the_order_written():
    column = ColumnMapping(from_="a", convert=["trim", {"nullif": "-"}, "cast"])
    assert [step.name for step in column.convert] == ["trim", "nullif", "cast"]
    assert column.to_spec() == {"from": "a", "convert": ["trim", {"nullif": "-"}, "cast"]}


@pytest.mark.parametrize("written", [None, "null"])
def test_on_failure_null_is_the_word_and_yamls_null(written):
    column = ColumnMapping(from_="a", convert="cast", on_failure=written)
    assert column.on_failure == "null"


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (changed("columns.x", {}), "columns.x: needs `from`"),
        (
            changed("columns.x", {"convert": "cast"}),
            "columns.x.from: is missing: cast takes 1 input",
        ),
        (changed("columns.x", {"from": "a", "convert": "casst"}), "columns.x.convert"),
        (
            changed("columns.x", {"from": "a", "convert": ["trim", {"constant": 1, "trim": {}}]}),
            "columns.x.convert[1]",
        ),
        (changed("columns.x", {"from": "a", "default": 0}), "goes with `on_failure: default`"),
        (changed("columns.x", {"from": "a", "on_failure": "default"}), "default: is missing"),
        (
            changed("columns.x", {"from": "a", "on_failure": "ignore"}),
            "allowed: reject, null, default",
        ),
        (changed("columns.x", {"from": "a", "confidence": 1.5}), "columns.x.confidence"),
        (changed("columns.x", {"form": "a"}), "columns.x.form: unknown key. Did you mean 'from'"),
        (changed("columns.x", {"from": "aa"}), "columns.x.from: found 'aa', which source.fields"),
        (changed("columns", {}), "columns"),
        (
            changed("columns", {"x": {"from": "a"}}),
            "target.fields.y: is neither under `columns` nor",
        ),
        (
            changed("columns.z", {"from": "a"}),
            "columns.z: has no type: list it under target.fields",
        ),
        (changed("unmapped", {"target": ["x"]}), "names 'x', which `columns` fills"),
        (changed("unmapped", {"source": ["a"]}), "names 'a', which `columns` uses"),
        (changed("unmapped", {"source": ["c"]}), "names 'c', which source.fields does not have"),
        (changed("target.fields.x", "integer"), "target.fields.x: 'integer' is no type"),
        (changed("version", 0), "version"),
        (changed("version", "1"), "version: found '1'; expected a whole number"),
        (changed("status", "aproved"), "Did you mean 'approved'"),
        (changed("approved", {"by": "dana", "at": "2026-11-20T09:14:00"}), "approved.at"),
        (changed("approved", {"by": "dana", "at": 1763630040}), "approved.at: found 1763630040"),
        (changed("approved", {"by": "dana"}), "approved.at: is missing"),
        (changed("taget", {}), "taget: unknown key. Did you mean 'target'"),
    ],
)
def test_a_contract_that_makes_no_sense_is_refused_where_it_is_wrong(spec, problem):
    with pytest.raises(SpecificationError) as error:
        MappingContract(**spec)
    assert problem in str(error.value)


def test_all_wrong_columns_are_reported_together():
    spec = changed("columns.x", {"from": "no"})
    spec["columns"]["y"] = {"from": "nope"}
    with pytest.raises(SpecificationError) as error:
        MappingContract(**spec)
    assert "columns.x.from" in str(error.value)
    assert "columns.y.from" in str(error.value)


def test_source_fields_that_are_not_listed_are_not_checked():
    spec = changed("source", {})
    assert MappingContract(**spec).columns["x"].from_ == ("a",)


def test_a_field_may_feed_several_columns():
    spec = changed("columns.y", {"from": "a"})
    assert MappingContract(**spec).columns["y"].from_ == ("a",)


@pytest.mark.parametrize("status", ["proposed", "rejected", "superseded"])
def test_a_contract_that_is_not_approved_does_not_run(status):
    contract = MappingContract(**changed("status", status))
    with pytest.raises(SpecificationError, match=f"is {status}; only an approved contract runs"):
        contract.require_approved()


@pytest.mark.parametrize("status", ["proposed", "rejected"])
def test_an_approved_contract_with_an_open_column_does_not_run(status):
    contract = MappingContract(**changed("columns.x.status", status))
    with pytest.raises(SpecificationError, match=f"these columns are {status}: x"):
        contract.require_approved()


def test_an_approved_contract_runs():
    MappingContract(**changed("columns.x.status", "edited")).require_approved()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("contract", "renamed"),
        ("version", 9),
        ("approved", {"by": "dana", "at": "2026-11-20T09:14:00Z"}),
        ("columns.x.confidence", 0.5),
        ("columns.x.evidence", ["why"]),
        ("columns.x.status", "edited"),
        ("source.fields.c", "string"),
        ("source.fingerprint", "abc"),
    ],
)
def test_what_changes_no_row_changes_no_hash(path, value):
    assert (
        MappingContract(**changed(path, value)).contract_hash()
        == MappingContract(**SMALL).contract_hash()
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("columns.x.from", "b"),
        ("columns.x.convert", ["trim", "cast"]),
        ("columns.x.when", "b is not null"),
        ("columns.x.on_failure", "null"),
        ("target.fields.x", "int32"),
    ],
)
def test_what_changes_rows_changes_the_hash(path, value):
    assert (
        MappingContract(**changed(path, value)).contract_hash()
        != MappingContract(**SMALL).contract_hash()
    )


def test_the_order_of_columns_changes_no_hash():
    reordered = changed("columns", dict(reversed(SMALL["columns"].items())))
    assert MappingContract(**reordered).contract_hash() == MappingContract(**SMALL).contract_hash()
