from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_etl_provider.contracts.files import pipeline_from_text
from airflow_etl_provider.contracts.incremental import lag_of, start_of
from airflow_etl_provider.contracts.mapping import MappingContract
from airflow_etl_provider.contracts.pipeline import (
    Dialect,
    Incremental,
    Pipeline,
    RejectBudget,
    SourceSpec,
    TargetSpec,
)
from airflow_etl_provider.contracts.rules import Rule
from airflow_etl_provider.exceptions import NotSupportedYetError, SpecificationError

ORDERS = """
pipeline: orders
source:
  connection: shop_files
  location: exports/orders_*.csv.gz
  format: csv
  incremental: { by: data_interval, column: ordered_at }
target:
  connection: warehouse
  table: sales.orders
  mode: merge
  key: [order_id]
  latest_by: updated_at
mapping: orders.mapping.yaml
filter: "status is distinct from 'test'"
rules:
  - { column: order_id, not_null: true, unique: true }
  - { column: amount, between: [0, 1000000] }
  - { column: email, matches: email, severity: warn }
  - { rows: "shipped_at >= ordered_at" }
  - { load: "rows >= 1000", severity: fail }
max_rejected: 1%
schema_evolution: review
quarantine: s3://lake/quarantine/
engine: auto
on_error: default
"""

SMALL: dict[str, Any] = {
    "pipeline": "orders",
    "source": {"location": "orders.csv"},
    "target": {"location": "orders.parquet"},
}


def test_the_pipeline_of_the_design_is_the_same_in_yaml_and_in_python():
    assert pipeline_from_text(ORDERS, name="orders.yaml") == Pipeline(
        pipeline="orders",
        source=SourceSpec(
            connection="shop_files",
            location="exports/orders_*.csv.gz",
            format="csv",
            incremental=Incremental(by="data_interval", column="ordered_at"),
        ),
        target=TargetSpec(
            connection="warehouse",
            table="sales.orders",
            mode="merge",
            key=("order_id",),
            latest_by="updated_at",
        ),
        mapping="orders.mapping.yaml",
        filter="status is distinct from 'test'",
        rules=(
            Rule(column="order_id", not_null=True, unique=True),
            Rule(column="amount", between=(0, 1000000)),
            Rule(column="email", matches="email", severity="warn"),
            Rule(rows="shipped_at >= ordered_at"),
            Rule(load="rows >= 1000", severity="fail"),
        ),
        max_rejected=RejectBudget(records=None, share=0.01),
        schema_evolution="review",
        quarantine="s3://lake/quarantine/",
    )


@pytest.mark.parametrize(
    ("written", "changed", "named"),
    [
        ("location: exports/orders_*.csv.gz", "topic: orders", "source.topic"),
        ("mode: merge", "mode: scd2", "'scd2'"),
        ("mode: merge", "mode: snapshot", "'snapshot'"),
        ("mapping: orders.mapping.yaml", "mapping: propose", "'propose'"),
        ("engine: auto", "engine: spark", "'spark'"),
        ("on_error: default", "on_error: page_somebody", "'page_somebody'"),
    ],
)
def test_what_is_planned_but_not_built_is_refused_by_name(written, changed, named):
    assert written in ORDERS
    with pytest.raises(NotSupportedYetError, match="not supported yet") as error:
        pipeline_from_text(ORDERS.replace(written, changed), name="orders.yaml")
    assert named in str(error.value)
    assert "line " in str(error.value)


def test_a_mistake_beside_something_planned_is_a_mistake():
    with pytest.raises(SpecificationError) as error:
        Pipeline(**SMALL | {"engine": "spark", "filtr": "x"})
    assert not isinstance(error.value, NotSupportedYetError)
    assert "engine" in str(error.value)
    assert "Did you mean 'filter'" in str(error.value)


def test_python_gets_an_error_of_ours_with_every_problem_in_it():
    with pytest.raises(SpecificationError) as error:
        Pipeline(
            pipeline="orders",
            source={"locaton": "a.csv", "header_rows": "1"},
            target={"location": "a.csv", "mode": "mrege"},
            mapping="by_nam",
        )
    message = str(error.value)
    assert "source.locaton: unknown key. Did you mean 'location'?" in message
    assert "source.header_rows: found '1'; expected a whole number" in message
    assert (
        "target.mode: found 'mrege'; allowed: append, replace, replace_partition, merge" in message
    )
    assert "mapping: found 'by_nam'" in message


