"""Which columns are taken for references to keys, by names and by values."""

from __future__ import annotations

import random

import pytest

from airflow_etl_provider.agents.discovery.relations import find_relations
from airflow_etl_provider.contracts.profile import DatasetProfile, FieldProfile
from airflow_etl_provider.contracts.sketch import sketch_of
from airflow_etl_provider.contracts.types import LogicalType


def hashes(values):
    return [random.Random(f"h{value}").getrandbits(64) for value in values]


def column(name, values, *, kind="int64", **more):
    values = list(values)
    of = LogicalType(kind)
    numbers = {}
    if kind == "int64":
        numbers = {"minimum": str(min(values)), "maximum": str(max(values))}
    else:
        numbers = {"longest": max(map(len, values))}
    return FieldProfile(
        name, of, of, nullable=False, null_share=0.0, distinct=len(set(values)),
        sketch=sketch_of(hashes(values), size=2048), **(numbers | more),
    )  # fmt: skip


def table(name, *fields, key=None, hashing="h"):
    keys = ((key,),) if key else ()
    return DatasetProfile(name, "", "table", rows=9, fields=fields, keys=keys, hashing=hashing)


def found(*datasets):
    return {
        (one.dataset, one.columns[0], one.other, one.key[0]) for one in find_relations(datasets)
    }


@pytest.mark.parametrize(
    ("table_name", "key", "column_name", "refers"),
    [
        ("shop/customers", "id", "customer_id", True),
        ("shop/customers", "customer_id", "customer_id", True),
        ("shop/sales.Customers", "ID", "customerId", True),
        ("in/customers.csv", "id", "customer_id", True),
        ("shop/countries", "code", "ship_country_code", True),
        ("shop/classes", "id", "class_id", True),
        ("shop/customers", "id", "order_id", False),
        ("shop/customers", "id", "id", False),
        ("shop/customers", "id", "amount", False),
    ],
)
def test_small_numbers_refer_where_the_name_says_so(table_name, key, column_name, refers):
    customers = table(table_name, column(key, range(1, 500)), key=key)
    orders = table("shop/orders", column(column_name, range(1, 200)))

    assert bool(found(customers, orders)) is refers


def test_numbers_out_of_many_refer_whatever_their_names():
    accounts = random.Random(1).sample(range(10**9), 800)
    customers = table("c", column("number", accounts), key="number")
    used = table("o", column("paid_by", accounts[:100]))
    others = table("p", column("weight", random.Random(2).sample(range(10**9), 100)))

    assert found(customers, used, others) == {("o", "paid_by", "c", "number")}


def test_codes_refer_whatever_their_names_and_a_letter_does_not():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    codes = [a + b for a in letters for b in letters]
    airports = table("a", column("faa", codes, kind="string"), key="faa")
    flags = table("f", column("flag", ["Y", "N", "X"], kind="string"), key="flag")
    flights = table(
        "b",
        column("dest", codes[:40], kind="string"),
        column("paid", ["Y", "N", "X"], kind="string"),
    )

    assert found(airports, flags, flights) == {("b", "dest", "a", "faa")}


def test_a_row_refers_to_its_own_kind_by_a_word_for_that():
    staff = table(
        "s", column("staff_id", range(1, 100)), column("manager_id", range(1, 20)),
        column("floor", range(1, 9)), key="staff_id",
    )  # fmt: skip

    assert found(staff) == {("s", "manager_id", "s", "staff_id")}


def test_a_part_of_a_key_refers_to_the_whole_and_not_the_other_way_round():
    film = table("film", column("film_id", range(1, 900)), key="film_id")
    text = table("film_text", column("film_id", range(1, 900)), key="film_id")
    rented = table("rental", column("film_id", range(1, 300)))

    assert found(film, text, rented) == {
        ("film_text", "film_id", "film", "film_id"),
        ("rental", "film_id", "film", "film_id"),
    }


def test_too_many_orphans_are_no_reference():
    customers = table("customers", column("id", range(1, 500)), key="id")
    some = table("a", column("customer_id", range(50, 560)))
    most = table("b", column("customer_id", range(300, 900)))

    assert found(customers, some, most) == {("a", "customer_id", "customers", "id")}


def test_sketches_of_two_ways_of_hashing_are_not_compared():
    customers = table("customers", column("id", range(1, 500)), key="id")
    orders = table("orders", column("customer_id", range(1, 200)), hashing="other")

    assert found(customers, orders) == set()
    assert find_relations([]) == []
