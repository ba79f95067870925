"""Where an auth manager has rights per DAG, the API keeps to them, in listings too."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from airflow_etl_provider.bus.event import new_event
from airflow_etl_provider.metadata.records import (
    ContractRecord,
    DatasetRecord,
    FailureRecord,
    MetricRecord,
    PipelineRecord,
    ProfileRecord,
    RunRecord,
    stable_id,
)
from tests.system.api_server import ApiServer

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = ApiServer(
        tmp_path_factory.mktemp("per_dag"),
        environment={
            "AIRFLOW__CORE__AUTH_MANAGER": "tests.system.per_dag_auth.PerDagAuthManager",
            "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
        },
    )
    made.start()
    store = made.store()
    for dag_id, name in (("shop", "orders"), ("store", "stock"), (None, "by_hand")):
        store.record([PipelineRecord(name, 1, NOW, NOW, dag_id=dag_id)])
        for number in range(3):
            at = NOW + timedelta(minutes=number)
            run_id = f"{name}{number}"
            store.record(
                [
                    RunRecord(run_id, run_id, name, "load", "done", at, at, dag_id=dag_id),
                    FailureRecord(
                        f"f{run_id}", "x", at, at, "c", "m", pipeline=name, dag_id=dag_id
                    ),
                    MetricRecord(run_id, "rows", at, name, 5.0),
                ]
            )
            store.append_events(
                [
                    new_event(
                        "load_failed",
                        key=name,
                        at=at,
                        pipeline=name,
                        facts={"run_id": run_id, "code": "c"},
                    )
                ]
            )
        body = {"contract": name, "target": {"fields": {}}, "columns": {}}
        store.propose_contract(
            ContractRecord(name, 0, "proposed", body, "", NOW, NOW, pipeline=name)
        )
    store.close()
    yield made
    made.stop()


def ask(server, method, path, *, by, **more):
    return server.ask(method, f"/etl/api/v1{path}", token=server.token(by), **more)


def pipelines(server, path, *, by):
    status, answer, _ = ask(server, "GET", path, by=by)
    assert status == 200, answer
    return sorted({item.get("pipeline", item.get("name")) for item in answer["items"]})


@pytest.mark.parametrize("path", ["/runs", "/failures", "/pipelines", "/contracts"])
def test_listings_hold_what_belongs_to_dags_that_may_be_read(server, path):
    assert pipelines(server, path, by="dana") == ["by_hand", "orders", "stock"]
    assert pipelines(server, path, by="vic") == ["orders"]


def test_pages_stay_whole(server):
    _, first, _ = ask(server, "GET", "/runs?limit=2", by="vic")
    _, second, _ = ask(server, "GET", f"/runs?limit=2&after={first['cursor']}", by="vic")

    assert [run["id"] for run in first["items"] + second["items"]] == [
        "orders2",
        "orders1",
        "orders0",
    ]
    assert second["cursor"] is None


def test_a_filter_can_not_widen_what_may_be_read(server):
    assert pipelines(server, "/runs?pipeline=stock", by="vic") == []
    assert pipelines(server, "/runs?dag_id=store", by="vic") == []


@pytest.mark.parametrize(
    "path", ["/runs/stock1", "/failures/fstock1", "/pipelines/stock", "/contracts/stock/versions/1"]
)
def test_what_belongs_to_another_dag_is_not_there(server, path):
    assert ask(server, "GET", path, by="dana")[0] == 200
    assert ask(server, "GET", path, by="vic")[0] in (403, 404)


def test_events_and_metrics_of_other_dags_are_left_out(server):
    events = ask(server, "GET", "/events", by="vic")[1]["items"]
    assert {item["event"]["pipeline"] for item in events} == {"orders"}

    chart = "/metrics?name=rows&since=2026-01-01T00:00:00Z&until=2026-12-01T00:00:00Z"
    told = ask(server, "GET", chart, by="vic")[1]
    assert "stock" not in str(told)
    assert "by_hand" not in str(told)


def test_a_contract_is_decided_by_who_may_edit_its_dag(server):
    def decide(name, by):
        path = f"/contracts/{name}/versions/1"
        etag = ask(server, "GET", path, by="dana")[2]["etag"]
        return ask(
            server,
            "POST",
            f"{path}/decision",
            by=by,
            body={"status": "rejected", "comment": "no"},
            headers={"If-Match": etag},
        )[0]

    assert decide("orders", "vic") == 403
    assert decide("stock", "uma") in (403, 404)
    assert decide("orders", "uma") == 200


def test_personal_values_are_shown_by_the_permission_of_the_auth_manager(server):
    store = server.store()
    columns = ({"name": "email", "type": "string", "tags": ["personal"]},)
    dataset = stable_id("dataset", "d")
    store.record(
        [
            DatasetRecord(dataset, "d", "table", NOW, NOW, columns=columns),
            ProfileRecord(dataset, NOW, 1, {"email": {"min": "a@b.c"}}),
        ]
    )
    store.close()

    def shown(by):
        (profile,) = ask(server, "GET", "/profiles", by=by)[1]["items"]
        return profile["columns"]["email"]["min"]

    assert shown("uma") == "a@b.c"
    assert shown("dana") == shown("vic") == "***"
