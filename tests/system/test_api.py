"""Who may do what over the API, in a real API server of Airflow with people of every role."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import jwt
import pytest

from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import (
    AgentSettingsChange,
    ContractRecord,
    DatasetRecord,
    DecisionRecord,
    PipelineRecord,
    ProfileRecord,
    RunRecord,
    stable_id,
)
from tests.system.api_server import SECRET, ApiServer

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

API = "/etl/api/v1"
NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)
BODY = {
    "contract": "orders",
    "target": {"fields": {"id": "int64"}},
    "columns": {"id": {"from": "no"}},
}


@pytest.fixture
def server(api_server):
    api_server.empty()
    store = api_server.store()
    store.record([PipelineRecord("orders", 1, NOW, NOW, dag_id="shop")])
    store.record(
        [RunRecord("r1", "shop/m/load/1", "orders", "load", "done", NOW, NOW, dag_id="shop")]
    )
    store.propose_contract(
        ContractRecord("orders", 0, "proposed", BODY, "", NOW, NOW, pipeline="orders")
    )
    store.close()
    return api_server


def ask(server, method, path, *, by=None, **more):
    token = server.token(by) if isinstance(by, str) and "." not in by else by
    return server.ask(method, f"{API}{path}", token=token, **more)


READS = (
    "/runs",
    "/runs/r1",
    "/pipelines/orders",
    "/contracts/orders/versions/1",
    "/catalog/search?text=x",
    "/events",
    "/failures",
    "/decisions",
    "/quarantines",
    "/agents/mapping/settings",
    "/metrics?name=rows&since=2026-01-01T00:00:00Z&until=2026-12-01T00:00:00Z",
)


@pytest.mark.parametrize("path", READS)
def test_nobody_reads_without_a_login_and_a_viewer_does(server, path):
    status, answer, headers = ask(server, "GET", path)
    assert (status, answer["code"]) == (401, "not_logged_in")
    assert headers["www-authenticate"] == "Bearer"

    assert ask(server, "GET", path, by="vic")[0] == 200
    assert ask(server, "GET", path, by=server.task_token())[0] == 200


def decide(server, *, by, etag=None, version=1, status="approved"):
    if etag is None:
        etag = ask(server, "GET", f"/contracts/orders/versions/{version}", by="vic")[2]["etag"]
    return ask(
        server,
        "POST",
        f"/contracts/orders/versions/{version}/decision",
        by=by,
        body={"status": status, "comment": "looks right"},
        headers={"If-Match": etag} if etag else {},
    )


def test_a_viewer_and_a_task_can_not_approve_and_an_editor_can(server):
    assert decide(server, by="vic")[0] == 403
    assert decide(server, by=server.task_token())[0] == 403
    assert server.store().approved_contract("orders") is None

    status, answer, _ = decide(server, by="uma")

    assert (status, answer["status"], answer["decided_by"]) == (200, "approved", "uma")
    (decision,) = server.store().find(Query(DecisionRecord)).items
    assert (decision.actor, decision.basis, decision.reasoning) == ("uma", "person", "looks right")
    kinds = [event.kind for _, event in server.store().read_events()]
    assert kinds == ["contract_approved"]


def test_of_two_reviewers_the_second_is_told(server):
    etag = ask(server, "GET", "/contracts/orders/versions/1", by="uma")[2]["etag"]

    assert decide(server, by="uma", etag=etag)[0] == 200
    status, answer, _ = decide(server, by="dana", etag=etag, status="rejected")

    assert (status, answer["code"]) == (412, "edit_conflict")
    assert "approved" in answer["message"]
    assert decide(server, by="dana", etag="")[0] == 428


def edit(server, *, by, body):
    etag = ask(server, "GET", "/contracts/orders/versions/1", by="vic")[2]["etag"]
    return ask(
        server,
        "POST",
        "/contracts/orders/versions/1/edit",
        by=by,
        body={"body": body},
        headers={"If-Match": etag},
    )


def test_an_edit_is_checked_and_compared(server):
    status, answer, _ = edit(
        server, by="uma", body={"contract": "orders", "columns": {"id": {"form": 1}}}
    )
    assert status == 422
    assert "form" in answer["message"]

    edited = BODY | {"columns": {"id": {"from": "number"}, "name": {"from": "name"}}}
    assert edit(server, by="vic", body=edited)[0] == 403
    status, answer, _ = edit(
        server, by="uma", body=edited | {"target": {"fields": {"id": "int64", "name": "string"}}}
    )

    assert (status, answer["version"], answer["proposed_by"]) == (201, 2, "uma")
    found = ask(server, "GET", "/contracts/orders/compare?old=1&new=2", by="vic")[1]
    assert found["added"] == {"name": {"from": "name"}}
    assert found["changed"] == {"id": {"old": {"from": "no"}, "new": {"from": "number"}}}
    assert list(found["other"]) == ["target"]


def forged(**changes):
    claims = {
        "iss": "airflow_etl_provider",
        "aud": "airflow-etl-tasks",
        "iat": datetime.now(timezone.utc),
        "exp": datetime.now(timezone.utc) + timedelta(minutes=5),
        "sub": "shop/m/load/-1",
        "dag_id": "shop",
        "run_id": "m",
        "task_id": "load",
        "map_index": -1,
        "try_number": 1,
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


@pytest.mark.parametrize(
    "token",
    [
        jwt.encode(forged(), "another secret that is long enough for a key", algorithm="HS256"),
        jwt.encode(forged(), "", algorithm="none"),
        jwt.encode(forged(aud="somebody else"), SECRET, algorithm="HS256"),
        jwt.encode(
            forged(exp=datetime(2020, 1, 1, tzinfo=timezone.utc)), SECRET, algorithm="HS256"
        ),
        jwt.encode(forged(exp=None), SECRET, algorithm="HS256"),
        jwt.encode(forged(dag_id=None), SECRET, algorithm="HS256"),
        jwt.encode(forged(), SECRET, algorithm="HS512"),
        "not.a.token",
    ],
    ids=["forged", "none", "audience", "expired", "no expiry", "no dag", "algorithm", "nonsense"],
)
def test_a_token_that_does_not_hold_is_refused(server, token):
    assert ask(server, "GET", "/runs", by=token)[0] == 401
    assert ask(server, "POST", "/records", by=token, body={"records": []})[0] == 401


def test_a_task_records_what_its_own_dag_does_and_nothing_in_a_persons_name(server):
    run = {
        "collection": "run",
        "id": "r2",
        "run_name": "shop/m/load/2",
        "pipeline": "orders",
        "kind": "load",
        "status": "done",
        "started_at": "2026-11-20T00:00:00Z",
        "updated_at": "2026-11-20T00:00:00Z",
        "dag_id": "shop",
    }

    def record(*records, by=None):
        body = {"records": list(records)}
        return ask(server, "POST", "/records", by=by or server.task_token(), body=body)[0]

    assert record(run) == 204
    assert record(run, run | {"dag_id": "other"}) == 403
    assert record(run, by="dana") == 403
    decision = {
        "collection": "decision",
        "id": "d",
        "agent": "mapping",
        "actor": "dana",
        "basis": "person",
        "action": "approved",
        "subject": "contract/orders/1",
        "at": "2026-11-20T00:00:00Z",
        "updated_at": "2026-11-20T00:00:00Z",
    }
    assert record(decision) == 403
    assert record(decision | {"basis": "rule"}) == 204
    assert record({"collection": "contract"}) == 422
    assert server.store().find(Query(AgentSettingsChange)).items == ()
    for path, body in (("/agents/mapping/settings", {"settings": {}}),):
        assert ask(server, "PUT", path, by=server.task_token(), body=body)[0] == 403


def test_what_is_wrong_with_a_request_is_told_by_field(server):
    record = {"collection": "run", "id": "r", "rows_read": "many"}

    status, answer, _ = ask(
        server, "POST", "/records", by=server.task_token(), body={"records": [record]}
    )

    assert status == 422
    fields = {error["field"] for error in answer["errors"]}
    assert {"run.rows_read", "run.pipeline", "run.started_at"} <= fields
    status, answer, _ = ask(server, "GET", "/runs?limit=0&sort=up", by="vic")
    assert status == 422
    assert {error["field"] for error in answer["errors"]} == {"limit", "sort"}


def test_settings_are_changed_by_who_may_configure_and_by_etag(server):
    def put(by, settings, **headers):
        return ask(
            server,
            "PUT",
            "/agents/mapping/settings",
            by=by,
            body={"settings": settings},
            headers=headers,
        )

    new = {"confidence_threshold": 0.8}
    assert put("vic", new, **{"If-None-Match": "*"})[0] == 403
    assert put("uma", new, **{"If-None-Match": "*"})[0] == 403
    assert put("dana", new)[0] == 428
    status, answer, headers = put("dana", new, **{"If-None-Match": "*"})
    assert (status, answer["updated_by"]) == (200, "dana")
    assert put("dana", new, **{"If-None-Match": "*"})[0] == 412
    status, answer, _ = put("dana", {"allowed_actions": ["fly"]}, **{"If-Match": headers["etag"]})
    assert status == 422
    assert "fly" in answer["message"]
    changes = ask(server, "GET", "/agent-settings-changes", by="vic")[1]["items"]
    assert [(c["by"], c["before"], c["after"]) for c in changes] == [("dana", {}, new)]


def test_values_of_personal_columns_are_shown_to_nobody_who_was_not_named(server):
    store = server.store()
    columns = ({"name": "email", "type": "string", "tags": ["personal"]}, {"name": "n"})
    store.record(
        [
            DatasetRecord(stable_id("dataset", "d"), "d", "table", NOW, NOW, columns=columns),
            ProfileRecord(
                stable_id("dataset", "d"),
                NOW,
                2,
                {"email": {"nulls": 0, "min": "a@b.c"}, "n": {"nulls": 0, "min": 1}},
            ),
        ]
    )

    for person in ("vic", "uma", "dana"):
        (profile,) = ask(server, "GET", "/profiles", by=person)[1]["items"]
        assert profile["columns"] == {
            "email": {"nulls": 0, "min": "***"},
            "n": {"nulls": 0, "min": 1},
        }
    (profile,) = ask(server, "GET", "/profiles", by="otto")[1]["items"]
    assert profile["columns"]["email"]["min"] == "a@b.c"


def test_bodies_that_are_too_large_and_methods_that_there_are_not_are_refused(server):
    status, answer, _ = ask(
        server, "POST", "/records", by=server.task_token(), body=b" " * (4 * 2**20 + 1)
    )
    assert (status, answer["code"]) == (413, "too_large")
    assert ask(server, "DELETE", "/runs", by="dana")[0] == 405
    assert ask(server, "GET", "/nothing", by="dana")[0] == 404
    assert ask(server, "GET", "/runs/nothing", by="dana")[0] == 404


def test_the_api_is_documented(server):
    status, found, _ = ask(server, "GET", "/openapi.json", by="vic")

    assert status == 200
    operations = [o for path in found["paths"].values() for o in path.values()]
    assert all(operation["summary"] and operation["tags"] for operation in operations)
    assert len(operations) > 40


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory):
    """An API server of a deployment that allows ten requests a minute."""
    server = ApiServer(
        tmp_path_factory.mktemp("strict"), environment={"AIRFLOW__ETL__API_RATE_LIMIT": "10"}
    )
    server.start()
    yield server
    server.stop()


def test_who_asks_too_often_waits_whatever_tokens_it_makes_up(strict_server):
    def statuses(token):
        return {ask(strict_server, "GET", "/runs", by=token())[0] for _ in range(15)}

    tries = iter(range(100))
    assert statuses(lambda: strict_server.task_token(try_number=next(tries))) == {200, 429}
    assert statuses(lambda: f"made.up.{next(tries)}") == {401, 429}
    status, answer, headers = ask(strict_server, "GET", "/runs", by=strict_server.task_token())
    assert (status, answer["code"]) == (429, "too_many_requests")
    assert int(headers["retry-after"]) > 0
    assert ask(strict_server, "GET", "/runs", by="vic")[0] == 200


def test_the_doctor_asks_the_api_as_a_task_would(server, monkeypatch):
    from airflow_etl_provider.cli.doctor_links import api_findings

    def level(**environment):
        for name in ("TASK_SECRET", "API_URL"):
            monkeypatch.delenv(f"AIRFLOW__ETL__{name}", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(f"AIRFLOW__ETL__{name}", value)
        return [(finding.level, bool(finding.advice)) for finding in api_findings()]

    monkeypatch.delenv("AIRFLOW__API__BASE_URL", raising=False)
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert level() == []
    assert level(TASK_SECRET=SECRET, API_URL=server.url) == [("ok", False)]
    assert level(TASK_SECRET="another secret, and as long as ours", API_URL=server.url) == [
        ("problem", True)
    ]
    assert level(TASK_SECRET="short", API_URL=server.url) == [("problem", True)]
    assert level(TASK_SECRET=SECRET) == [("warning", True)]
    assert level(TASK_SECRET=SECRET, API_URL="http://127.0.0.1:9") == [("problem", True)]
