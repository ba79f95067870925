"""Which fields a column comes from, and which fields decide what arrives."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_etl_provider.contracts.mapping import MappingContract
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.batch import Window
from airflow_etl_provider.engines.datasets import Dataset
from airflow_etl_provider.engines.lineage import (
    InputField,
    Lineage,
    Use,
    lineage_of,
    origins_in,
)
from airflow_etl_provider.engines.planner import build_plan

FILES = Dataset("file", "/data/orders_*.csv")

TEXT = LogicalType("string")

SOURCE = Schema(tuple(Field(name, TEXT) for name in ("id", "amt", "tax", "Kind", "at", "mail")))

WINDOW = Window(
    start=datetime(2026, 1, 1, tzinfo=timezone.utc), end=datetime(2026, 1, 2, tzinfo=timezone.utc)
)


def lineage(columns: dict[str, Any], fields: dict[str, str], **more: Any) -> Lineage:
    contract = MappingContract.model_validate(
        {"contract": "c", "target": {"fields": fields}, "columns": columns}
    )
    pipeline = Pipeline.model_validate(
        {
            "pipeline": "p",
            "source": {"location": "orders_*.csv"} | more.pop("source", {}),
            "target": {"connection": "w", "table": "t"} | more.pop("target", {}),
            "mapping": contract,
        }
        | more
    )
    plan = build_plan(pipeline, contract, source=SOURCE, target=None, window=WINDOW)
    return lineage_of(plan, origins=origins_in(FILES, SOURCE))


def of(column: dict[str, Any], kind: str = "string") -> dict[str, tuple[Use, ...]]:
    """The uses of one column, by field."""
    found = lineage({"c": column}, {"c": kind})
    return uses(found.columns["c"])


def uses(inputs: tuple[InputField, ...]) -> dict[str, tuple[Use, ...]]:
    assert {input.dataset for input in inputs} <= {FILES}
    return {input.field: input.uses for input in inputs}


def test_a_field_taken_as_it_is_is_an_identity():
    assert of({"from": "id"}) == {"id": (Use("IDENTITY"),)}
    assert of({"from": "id", "convert": "identity"}) == {"id": (Use("IDENTITY"),)}


def test_conversions_transform_and_are_named_in_order():
    made = of({"from": "amt", "convert": ["trim", "parse_int"]}, "int64")

    assert made == {"amt": (Use("TRANSFORMATION", words=("trim", "parse_int")),)}


def test_a_cast_that_the_planner_adds_counts():
    made = of({"from": "amt", "convert": "length"}, "int32")

    assert made["amt"][0].words == ("length", "cast")


def test_every_field_of_several_is_an_input():
    made = of({"from": ["id", "mail"], "convert": {"concat": "-"}})

    assert made == {name: (Use("TRANSFORMATION", words=("concat",)),) for name in ("id", "mail")}


def test_a_constant_comes_from_no_field():
    assert of({"convert": {"constant": "web"}}) == {}


def test_parameters_are_not_told():
    secret = of({"from": "Kind", "convert": {"map_values": {"values": {"a": "hunter2"}}}})

    assert "hunter2" not in repr(secret)


@pytest.mark.parametrize("convert", ["hash", {"mask": 4}, {"uuid5": "dns"}])
def test_what_hides_the_value_is_masking(convert):
    kind = "uuid" if "uuid5" in convert else "string"

    (use,) = of({"from": "mail", "convert": ["lower", convert]}, kind)["mail"]

    assert (use.subtype, use.masking) == ("TRANSFORMATION", True)


def test_a_condition_only_decides():
    made = of({"from": "amt", "when": "kind = 'a' and id is not null"})

    decides = Use("CONDITIONAL", words=("when",))
    assert made == {"amt": (Use("IDENTITY"),), "Kind": (decides,), "id": (decides,)}
    assert decides.type == "INDIRECT"


def test_sql_reads_the_fields_that_it_names():
    made = of({"from": ["amt", "tax"], "convert": {"sql": "amt::double"}}, "float64")

    assert made == {"amt": (Use("TRANSFORMATION", words=("sql",)),)}


def test_sql_that_is_a_field_is_an_identity():
    assert of({"convert": {"sql": "(amt)"}}) == {"amt": (Use("IDENTITY", words=("sql",)),)}


@pytest.mark.parametrize(
    "sql",
    [
        "case when kind = 'x' then amt else tax end",
        "case kind when 'x' then amt else tax end",
        "if(kind = 'x', amt, tax)",
    ],
)
def test_the_condition_of_a_case_only_decides(sql):
    made = of({"convert": {"sql": sql}})

    assert {name: [use.subtype for use in found] for name, found in made.items()} == {
        "Kind": ["CONDITIONAL"],
        "amt": ["TRANSFORMATION"],
        "tax": ["TRANSFORMATION"],
    }


def test_a_field_may_be_used_in_both_ways():
    made = of({"convert": {"sql": "case when amt > '5' then amt else '0' end"}})

    assert {use.subtype for use in made["amt"]} == {"CONDITIONAL", "TRANSFORMATION"}


def test_a_hash_in_sql_masks():
    assert of({"convert": {"sql": "md5(mail || id)"}})["mail"][0].masking


def test_sql_as_a_later_step_goes_on_with_the_value():
    made = of({"from": "amt", "convert": ["trim", {"sql": "upper(value)"}]})

    assert made == {"amt": (Use("TRANSFORMATION", words=("trim", "sql")),)}


def test_a_later_step_that_does_not_look_at_the_value_ends_the_line():
    assert of({"from": "amt", "convert": ["trim", {"sql": "'x'"}]}) == {}


def test_the_filter_decides_which_rows_arrive():
    found = lineage({"c": {"from": "id"}}, {"c": "string"}, filter="KIND <> 'test' or tax is null")

    by = Use("FILTER", words=("filter",))
    assert uses(found.rows) == {"Kind": (by,), "tax": (by,)}
    assert set(uses(found.columns["c"])) == {"id"}


@pytest.mark.parametrize("column", ["at", "happened"])
def test_the_data_interval_decides_too(column):
    found = lineage(
        {"happened": {"from": "at", "convert": "parse_timestamp"}},
        {"happened": "timestamp"},
        source={"incremental": {"by": "data_interval", "column": column}},
    )

    assert uses(found.rows) == {"at": (Use("FILTER", words=("incremental",)),)}


def test_the_newest_of_a_key_is_a_window():
    found = lineage(
        {
            "id": {"from": "id"},
            "at": {"from": "at", "convert": "parse_timestamp"},
            "amt": {"from": "amt"},
        },
        {"id": "string", "at": "timestamp", "amt": "string"},
        target={"mode": "merge", "key": ["id"], "latest_by": "at"},
    )

    by = Use("WINDOW", words=("latest_by",))
    assert uses(found.rows) == {"id": (by,), "at": (by,)}


def test_a_field_made_of_fields_of_other_datasets_is_followed_to_them():
    """What a select over several inputs needs."""
    left, right = Dataset("file", "/a.csv"), Dataset("file", "/b.csv")
    origins = origins_in(FILES, SOURCE) | {
        "amt": (
            InputField(left, "price", (Use("AGGREGATION"),)),
            InputField(right, "rate", (Use("JOIN"),)),
        )
    }
    contract = MappingContract.model_validate(
        {
            "contract": "c",
            "target": {"fields": {"c": "string"}},
            "columns": {"c": {"from": "amt", "convert": "trim"}},
        }
    )
    pipeline = Pipeline.model_validate(
        {
            "pipeline": "p",
            "source": {"location": "x"},
            "target": {"connection": "w", "table": "t"},
            "mapping": contract,
        }
    )
    plan = build_plan(pipeline, contract, source=SOURCE, target=None, window=None)

    assert lineage_of(plan, origins=origins).columns["c"] == (
        InputField(left, "price", (Use("AGGREGATION", words=("trim",)),)),
        InputField(right, "rate", (Use("JOIN", words=("trim",)),)),
    )
