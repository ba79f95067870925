"""Every metadata store answers alike, whether it is reached by SQL or over HTTP."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from typing import Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from airflow_etl_provider.api.models import model_of
from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.exceptions import (
    EditConflictError,
    MetadataError,
    SpecificationError,
)
from airflow_etl_provider.metadata.http import ApiStore
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.queries import CatalogQuery, MetricQuery, Query
from airflow_etl_provider.metadata.records import (
    RECORDS,
    AgentSettingsChange,
    AgentSettingsRecord,
    ContractRecord,
    DatasetRecord,
    DecisionRecord,
    LeaseRecord,
    MetricRecord,
    PipelineRecord,
    PipelineVersionRecord,
    RunRecord,
    SchemaVersionRecord,
    key_of,
    stable_id,
)
from airflow_etl_provider.metadata.sql import SqlStore

NOW = datetime(2026, 11, 20, 9, 14, 0, 123456, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)

RECORDED = tuple(
    record for record in RECORDS if record not in (AgentSettingsRecord, ContractRecord, LeaseRecord)
)
"""Kinds that are recorded; the others are decided."""


class AsPeople(ApiStore):
    """Records with the token of a task, and decides with those of people, as the API wants it."""

    def __init__(self, server):
        super().__init__(f"{server.url}/etl/api/v1", token=server.task_token)
        self._server = server

    def _person(self, name):
        return ApiStore(self._client.url, token=lambda: self._server.token(name))

    def decide_contract(self, *words, by, **more):
        return self._person(by).decide_contract(*words, by=by, **more)

    def edit_contract(self, *words, by, **more):
        return self._person(by).edit_contract(*words, by=by, **more)

    def put_agent_settings(self, *words, by, **more):
        return self._person(by).put_agent_settings(*words, by=by, **more)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgres),
        pytest.param("http", marks=pytest.mark.airflow),
    ]
)
def store(request, tmp_path):
    if request.param == "http":
        server = request.getfixturevalue("api_server")
        server.empty()
        yield AsPeople(server)
        return
    url = f"sqlite:///{tmp_path}/metadata.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_server")
    made = SqlStore(url)
    migrate(made.engine)
    yield made
    made.close()


def run(name="orders/1", **values):
    return RunRecord(
        **{
            "id": stable_id("run", name),
            "run_name": name,
            "pipeline": "orders",
            "kind": "load",
            "status": "running",
            "started_at": NOW,
            "updated_at": NOW,
        }
        | values
    )


def dataset(name, columns=(), **values):
    return DatasetRecord(
        **{
            "id": stable_id("dataset", name),
            "name": name,
            "kind": "table",
            "seen_at": NOW,
            "created_at": NOW,
            "columns": tuple(columns),
        }
        | values
    )


def body(column):
    return {
        "contract": "orders",
        "target": {"fields": {column: "int64"}},
        "columns": {column: {"from": "no"}},
    }


def contract(**values):
    return ContractRecord(
        **{
            "name": "orders",
            "version": 0,
            "status": "proposed",
            "body": body("id"),
            "etag": "",
            "created_at": NOW,
            "updated_at": NOW,
            "confidence": 0.8,
        }
        | values
    )


# Recording


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


# Listing


def test_pages_are_newest_first_and_nothing_is_shifted_by_what_comes_in_between(store):
    told = [run(f"orders/{at}", started_at=NOW + at // 2 * MINUTE) for at in range(10)]
    store.record(told)

    seen, cursor = [], None
    while True:
        page = store.find(Query(RunRecord, limit=3, after=cursor))
        seen += page.items
        store.record([run(f"later/{len(seen)}", started_at=NOW + 60 * MINUTE)])
        cursor = page.cursor
        if cursor is None:
            break

    assert len({found.id for found in seen}) == len(seen) == 10
    assert [found.started_at for found in seen] == sorted(
        (found.started_at for found in told), reverse=True
    )


def test_a_listing_is_held_to_its_filters_and_times(store):
    store.record(
        [
            run("a", status="done", task_id="d1"),
            run("b", status="failed", task_id="d1", started_at=NOW + MINUTE),
            run("c", status="failed", task_id="d2", started_at=NOW + 2 * MINUTE),
            run("d", status="failed", started_at=NOW + 3 * MINUTE),
        ]
    )

    def names(**query):
        return [found.run_name for found in store.find(Query(RunRecord, **query)).items]

    assert names(equals={"status": "failed", "task_id": "d1"}) == ["b"]
    assert names(equals={"task_id": ("d1", "d2")}) == ["c", "b", "a"]
    assert names(equals={"task_id": ()}) == []
    assert names(since=NOW + MINUTE, until=NOW + 3 * MINUTE) == ["c", "b"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (Query(RunRecord, equals={"report": 1}), "report"),
        (Query(RunRecord, equals={"dag_id": None}), "list"),
        (Query(RunRecord, limit=0), "limit"),
        (Query(RunRecord, limit=1001), "1000"),
        (Query(RunRecord, after="nonsense"), "after"),
        (Query(RunRecord, after="\u00e4"), "after"),
        (Query(RunRecord, after="W10"), "after"),
    ],
)
def test_a_listing_that_can_not_be_is_refused(store, query, words):
    with pytest.raises(SpecificationError, match=words):
        store.find(query)


def test_a_cursor_of_another_listing_is_refused(store):
    store.record([run("a"), run("b")])
    cursor = store.find(Query(RunRecord, limit=1)).cursor

    with pytest.raises(SpecificationError, match="after"):
        store.find(Query(DecisionRecord, after=cursor))


# Metrics


@pytest.mark.parametrize(
    ("aggregation", "values"),
    [
        ("avg", [2.0, 10.0]),
        ("sum", [6.0, 10.0]),
        ("min", [1.0, 10.0]),
        ("max", [3.0, 10.0]),
        ("count", [3.0, 1.0]),
        ("last", [3.0, 10.0]),
    ],
)
def test_metrics_are_gathered_into_points(store, aggregation, values):
    start = NOW.replace(second=0, microsecond=0)
    store.record(
        [
            MetricRecord("r", "rows", start + timedelta(seconds=s), "orders", float(value))
            for s, value in ((0, 1), (10, 2), (59, 3), (60, 10))
        ]
        + [MetricRecord("r", "rows", start + 2 * MINUTE, "orders", 99.0)]
    )

    (series,) = store.metrics(
        MetricQuery(
            ("rows",),
            since=start,
            until=start + 2 * MINUTE,
            resolution=MINUTE,
            aggregation=aggregation,
        )
    )

    assert (series.name, series.group) == ("rows", "orders")
    assert [point.value for point in series.points] == values
    assert [point.at for point in series.points] == [start, start + MINUTE]


def test_metrics_are_one_series_per_name_and_group(store):
    store.record(
        [
            MetricRecord(run_id, name, NOW, pipeline, 1.0)
            for run_id, pipeline in (("r1", "orders"), ("r2", "orders"), ("r3", "items"))
            for name in ("rows", "bytes")
        ]
    )

    def groups(**query):
        found = store.metrics(
            MetricQuery(
                **{
                    "names": ("rows",),
                    "since": NOW,
                    "until": NOW + MINUTE,
                    "resolution": MINUTE,
                    "aggregation": "sum",
                }
                | query
            )
        )
        return [(series.name, series.group, series.points[0].value) for series in found]

    assert groups() == [("rows", "items", 1.0), ("rows", "orders", 2.0)]
    assert groups(group_by="none") == [("rows", "", 3.0)]
    assert groups(group_by="run", pipelines=("orders",)) == [
        ("rows", "r1", 1.0),
        ("rows", "r2", 1.0),
    ]
    assert groups(names=("rows", "bytes"), run_ids=("r3",)) == [
        ("bytes", "items", 1.0),
        ("rows", "items", 1.0),
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": ()}, "at least|name"),
        ({"until": NOW}, "before"),
        ({"resolution": timedelta(0)}, "second|resolution"),
    ],
)
def test_a_query_of_metrics_that_can_not_be_is_refused(store, change, words):
    query = MetricQuery(("rows",), since=NOW, until=NOW + MINUTE)

    with pytest.raises(SpecificationError, match=words):
        store.metrics(replace(query, **change))


# Catalog


def found_names(store, text="", **query):
    return [hit.dataset.name for hit in store.search(CatalogQuery(text, **query)).items]


def test_the_catalog_is_searched_by_names_columns_tags_and_descriptions(store):
    store.record(
        [
            dataset(
                "shop/public.orders",
                [
                    {"name": "customerId", "type": "int64"},
                    {"name": "order_total", "type": "string"},
                ],
                description="What was bought, by day",
                tags=("finance",),
            ),
            dataset(
                "shop/public.customers",
                [{"name": "e_mail", "type": "string", "tags": ["personal", "email"]}],
                kind="files",
            ),
            dataset("lake/Zürich_ÖV", [{"name": "Straße"}], connection="lake"),
        ]
    )

    assert found_names(store, "customer") == ["shop/public.customers", "shop/public.orders"]
    assert found_names(store, "CUSTOMER id") == ["shop/public.orders"]
    assert found_names(store, "customerid") == ["shop/public.orders"]
    assert found_names(store, "bought") == ["shop/public.orders"]
    assert found_names(store, "bou") == ["shop/public.orders"]
    assert found_names(store, "ought") == []
    assert found_names(store, "finance") == ["shop/public.orders"]
    assert found_names(store, "zürich straße") == ["lake/Zürich_ÖV"]
    assert found_names(store, tags=("personal",)) == ["shop/public.customers"]
    assert found_names(store, "shop", tags=("personal", "email")) == ["shop/public.customers"]
    assert found_names(store, tags=("person",)) == []
    assert found_names(store, kind="files") == ["shop/public.customers"]
    assert found_names(store, connection="lake") == ["lake/Zürich_ÖV"]
    assert len(found_names(store)) == 3
    assert found_names(store, "' | !:*& %_\\") == []
    hits = store.search(CatalogQuery("customer")).items
    assert [hit.matched_columns for hit in hits] == [(), ("customerId",)]
    assert hits[0].score > hits[1].score


def test_a_search_is_read_page_by_page(store):
    store.record(
        [dataset(f"a/orders_{at}") for at in range(5)]
        + [dataset(f"b/{at}", [{"name": "orders"}]) for at in range(4)]
    )

    seen, cursor = [], None
    while True:
        page = store.search(CatalogQuery("order", limit=2, after=cursor))
        seen += [hit.dataset.name for hit in page.items]
        cursor = page.cursor
        if cursor is None:
            break

    assert seen == [f"a/orders_{at}" for at in range(5)] + [f"b/{at}" for at in range(4)]


def test_what_is_missing_is_found_only_when_asked_for(store):
    store.record([dataset("shop/gone", missing_since=NOW)])

    assert found_names(store, "gone") == []
    assert found_names(store, "gone", include_missing=True) == ["shop/gone"]


def test_a_dataset_that_changed_is_found_by_what_it_has_now(store):
    store.record([dataset("shop/orders", [{"name": "old_name"}])])
    store.record([dataset("shop/orders", [{"name": "fresh"}], seen_at=NOW + MINUTE)])

    assert found_names(store, "old") == []
    assert found_names(store, "fresh") == ["shop/orders"]


def test_a_dataset_of_ten_thousand_columns_is_found_by_each(store):
    store.record([dataset("shop/wide", [{"name": f"column{at}"} for at in range(10_000)])])

    assert found_names(store, "column9999") == ["shop/wide"]


# Versions


def pipeline(**values):
    return PipelineRecord(
        **{"name": "orders", "version": 0, "created_at": NOW, "updated_at": NOW} | values
    )


def test_a_pipeline_gets_a_version_when_its_specification_changes(store):
    def register(fingerprint, **values):
        return store.register_pipeline(
            pipeline(**values), specification={"is": fingerprint}, fingerprint=fingerprint, by="ann"
        ).version

    assert register("a") == 1
    assert register("a", updated_at=NOW + MINUTE) == 1
    assert register("b", updated_at=NOW + 2 * MINUTE) == 2
    assert register("a", updated_at=NOW + 3 * MINUTE) == 3
    versions = store.find(Query(PipelineVersionRecord, equals={"pipeline": "orders"})).items
    assert [(found.version, found.specification["is"]) for found in versions] == [
        (3, "a"),
        (2, "b"),
        (1, "a"),
    ]
    assert store.get(PipelineRecord, "orders").version == 3


def test_many_that_register_one_pipeline_at_once_give_it_one_version(store):
    def register(_):
        return store.register_pipeline(
            pipeline(), specification={}, fingerprint="a", by=None
        ).version

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(register, range(12))) == [1] * 12


def test_a_schema_that_changed_ends_the_one_before(store):
    def tell(fingerprint, at):
        return store.record_schema(
            SchemaVersionRecord("d", 0, fingerprint, ({"name": fingerprint},), valid_from=at)
        ).version

    assert tell("a", NOW) == 1
    assert tell("a", NOW + MINUTE) == 1
    assert tell("b", NOW + 2 * MINUTE) == 2
    newest, first = store.find(Query(SchemaVersionRecord, equals={"dataset_id": "d"})).items
    assert (newest.valid_from, newest.valid_to) == (NOW + 2 * MINUTE, None)
    assert (first.valid_from, first.valid_to) == (NOW, NOW + 2 * MINUTE)


# Contracts


def test_a_contract_is_proposed_approved_and_superseded(store):
    first = store.propose_contract(contract())
    assert (first.version, first.status) == (1, "proposed")
    assert store.propose_contract(contract()) == first
    assert store.approved_contract("orders") is None

    approved = store.decide_contract(
        "orders", 1, status="approved", by="dana", etag=first.etag, comment="fine"
    )
    assert store.approved_contract("orders") == approved
    assert (approved.decided_by, approved.comment) == ("dana", "fine")

    second = store.propose_contract(contract(body=body("other")))
    store.decide_contract("orders", 2, status="approved", by="dana", etag=second.etag)
    assert store.approved_contract("orders").version == 2
    assert store.get(ContractRecord, "orders", 1).status == "superseded"


def test_an_edit_is_a_version_of_its_own(store):
    first = store.propose_contract(contract())

    edited = store.edit_contract(
        "orders", 1, body=body("edited"), by="dana", etag=first.etag, comment="was wrong"
    )

    assert (edited.version, edited.status, edited.proposed_by) == (2, "proposed", "dana")
    assert store.get(ContractRecord, "orders", 1).status == "superseded"
    assert store.get(ContractRecord, "orders", 2) == edited


def test_two_reviewers_can_not_overwrite_each_other(store):
    seen = store.propose_contract(contract())
    outcomes = []
    ready = threading.Barrier(2)

    def decide(status):
        ready.wait()
        try:
            store.decide_contract("orders", 1, status=status, by="dana", etag=seen.etag)
        except EditConflictError as error:
            outcomes.append(str(error))
        else:
            outcomes.append("done")

    threads = [threading.Thread(target=decide, args=(s,)) for s in ("approved", "rejected")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes.count("done") == 1
    assert any("changed after it was read" in words for words in outcomes)


def test_a_decision_that_can_not_be_is_refused(store):
    seen = store.propose_contract(contract())

    store.decide_contract("orders", 1, status="approved", by="dana", etag=seen.etag)
    with pytest.raises(EditConflictError, match="changed after"):
        store.decide_contract("orders", 1, status="rejected", by="dana", etag=seen.etag)
    with pytest.raises(MetadataError, match="no"):
        store.decide_contract("orders", 9, status="approved", by="dana", etag=seen.etag)


def test_proposals_at_once_get_versions_of_their_own(store):
    def propose(at):
        return store.propose_contract(contract(body=body(f"c{at}"))).version

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(propose, range(8))) == list(range(1, 9))


# Leases


def test_a_lease_is_one_holders_until_it_is_released(store):
    lease = store.take_lease("orders", holder="a", duration=MINUTE)

    assert store.take_lease("orders", holder="b", duration=MINUTE) is None
    assert store.take_lease("items", holder="b", duration=MINUTE) is not None
    again = store.take_lease("orders", holder="a", duration=2 * MINUTE)
    assert (again.token, again.expires_at > lease.expires_at) == (lease.token, True)
    renewed = store.renew_lease(again, duration=3 * MINUTE)
    assert renewed.expires_at > again.expires_at
    store.release_lease(renewed)
    taken = store.take_lease("orders", holder="b", duration=MINUTE)
    assert taken.token > lease.token


def test_who_lost_a_lease_can_neither_renew_nor_release_it(store):
    lost = store.take_lease("orders", holder="a", duration=timedelta(0))
    taken = store.take_lease("orders", holder="b", duration=MINUTE)

    assert store.renew_lease(lost, duration=MINUTE) is None
    store.release_lease(lost)
    assert store.take_lease("orders", holder="a", duration=MINUTE) is None
    assert store.renew_lease(taken, duration=MINUTE) is not None


def test_a_released_lease_is_not_renewed(store):
    lease = store.take_lease("orders", holder="a", duration=MINUTE)
    store.release_lease(lease)

    assert store.renew_lease(lease, duration=MINUTE) is None


def test_of_many_that_want_a_lease_one_gets_it(store):
    def take(at):
        return store.take_lease("orders", holder=f"holder {at}", duration=MINUTE)

    with ThreadPoolExecutor(6) as pool:
        taken = [lease for lease in pool.map(take, range(12)) if lease is not None]

    assert len(taken) == 1


# Settings of agents


def test_settings_are_changed_by_compare_and_set_and_each_change_is_kept(store):
    first = store.put_agent_settings(
        "mapping", "", settings={"confidence_threshold": 0.9}, by="ann", etag=None, comment="start"
    )
    with pytest.raises(EditConflictError):
        store.put_agent_settings("mapping", "", settings={}, by="bob", etag=None)
    store.put_agent_settings(
        "mapping", "orders", settings={"confidence_threshold": 0.8}, by="bob", etag=None
    )
    second = store.put_agent_settings(
        "mapping", "", settings={"confidence_threshold": 0.95}, by="bob", etag=first.etag
    )

    assert second.etag != first.etag
    assert [
        (s.pipeline, s.settings["confidence_threshold"]) for s in store.agent_settings("mapping")
    ] == [
        ("", 0.95),
        ("orders", 0.8),
    ]
    assert store.agent_settings("discovery") == ()
    changes = store.find(Query(AgentSettingsChange, equals={"pipeline": ""})).items
    assert [(c.by, c.before, c.after) for c in changes] == [
        ("bob", {"confidence_threshold": 0.9}, {"confidence_threshold": 0.95}),
        ("ann", {}, {"confidence_threshold": 0.9}),
    ]


# Events


def event(at, kind="load_failed", **values):
    return new_event(
        kind,
        key="orders",
        at=NOW,
        pipeline="orders",
        facts={"run_id": f"r{at}", "code": "x"},
        same=str(at),
        **values,
    )


def test_events_are_read_in_the_order_they_came_and_told_once(store):
    store.append_events([event(1), event(2)])
    store.append_events([event(2), event(3)])

    found = store.read_events()

    assert [e.facts["run_id"] for _, e in found] == ["r1", "r2", "r3"]
    assert [e for _, e in found] == [event(1), event(2), event(3)]
    assert store.read_events(after=found[1][0]) == found[2:]
    assert store.read_events(limit=1) == found[:1]
    assert store.read_events(kinds=["schema_changed"]) == ()
    assert store.read_events(pipeline="items") == ()


def test_no_event_comes_in_behind_one_that_was_read(store):
    stop = threading.Event()
    errors = []

    def append(writer):
        try:
            for at in range(25):
                store.append_events([event(f"{writer}/{at}/{part}") for part in range(3)])
        except Exception as error:  # noqa: BLE001 - told by the test's own thread
            errors.append(error)

    writers = [threading.Thread(target=append, args=(w,)) for w in range(4)]
    seen, position = [], 0
    for writer in writers:
        writer.start()
    while not stop.is_set():
        alive = any(writer.is_alive() for writer in writers)
        batch = store.read_events(after=position, limit=10)
        if not batch and not alive:
            break
        for sequence, found in batch:
            position = sequence
            seen.append(found.facts["run_id"])

    assert errors == []
    assert len(seen) == len(set(seen)) == 4 * 25 * 3
    for writer in range(4):
        ours = [name for name in seen if name.startswith(f"r{writer}/")]
        assert ours == [f"r{writer}/{at}/{part}" for at in range(25) for part in range(3)]


def test_a_groups_position_moves_by_compare_and_set(store):
    assert store.event_position("g") == 0
    assert store.move_event_position("g", old=0, new=5)
    assert not store.move_event_position("g", old=0, new=7)
    assert not store.move_event_position("g", old=4, new=7)
    assert store.move_event_position("g", old=5, new=7)
    assert store.event_position("g") == 7
    assert store.event_position("other") == 0


def test_attempts_are_counted_and_the_dead_are_put_aside(store):
    store.append_events([event(1), event(2)])

    assert store.count_attempt("g", event(1).id, reason="no", dead=False) == 1
    assert store.count_attempt("g", event(1).id, reason="still not", dead=True) == 2
    assert store.count_attempt("h", event(2).id, reason="no", dead=False) == 1

    assert store.dead_events("g") == ((event(1), "still not"),)
    assert store.dead_events("h") == ()


def test_the_store_has_a_clock(store):
    assert abs(store.now() - datetime.now(timezone.utc)) < timedelta(hours=1)