@pytest.mark.parametrize(
    ("part", "value", "problem"),
    [
        ("source", {}, "source: needs `location`"),
        ("source", {"location": " "}, "source.location: is empty"),
        (
            "source",
            {"location": "a.csv", "encoding": "klingon"},
            "source.encoding: found 'klingon'",
        ),
        ("source", {"location": "a.csv", "encoding": "base64"}, "source.encoding: found 'base64'"),
        ("source", {"location": "a.csv", "header_rows": -1}, "source.header_rows"),
        ("source", {"location": "a.csv", "null_values": [-999]}, "write it in quotes"),
        ("source", {"location": "a.csv", "dialect": {"quote": "''"}}, "source.dialect.quote"),
        ("source", {"location": "a.csv", "dialect": {"delimiter": ""}}, "source.dialect.delimiter"),
        (
            "source",
            {"location": "a.csv", "dialect": {"delimiter": '"', "quote": '"'}},
            "delimiter is also the quote",
        ),
        ("source", {"location": "a.jsonl", "format": "jsonl", "header_rows": 1}, "delimited text"),
        ("source", {"location": "a.parquet", "format": "parquet", "encoding": "utf-8"}, "encoding"),
        (
            "source",
            {"location": "a.csv", "incremental": {"by": "data_interval"}},
            "column: is miss",
        ),
        (
            "source",
            {"location": "a", "incremental": {"by": "column", "column": "at", "lag": "1 h"}},
            "source.incremental.lag: found '1 h'; expected a span such as",
        ),
        (
            "source",
            {"location": "a", "incremental": {"by": "column", "column": "at", "start": "today"}},
            "source.incremental.start: found 'today'; expected a date or time",
        ),
        (
            "source",
            {"location": "a", "incremental": {"by": "data_interval", "column": "at", "lag": 1}},
            "lag: goes with `by: column`, not with `by: data_interval`",
        ),
        (
            "source",
            {"location": "a.tsv", "format": "tsv", "dialect": {"delimiter": ";"}},
            "format tsv has tabs",
        ),
        ("target", {}, "target: needs `location`"),
        ("target", {"table": "orders"}, "needs `connection` beside `table`"),
        ("target", {"connection": "dwh"}, "needs `location` (a file), or `connection` and `table`"),
        ("target", {"location": "a.csv", "mode": "merge"}, "target.key: is missing"),
        ("target", {"location": "a.csv", "latest_by": "at"}, "target.latest_by: goes with"),
        ("target", {"location": "a.csv", "key": ["id", "id"]}, "names 'id' twice"),
        ("target", {"location": "a.csv", "deletes": {"when": "a"}}, "target.deletes: goes with"),
        (
            "target",
            {"location": "a", "mode": "merge", "key": "a", "deletes": {"when": "a", "how": "soft"}},
            "target.deletes.column: is missing",
        ),
        (
            "target",
            {"location": "a", "mode": "merge", "key": "a", "deletes": {"when": "a", "column": "b"}},
            "target.deletes.column: goes with `how: soft`",
        ),
        (
            "target",
            {"location": "a.csv", "on_reload": "replace_load"},
            "replace_load needs `load_columns: true`",
        ),
        ("pipeline", "../orders", "pipeline: found '../orders'"),
        ("pipeline", "", "pipeline: is empty"),
        ("pipeline", 7, "write it in quotes"),
        ("filter", "", "filter: is empty"),
        ("rules", "unique", "rules: found 'unique'; expected a list"),
    ],
)
def test_a_value_that_can_not_work_is_refused_where_it_stands(part, value, problem):
    with pytest.raises(SpecificationError) as error:
        Pipeline(**SMALL | {part: value})
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("incremental", "target", "problem"),
    [
        ({"by": "new_files"}, {"mode": "replace"}, "target.mode: replace leaves only the rows"),
        (
            {"by": "column", "column": "at"},
            {"mode": "replace_partition", "partition_by": "day"},
            "target.mode: replace_partition would drop the older records",
        ),
        (
            {"by": "column", "column": "at", "lag": "1 hour"},
            {"mode": "append"},
            "source.incremental.lag: takes records again that were loaded",
        ),
        (
            {"by": "new_files"},
            {"load_columns": True, "on_reload": "replace_load"},
            "target.on_reload: replace_load is about loading the same window again",
        ),
    ],
)
def test_a_mode_that_would_lose_or_double_what_was_loaded_is_refused(incremental, target, problem):
    with pytest.raises(SpecificationError) as error:
        Pipeline(
            pipeline="orders",
            source={"location": "a.csv", "incremental": incremental},
            target={"connection": "dwh", "table": "orders"} | target,
        )
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("written", "lag"),
    [
        ("1 hour", timedelta(hours=1)),
        (" 90   minutes ", timedelta(minutes=90)),
        ("2 weeks", timedelta(days=14)),
        (100, 100),
    ],
)
def test_a_lag_is_a_span_or_a_number(written, lag):
    assert lag_of(Incremental(by="column", column="at", lag=written).lag) == lag


