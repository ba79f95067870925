"""What values are: types, formats, disguised nulls."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.agents.discovery.values import shapes_of, understand


def found(*values):
    return understand(Counter(values))


@pytest.mark.parametrize(
    ("values", "type_", "form", "unit"),
    [
        (("1", "2", "-3"), "int64", None, None),
        (("1.5", "22.25"), "decimal(12,2)", None, None),
        (("1.234,5", "2,25"), "decimal(12,2)", "1.234,5", None),
        (("1,234.50", "12.00"), "decimal(12,2)", "1,234.5", None),
        (("1 234", "5 678 901"), "int64", "1 234", None),
        (("1'234.50", "5.00"), "decimal(12,2)", "1'234.5", None),
        (("1.5E+10", "2"), "float64", None, None),
        (("$1,234.50", "$3.00"), "decimal(12,2)", "1,234.5", "$"),
        (("12,50 €", "3,00 €"), "decimal(12,2)", "1234,5", "€"),
        (("EUR 12", "EUR 3"), "int64", None, "EUR"),
        (("50%", "3.5%"), "decimal(11,1)", None, "%"),
        (("3 kg", "4 kg"), "int64", None, "kg"),
        (("3 kg", "4 lb"), "string", None, None),
        (("01234", "12345"), "string", "leading zeros", None),
        (("2020-01-31", "2021-12-01"), "date", None, None),
        (("31/01/2020", "01/02/2020"), "date", "%d/%m/%Y", None),
        (("01/31/2020", "01/02/2020"), "date", "%m/%d/%Y", None),
        (("Jan 5, 2020", "Dec 25, 2021"), "date", "%b %d, %Y", None),
        (("20200131", "20210228"), "date", "%Y%m%d", None),
        (("20209931", "20210228"), "int64", None, None),
        (("31.12.2020 10:15", "01.01.2021 00:00"), "timestamp", "%d.%m.%Y %H:%M", None),
        (("2020-01-01T10:00:00Z",), "timestamptz", None, None),
        (("ja", "nein", "Ja"), "bool", "ja/nein", None),
        (("true", "FALSE"), "bool", None, None),
        (("12:30", "1:00"), "time", None, None),
        (('{"a": 1}', "[1, 2]"), "json", None, None),
        (("{a: 1}", "x"), "string", None, None),
        (("3f2504e0-4f89-11d3-9a0c-0305e82c3301",), "uuid", None, None),
        (("a", "b"), "string", None, None),
        ((), "string", None, None),
        (("999999999999999999999999999999",), "decimal(32,0)", None, None),
    ],
)
def test_the_type_is_told_from_the_values(values, type_, form, unit):
    facts = found(*values)

    assert (str(facts.type), facts.format, facts.unit) == (type_, form, unit)


def test_day_and_month_that_nothing_tells_apart_are_reported():
    facts = found("01/02/2020", "03/04/2020")

    assert facts.format == "%d/%m/%Y | %m/%d/%Y"
    assert "day from month" in facts.notes[0]


def test_one_day_above_twelve_settles_all_others():
    facts = found("01/02/2020", "03/04/2020", "13/04/2020")

    assert (facts.format, facts.notes) == ("%d/%m/%Y", ())


@pytest.mark.parametrize("values", [("1,234", "5,678"), ("1.234", "5.678")])
def test_a_single_separator_before_three_digits_is_reported(values):
    assert found(*values).notes


def test_words_for_no_value_are_no_reason_for_text():
    facts = found("1", "2", "N/A", "-", "unknown", "")

    assert str(facts.type) == "int64"
    assert facts.nulls == {"N/A": 1, "-": 1, "unknown": 1, "": 1}


def test_a_word_among_words_is_a_word():
    facts = found("known", "unknown", "N/A")

    assert facts.nulls == {"N/A": 1}


def test_nines_far_beyond_all_others_stand_for_no_value():
    facts = understand({"9999": 4} | {str(n): 2 for n in range(100)})

    assert facts.nulls == {"9999": 4}


def test_nines_among_their_like_are_numbers():
    assert understand({"9999": 4} | {str(n): 2 for n in range(9000, 9998)}).nulls == {}


def test_more_than_a_few_exceptions_make_text():
    facts = understand({"1": 90, "x": 10})

    assert str(facts.type) == "string"


def test_shapes_hold_nothing_of_the_values():
    assert shapes_of({"Ab-12": 3, "Zz-99": 1, "hellothere": 1}) == (("Aa-99", 0.8), ("a*", 0.2))


@given(
    st.lists(st.dates(date(1950, 1, 1), date(2090, 1, 1)), min_size=30, max_size=60, unique=True),
    st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%b-%Y", "%d %B %Y"]),
)
def test_dates_are_read_back_from_what_is_written(days, form):
    days += [date(2020, 1, 13) + timedelta(days=n) for n in range(3)]
    facts = understand(Counter(day.strftime(form) for day in days))

    assert facts.type.kind == "date"
    assert facts.format == form


@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=5, max_size=50, unique=True),
    st.sampled_from([(",", "."), (".", ","), ("'", "."), (" ", ",")]),
)
def test_signs_of_decimals_and_thousands_are_told_apart(numbers, signs):
    thousands, point = signs
    written = [
        f"{n / 100:,.2f}".replace(",", "_").replace(".", point).replace("_", thousands)
        for n in [*numbers, 123456789]
    ]
    facts = understand(Counter(written))

    assert facts.type.kind == "decimal"
    assert facts.format == f"1{thousands}234{point}5"
    assert facts.notes == ()
