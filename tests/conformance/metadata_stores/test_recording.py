"""Every store records what happened, once and whole."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from datetime import timedelta, timezone
from typing import Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from airflow_etl_provider.api.models import model_of
from airflow_etl_provider.exceptions import (
    SpecificationError,
)
from airflow_etl_provider.metadata.http import ApiStore
from airflow_etl_provider.metadata.queries import MetricQuery, Query
from airflow_etl_provider.metadata.records import (
    AgentSettingsChange,
    DatasetRecord,
    LeaseRecord,
    MetricRecord,
    RunRecord,
    key_of,
)
from tests.conformance.metadata_stores.examples import (
    MINUTE,
    NOW,
    RECORDED,
    contract,
    run,
)


def test_what_is_recorded_is_read_back(store):
    told = run(report={"rows": [1, {"β": None}]}, window="2026-11-20", rows_read=2**40)

    store.record([told])

    assert store.get(RunRecord, told.id) == told
    assert store.get(RunRecord, "0" * 32) is None


def test_a_retry_writes_no_second_row(store):
    store.record([run(), run()])
    store.record([run()])

    assert store.find(Query(RunRecord)).items == (run(),)


def test_a_newer_recording_replaces_and_an_older_one_that_comes_late_does_not(store):
    done = run(status="done", updated_at=NOW + MINUTE, rows_loaded=7)
    store.record([run()])
    store.record([done])
    store.record([run(status="running", updated_at=NOW)])

    assert store.get(RunRecord, done.id) == done


def test_the_newest_of_a_key_wins_within_one_call_too(store):
    done = run(status="done", updated_at=NOW + MINUTE)

    store.record([done, run()])

    assert store.get(RunRecord, done.id).status == "done"


def test_a_try_that_woke_up_late_does_not_speak_for_its_successor(store):
    store.record([run(status="done", try_number=2, updated_at=NOW)])
    store.record([run(status="failed", try_number=1, updated_at=NOW + MINUTE)])

    assert store.get(RunRecord, run().id).status == "done"


def test_when_something_began_stays_as_it_was_first_told(store):
    store.record([run()])
    store.record([run(started_at=NOW + MINUTE, updated_at=NOW + MINUTE, status="failed")])

    assert store.get(RunRecord, run().id).started_at == NOW


def test_one_call_is_written_whole_or_not_at_all(store):
    with pytest.raises(SpecificationError, match="250"):
        store.record([run(), replace(run("orders/2"), pipeline="x" * 251)])

    assert store.find(Query(RunRecord)).items == ()


def test_what_no_database_stores_is_replaced_and_loses_no_record(store):
    told = run(error_message="a\0b\ud800c", report={"a\0": [math.nan, math.inf, "\ud800"]})

    store.record([told])

    found = store.get(RunRecord, told.id)
    assert found.error_message.startswith("a\ufffdb\ufffd")
    assert found.report["a\ufffd"][:2] == [None, None]


def test_a_metric_that_is_no_number_is_refused(store):
    odd = MetricRecord(run_id="r", name="cost", at=NOW, pipeline="orders", value=math.nan)

    with pytest.raises(SpecificationError, match="metric"):
        store.record([odd])


def test_a_moment_without_a_zone_is_refused(store):
    with pytest.raises(SpecificationError, match="zone"):
        store.record([run(started_at=NOW.replace(tzinfo=None))])


def test_moments_of_any_zone_are_the_same_moment(store):
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))

    store.record([run(ended_at=there)])

    assert store.get(RunRecord, run().id).ended_at == NOW


@pytest.mark.parametrize("odd", [contract(), LeaseRecord("a", "b", 1, NOW, NOW)])
def test_what_is_decided_is_not_recorded(store, odd):
    with pytest.raises(SpecificationError, match="decided"):
        store.record([odd])


def test_thousands_of_records_are_one_call(store):
    told = [
        MetricRecord("r", "rows", NOW + timedelta(seconds=at), "orders", float(at))
        for at in range(2500)
    ]

    store.record(told)
    store.record(told)

    (series,) = store.metrics(
        MetricQuery(("rows",), since=NOW, until=NOW + timedelta(hours=1), resolution=None)
    )
    assert [point.value for point in series.points] == [float(at) for at in range(2500)]


TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-(2.0**50), 2.0**50, width=32)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
VALUES = {
    "str": TEXT,
    "int": st.integers(0, 2**31 - 1),
    "float": st.floats(-1e9, 1e9),
    "bool": st.booleans(),
    "datetime": st.datetimes(
        NOW.replace(year=2000, tzinfo=None),
        NOW.replace(year=2100, tzinfo=None),
        timezones=st.just(timezone.utc),
    ),
    "Json": st.dictionaries(TEXT, JSON, max_size=3),
    "tuple[str, ...]": st.lists(TEXT, max_size=3).map(tuple),
    "tuple[Json, ...]": st.lists(st.dictionaries(TEXT, JSON, max_size=2), max_size=2).map(tuple),
}


def _words(annotation):
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def drawn(record):
    parts = {}
    for field in fields(record):
        name = str(field.type).removesuffix(" | None")
        annotation = model_of(record).model_fields[field.name].annotation
        choices = [
            choice for part in (annotation, *get_args(annotation)) for choice in _words(part)
        ]
        values = VALUES[name] if name in VALUES else st.sampled_from(choices)
        if field.name == "dag_id":
            values = st.just("shop")  # of which the API's tokens speak
        if field.name == "columns" and record is DatasetRecord:
            values = st.lists(st.fixed_dictionaries({"name": TEXT}), max_size=2).map(tuple)
        parts[field.name] = st.none() | values if str(field.type).endswith("| None") else values
    return st.builds(record, **parts)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(told=st.one_of(*(drawn(record) for record in RECORDED)))
def test_every_kind_of_record_comes_back_as_it_went(store, told):
    assume(not (isinstance(told, AgentSettingsChange) and isinstance(store, ApiStore)))
    assume(getattr(told, "basis", "") != "person")
    first = store.get(type(told), *key_of(told))

    store.record([told])

    found = store.get(type(told), *key_of(told))
    if first is None:
        assert found == told
    else:
        assert found in (first, told) or found.NEWEST_BY is not None
