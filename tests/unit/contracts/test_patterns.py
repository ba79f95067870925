"""Named patterns, asked of the engine that applies them."""

from __future__ import annotations

from contextlib import suppress

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.contracts.patterns import PATTERNS, regex_of

FITS = {
    "email": ["a@b.de", "first.last+tag@sub.example.com", "o'neil@example.org"],
    "url": ["https://example.com", "http://localhost:8080/a?b=c#d", "HTTPS://[::1]/"],
    "hostname": ["localhost", "a-b.example.com"],
    "ipv4": ["0.0.0.0", "255.255.255.255"],
    "ipv6": ["::1", "::", "2001:db8::8a2e:370:7334", "fe80:0:0:0:0:0:0:1", "::ffff:1.2.3.4", "1::"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000"],
    "iso_date": ["2026-02-28"],
    "iso_time": ["09:14", "23:59:59.123"],
    "iso_timestamp": ["2026-11-20T09:14:00Z", "2026-11-20 09:14", "2026-11-20T09:14:00+01:00"],
    "iso_country": ["DE"],
    "iso_currency": ["EUR"],
    "phone_e164": ["+491701234567"],
    "iban": ["DE89370400440532013000"],
    "digits": ["007"],
    "letters": ["Zürich", "名前"],
    "alphanumeric": ["Zürich8001"],
    "slug": ["a-b-1"],
    "hex": ["DEADbeef"],
    "md5": ["d41d8cd98f00b204e9800998ecf8427e"],
    "sha256": ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    "mac_address": ["00:1A:2b:3c:4d:5e", "00-1a-2b-3c-4d-5e"],
}

FAILS = {
    "email": ["a@b", "a b@c.de", "@b.de", "a@@b.de", "a@b.de\n", ".a@b.de"],
    "url": ["example.com", "ftp://example.com", "http://", "https://exa mple.com"],
    "hostname": ["-a.com", "a..b", ""],
    "ipv4": ["256.1.1.1", "1.2.3", "01.2.3.4"],
    "ipv6": ["1::2::3", ":::", "12345::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9"],
    "uuid": ["123e4567e89b12d3a456426614174000"],
    "iso_date": ["2026-13-01", "20261301", "2026-1-1", "2026-01-32"],
    "iso_time": ["24:00", "9:14"],
    "iso_timestamp": ["2026-11-20", "2026-11-20T25:00Z"],
    "iso_country": ["de", "DEU"],
    "iso_currency": ["eur", "EU"],
    "phone_e164": ["0170123", "+0123", "+1234567890123456"],
    "iban": ["de89370400440532013000", "DE8"],
    "digits": ["1.0", "-1", ""],
    "letters": ["a1", "a b"],
    "alphanumeric": ["a-b"],
    "slug": ["A-b", "a--b", "-a"],
    "hex": ["0x1f", "g"],
    "md5": ["d41d8"],
    "sha256": ["e3b0"],
    "mac_address": ["001A2b3c4d5e"],
}


def matches(value: str, pattern: str) -> bool:
    with duckdb.connect() as connection:
        row = connection.execute(
            "select regexp_full_match(?, ?)", [value, regex_of(pattern)]
        ).fetchone()
    return row[0]


def test_every_pattern_has_examples():
    assert set(FITS) == set(FAILS) == set(PATTERNS)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in FITS.items() for v in values])
def test_a_value_of_the_form_fits(name, value):
    assert matches(value, name)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in FAILS.items() for v in values])
def test_a_value_of_another_form_does_not_fit(name, value):
    assert not matches(value, name)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\p{Greek}+",
        r"\pL\PN*",
        r"^\d{3}$",
        r"(?i)abc|d",
        r"(?P<year>\d{4})-\d\d",
        r"[[:alpha:]]+",
        r"a\z",
        r"\\1",
        r"\(\?=",
        r"[A-Z]{2}\d+",
        "1",
        "ä",
    ],
)
def test_what_the_engine_understands_is_taken(pattern):
    assert regex_of(pattern) == pattern
    matches("x", pattern)


@given(st.text(max_size=20))
def test_no_text_breaks_the_check(pattern):
    with suppress(ValueError):
        assert regex_of(pattern) in (pattern, PATTERNS.get(pattern))
