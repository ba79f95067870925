"""Which fields of its inputs each column of a select comes from."""

from __future__ import annotations

import pytest

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.datasets import Dataset
from airflow_etl_provider.engines.lineage import SourceSide
from airflow_etl_provider.engines.relational.lineage import select_lineage


def side(name: str, *columns: str) -> SourceSide:
    schema = Schema(tuple(Field(column, LogicalType("int64")) for column in columns))
    return SourceSide(Dataset("file", f"/{name}.csv"), schema, (), name)


ORDERS = side("orders", "id", "Customer", "amt", "at")
PEOPLE = side("people", "id", "name")

JOINED = "select p.name, o.amt from orders o join people p on p.id = o.customer"


def followed(sql: str, *columns: str) -> tuple[dict[str, set[str]], set[str]]:
    """Columns and rows as `table.field SUBTYPE`."""
    inputs = {one.name: one for one in (ORDERS, PEOPLE) if one.name in sql}
    origins, rows = select_lineage(sql, inputs=inputs, columns=columns)

    def written(fields):
        return {f"{f.dataset.name[1:-4]}.{f.field} {use.subtype}" for f in fields for use in f.uses}

    return {name: written(fields) for name, fields in origins.items()}, written(rows)


def test_a_join_takes_fields_of_both_and_its_condition_decides():
    columns, rows = followed(JOINED, "name", "amt")

    assert columns == {"name": {"people.name IDENTITY"}, "amt": {"orders.amt IDENTITY"}}
    assert rows == {"people.id JOIN", "orders.Customer JOIN"}


def test_a_star_is_each_of_its_columns():
    columns, _ = followed("select * from people", "id", "name")

    assert columns == {"id": {"people.id IDENTITY"}, "name": {"people.name IDENTITY"}}


def test_aggregates_and_their_groups():
    columns, rows = followed(
        "select customer, sum(amt) as total, count(*) as n from orders "
        "where at > 5 group by customer having sum(amt) > 1",
        "customer",
        "total",
        "n",
    )

    assert columns == {
        "customer": {"orders.Customer IDENTITY"},
        "total": {"orders.amt AGGREGATION"},
        "n": set(),
    }
    assert rows == {"orders.at FILTER", "orders.Customer GROUP_BY", "orders.amt FILTER"}


def test_a_with_is_looked_through():
    columns, rows = followed(
        "with t as (select customer as c, amt * 2 as double_amt from orders where id > 1) "
        "select c, max(double_amt) as m from t group by 1",
        "c",
        "m",
    )

    assert columns["m"] == {"orders.amt AGGREGATION"}
    assert columns["c"] == {"orders.Customer IDENTITY"}
    assert "orders.id FILTER" in rows


def test_a_union_takes_both_sides_by_position():
    columns, _ = followed("select id from orders union all select id from people", "id")

    assert columns == {"id": {"orders.id IDENTITY", "people.id IDENTITY"}}


@pytest.mark.parametrize(
    ("expression", "uses"),
    [
        (
            "case when at > 1 then amt else id end",
            {"orders.at CONDITIONAL", "orders.amt TRANSFORMATION", "orders.id TRANSFORMATION"},
        ),
        ("sum(amt) filter (where at > 1)", {"orders.amt AGGREGATION", "orders.at CONDITIONAL"}),
        (
            "row_number() over (partition by customer order by at)",
            {"orders.Customer WINDOW", "orders.at WINDOW"},
        ),
        (
            "sum(amt) over (partition by customer)",
            {"orders.amt AGGREGATION", "orders.Customer WINDOW"},
        ),
    ],
)
def test_what_only_decides_is_told_apart(expression, uses):
    columns, _ = followed(f"select {expression} as x from orders", "x")

    assert columns == {"x": uses}


def test_a_subquery_in_a_filter_decides():
    _, rows = followed("select id from orders where customer in (select id from people)", "id")

    assert rows == {"orders.Customer FILTER", "people.id FILTER"}


def test_a_long_chain_of_queries_is_followed_once_for_each_column():
    pairs = 30
    chain = ["c0 as (select id as x, amt as y from orders)"]
    chain += [
        f"c{at} as (select case when x > y then x else y end as x, x + y as y from c{at - 1})"
        for at in range(1, pairs)
    ]
    columns, _ = followed(f"with {', '.join(chain)} select x, y from c{pairs - 1}", "x", "y")

    direct = {"orders.id TRANSFORMATION", "orders.amt TRANSFORMATION"}
    assert columns == {
        name: direct | {"orders.id CONDITIONAL", "orders.amt CONDITIONAL"} for name in ("x", "y")
    }