@pytest.mark.parametrize(
    ("written", "start"),
    [
        ("2024-01-31", datetime(2024, 1, 31, tzinfo=timezone.utc)),
        ("2024-01-31T06:00:00+01:00", datetime(2024, 1, 31, 5, tzinfo=timezone.utc)),
        (date(2024, 1, 31), datetime(2024, 1, 31, tzinfo=timezone.utc)),
        (7, 7),
    ],
)
def test_a_start_is_a_time_or_a_number(written, start):
    assert start_of(Incremental(by="column", column="at", start=written).start) == start


@pytest.mark.parametrize(
    ("written", "records", "share"),
    [
        (100, 100, None),
        ("100", 100, None),
        (0, 0, None),
        ("1%", None, 0.01),
        ("0.5 %", None, 0.005),
        ("100%", None, 1.0),
        ("none", None, None),
        ({"records": 50, "share": "2%"}, 50, 0.02),
    ],
)
def test_max_rejected_is_read_as_people_write_it(written, records, share):
    pipeline = Pipeline(**SMALL | {"max_rejected": written})
    assert pipeline.max_rejected == RejectBudget(records=records, share=share)


@pytest.mark.parametrize("written", [-1, True, 0.01, "101%", "-1%", "many", "%", "", None, []])
def test_max_rejected_refuses_what_could_be_misread(written):
    with pytest.raises(SpecificationError, match="max_rejected"):
        Pipeline(**SMALL | {"max_rejected": written})


def test_the_budget_is_the_larger_of_a_hundred_records_and_one_percent():
    budget = Pipeline(**SMALL).max_rejected
    assert budget.allows(rejected=100, read=100)
    assert not budget.allows(rejected=101, read=10_000)
    assert budget.allows(rejected=200, read=20_000)


def test_a_budget_without_limit_allows_everything():
    assert RejectBudget(records=None, share=None).allows(rejected=9, read=9)


def test_one_name_needs_no_list():
    pipeline = Pipeline(
        **SMALL
        | {
            "source": {"location": "a.csv", "null_values": "NA"},
            "target": {"location": "a.db", "table": "t", "mode": "merge", "key": "id"},
            "rules": {"column": "id", "not_null": True},
        }
    )
    assert pipeline.source.null_values == ("NA",)
    assert pipeline.target.key == ("id",)
    assert pipeline.rules == (Rule(column="id", not_null=True),)


def test_the_empty_field_may_be_a_null_value():
    source = SourceSpec(location="a.csv", null_values=["", "NA", "NA"])
    assert source.null_values == ("", "NA")


def test_tsv_is_csv_with_tabs():
    source = SourceSpec(location="a.tsv", format="tsv", dialect={"quote": ""})
    assert source.format == "csv"
    assert source.dialect == Dialect(delimiter="\t", quote="")


def test_key_and_rules_must_name_columns_of_the_contract():
    contract = {
        "contract": "orders",
        "target": {"fields": {"order_id": "int64"}},
        "columns": {"order_id": {"from": "id"}},
    }
    with pytest.raises(SpecificationError) as error:
        Pipeline(
            **SMALL
            | {
                "target": {"location": "a.db", "table": "t", "mode": "merge", "key": "order_di"},
                "mapping": contract,
                "rules": [{"rows": "true"}, {"column": "amount", "not_null": True}],
            }
        )
    message = str(error.value)
    assert "target.key: found 'order_di'" in message
    assert "Did you mean 'order_id'" in message
    assert "rules[1].column: found 'amount'" in message


def test_a_pipeline_may_hold_its_contract():
    contract = MappingContract(
        contract="orders",
        target={"fields": {"order_id": "int64"}},
        columns={"order_id": {"from": "id", "convert": "cast"}},
    )
    assert Pipeline(**SMALL, mapping=contract).mapping is contract
    assert Pipeline(**SMALL, mapping=contract.to_spec()).mapping == contract


def test_a_pipeline_can_not_be_changed():
    pipeline = Pipeline(**SMALL)
    with pytest.raises(ValueError, match="frozen"):
        pipeline.filter = "true"


def test_an_error_holds_no_more_than_the_beginning_of_a_long_value():
    with pytest.raises(SpecificationError) as error:
        Pipeline(**SMALL | {"engine": "x" * 10_000})
    assert len(str(error.value)) < 300
