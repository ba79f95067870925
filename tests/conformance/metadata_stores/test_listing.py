"""Every store lists records page by page, and gathers metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from airflow_etl_provider.exceptions import (
    SpecificationError,
)
from airflow_etl_provider.metadata.queries import MetricQuery, Query
from airflow_etl_provider.metadata.records import (
    DecisionRecord,
    MetricRecord,
    RunRecord,
)
from tests.conformance.metadata_stores.examples import (
    MINUTE,
    NOW,
    run,
)


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
