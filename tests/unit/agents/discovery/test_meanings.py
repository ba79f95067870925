"""What columns mean, by name, values and neighbours."""

from __future__ import annotations

import pytest

from airflow_etl_provider.agents.discovery import checks
from airflow_etl_provider.agents.discovery.meanings import Column, find_meanings
from airflow_etl_provider.contracts.types import parse_type


def column(name, *values, type_="string", share=1.0, sequential=False):
    return Column(name, parse_type(type_), dict.fromkeys(values, 1), share, sequential)


NAMES = ("Anna", "Peter", "Maria", "James")
EMAILS = ("a@example.com", "b.c@example.org", "d@example.net")


def meanings(*columns):
    return [
        (one.semantic_type, one.personal) if one else None for one in find_meanings(list(columns))
    ]


@pytest.mark.parametrize(
    ("name", "values", "meaning"),
    [
        ("c1", EMAILS, "email"),
        ("E-Mail", EMAILS, "email"),
        ("c1", ("4111 1111 1111 1111", "5500005555555559"), "credit_card"),
        ("c1", ("DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"), "iban"),
        ("c1", ("10.0.0.1", "2001:db8::1"), "ip_address"),
        ("c1", ("+49 30 123456", "(212) 555-0199"), "phone"),
        ("telephone", ("0301234567", "0307654321"), "phone"),
        ("c1", ("123-45-6789", "321-54-9876"), "national_id"),
        ("c1", NAMES, "first_name"),
        ("firstName", ("Xyzzy", "Plugh"), "first_name"),
        ("c1", ("Anna Smith", "Peter Jones", "Maria Garcia"), "full_name"),
        ("c1", ("1659 Hoog St", "12 Main Street", "ul. Północna 73"), "street_address"),
        ("password_hash", ("x1", "y2"), "password"),
        ("c1", ("AKIAIOSFODNN7EXAMPLE", "ghp_" + "a" * 36), "secret"),
    ],
)
def test_personal_data_are_found(name, values, meaning):
    assert meanings(column(name, *values)) == [(meaning, True)]


@pytest.mark.parametrize(
    ("name", "values", "type_"),
    [
        ("amount", ("12.50", "13.75"), "decimal(12,2)"),
        ("order_no", ("0000123", "0000124"), "string"),
        ("measured", ("5.1", "4.9", "4.7"), "decimal(12,1)"),
        ("sku", ("AB-1234", "CD-9876"), "string"),
        ("colour", ("red", "green", "blue"), "string"),
        ("when", ("2020-01-01", "2021-05-06"), "date"),
        ("version", ("1.2.3", "4.5.6"), "string"),
        ("note", ("shipped by sea", "returned in good order"), "string"),
    ],
)
def test_what_says_nothing_of_a_person_is_not_personal(name, values, type_):
    assert all(one is None or not one[1] for one in meanings(column(name, *values, type_=type_)))


def test_a_city_is_personal_beside_a_person_only():
    city = column("city", "Berlin", "Lyon")

    assert meanings(city) == [("city", False)]
    assert meanings(city, column("email", *EMAILS))[0] == ("city", True)


def test_a_text_that_mentions_an_address_is_personal():
    texts = ("please write to anna@example.com today", "nothing of the kind in this one here")

    assert meanings(column("note", *texts)) == [("free_text", True)]


def test_json_with_an_address_in_it_is_personal():
    values = ('{"name": "Ana", "email": "ana@example.com"}', '{"name": "Bo", "email": "b@x.org"}')

    assert meanings(column("customer", *values, type_="json")) == [("free_text", True)]


def test_a_name_without_values_of_its_kind_does_not_count():
    assert meanings(column("email", "1", "2", type_="int64")) == [None]


def test_numbers_in_a_row_are_row_ids():
    ids = column("n", *map(str, range(1, 50)), type_="int64", sequential=True)

    assert meanings(ids) == [("row_id", False)]


def test_births_ages_and_passwords_are_found_among_people():
    births = [
        f"{month:02}/{day:02}/{1950 + day + month}" for month in range(1, 12) for day in (3, 25)
    ]
    ages = map(str, range(18, 90))
    words = ("aB3defgh", "Zy9xwvutsr", "qW4ertyuiop", "mN5bvcxz")

    found = meanings(
        column("c0", *EMAILS),
        column("c1", *births, type_="date"),
        column("c2", *ages, type_="int64"),
        column("c3", *words),
    )

    assert found[1:] == [("birth_date", True), ("age", True), ("password", True)]


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "a" * 10_000, "9" * 5000, "((((", "+" * 50, "１２３"]
)
def test_no_check_breaks_on_a_strange_value(text):
    for name in checks.__all__:
        if name != "luhn":
            assert getattr(checks, name)(text) in (True, False)


def test_the_checksums_tell_a_wrong_digit():
    assert checks.is_card("4111111111111111")
    assert not checks.is_card("4111111111111112")
    assert checks.is_iban("DE89370400440532013000")
    assert not checks.is_iban("DE88370400440532013000")
    assert checks.is_national_id("12345678Z")
    assert not checks.is_national_id("12345678A")
