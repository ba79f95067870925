"""Events are small, typed, and read back as they were written."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.bus.event import KINDS, decode_event, encode_event, new_event
from airflow_etl_provider.exceptions import EventError

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | TEXT


@st.composite
def events(draw):
    kind = draw(st.sampled_from(sorted(KINDS)))
    facts = {name: draw(SCALARS) for name in KINDS[kind]}
    facts |= draw(st.dictionaries(TEXT, SCALARS, max_size=3))
    return new_event(
        kind,
        key=draw(TEXT.filter(bool)),
        at=draw(st.datetimes(timezones=st.just(timezone.utc))),
        pipeline=draw(st.none() | TEXT),
        facts=facts,
    )


@given(events())
def test_an_event_comes_back_as_it_was_written(event):
    assert decode_event(encode_event(event)) == event


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_whatever_comes_in_is_an_event_or_is_refused(data):
    with pytest.raises(EventError):
        decode_event(data)


def test_the_same_fact_has_the_same_id_and_another_one_another():
    def made(same, **values):
        facts = {"contract": "c", "version": 1}
        return new_event("contract_approved", key="k", at=NOW, facts=facts, same=same, **values)

    assert made("a").id == made("a", pipeline="p").id
    assert made("a").id != made("b").id
    assert made(None).id != made(None).id


def written(**changes):
    facts = {"contract": "c", "version": 1}
    event = new_event("contract_approved", key="k", at=NOW, facts=facts, same="x")
    return json.dumps(json.loads(encode_event(event)) | changes)


def test_a_newer_minor_version_is_read_and_its_keys_are_left_out():
    assert decode_event(written(version="1.7", shiny=[1])).facts == {"contract": "c", "version": 1}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "2.0"}, "version"),
        ({"version": None}, "version"),
        ({"kind": "unheard_of"}, "unheard_of"),
        ({"facts": {"contract": "c"}}, "version"),
        ({"facts": {"contract": "c", "version": [1]}}, "numbers"),
        ({"at": "yesterday"}, "wrong"),
        ({"at": "2026-01-01T00:00:00"}, "time zone"),
        ({"id": ""}, "id"),
        ({"key": "x" * 251}, "key"),
        ({"key": 5}, "wrong"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(changes, words):
    with pytest.raises(EventError, match=words):
        decode_event(written(**changes))


def test_a_number_that_json_has_not_is_refused():
    facts = {"contract": "c", "version": float("nan")}
    with pytest.raises(EventError, match="JSON"):
        encode_event(new_event("contract_approved", key="k", at=NOW, facts=facts))
