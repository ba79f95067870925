"""What the operator looks at, what it returns, and when it fails."""

from __future__ import annotations

import json
from contextlib import closing
from types import SimpleNamespace

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.exceptions import AirflowFailException

from airflow_etl_provider.exceptions import CancelledError
from airflow_etl_provider.hooks import metadata
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.queries import CatalogQuery, Query
from airflow_etl_provider.metadata.records import RunRecord
from airflow_etl_provider.metadata.sql import SqlStore
from airflow_etl_provider.operators.discovery import DataDiscoveryOperator, _asset


@pytest.fixture
def store(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/metadata.db"
    with closing(SqlStore(url)) as made:
        migrate(made.engine)
        monkeypatch.setattr(metadata, "store_opener", lambda _ti: lambda: SqlStore(url))
        yield made


@pytest.fixture
def exports(tmp_path, monkeypatch):
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "orders.csv").write_text("id,email\n1,a@example.com\n2,b@example.com\n")
    (folder / "cut.parquet").write_text("no")
    monkeypatch.chdir(tmp_path)
    return folder


def task_instance(**more):
    return SimpleNamespace(
        id="0199c0de-0000-7000-8000-000000000000",
        dag_id="catalog",
        run_id="manual__1",
        task_id="look",
        map_index=-1,
        try_number=1,
        max_tries=0,
        **more,
    )


def execute(**arguments):
    pushed = {}
    ti = task_instance(xcom_push=lambda key, value: pushed.update({key: value}))
    operator = DataDiscoveryOperator(task_id="look", **arguments)
    return operator.execute({"ti": ti}), pushed


def test_what_is_found_is_in_the_catalog_and_told_in_short(store, exports):
    found, _ = execute(locations=["exports"])

    assert found["datasets_count"] == found["new"] == 1
    (orders,) = found["datasets"]
    assert (orders["name"], orders["rows"], orders["personal_columns"]) == (
        "exports/orders.csv",
        2,
        1,
    )
    assert [one["name"] for one in found["not_read"]] == ["exports/cut.parquet"]
    assert "example.com" not in json.dumps(found)
    (hit,) = store.search(CatalogQuery(text="orders")).items
    assert hit.dataset.id == orders["id"]
    (run,) = store.find(Query(RunRecord)).items
    assert (run.kind, run.status, run.rows_read) == ("discovery", "done", 2)
    assert run.report["not_read_count"] == 1


def test_a_dataset_that_can_not_be_read_fails_the_task_where_that_is_wanted(store, exports):
    with pytest.raises(AirflowFailException, match=r"cut\.parquet"):
        execute(locations=["exports"], on_not_read="fail")

    assert store.search(CatalogQuery(text="orders")).items
    (run,) = store.find(Query(RunRecord)).items
    assert (run.status, run.error_code) == ("failed", "source_format")


def test_a_task_that_could_read_nothing_fails(store, exports):
    with pytest.raises(AirflowFailException, match="source_not_found"):
        execute(locations=["exports/none.csv"])


def test_without_a_store_it_looks_all_the_same(monkeypatch, exports):
    monkeypatch.setattr(metadata, "store_opener", lambda _ti: None)

    found, _ = execute(locations=["exports"], exclude=["cut*"])

    assert found["datasets_count"] == 1
    assert "id" not in found["datasets"][0]


@pytest.mark.parametrize(
    "arguments",
    [{}, {"locations": ["a"], "tables": ["b"]}, {"locations": ["s3://key:secret@bucket/x"]}],
)
def test_what_makes_no_sense_fails_at_once(store, exports, arguments):
    with pytest.raises(AirflowFailException) as failure:
        execute(**arguments)

    assert "secret@" not in str(failure.value)


def test_it_stops_between_two_datasets(store, exports):
    operator = DataDiscoveryOperator(task_id="look", locations=["exports"])
    operator.on_kill()

    with pytest.raises(CancelledError):
        operator.execute({"ti": task_instance()})


@pytest.mark.parametrize(
    "wrong", [{"on_not_read": "skip"}, {"sample": 0}, {"fail_on_drift": "always"}]
)
def test_a_wrong_argument_is_an_import_error(wrong):
    with pytest.raises(ValueError, match=r"on_not_read|sample|fail_on_drift"):
        DataDiscoveryOperator(task_id="look", connection="c", **wrong)


@pytest.mark.parametrize(
    ("fail_on_drift", "header", "fails"),
    [
        ("never", "id,mail", False),
        ("breaking", "id,mail", True),
        ("breaking", "id,email,extra", False),
        ("any", "id,email,extra", True),
    ],
)
def test_a_change_fails_the_task_where_that_is_wanted(store, exports, fail_on_drift, header, fails):
    arguments = {"locations": ["exports"], "exclude": ["cut*"], "fail_on_drift": fail_on_drift}
    execute(**arguments)
    rows = "1,a@example.com,x\n2,b@example.com,y\n" if "extra" in header else "1,5\n2,6\n"
    (exports / "orders.csv").write_text(f"{header}\n{rows}")

    if fails:
        with pytest.raises(AirflowFailException, match="were found"):
            execute(**arguments)
        failed = [run for run in store.find(Query(RunRecord)).items if run.status == "failed"]
        assert [run.error_code for run in failed] == ["schema_drift"]
    else:
        assert execute(**arguments)[0]["changes"] > 0
    # It was written down in either case, so that it is told once.
    assert execute(**arguments)[0]["changes"] == 0


@pytest.mark.parametrize("name", ["warehouse/sales.orders", "s3://lake/raw/day=*/x_*.csv"])
def test_an_asset_is_called_as_its_dataset(name):
    assert _asset(name, dataset_id="6f1c") == Asset(name=name)


def test_where_airflow_allows_no_such_name_it_is_the_id():
    assert _asset("x" * 2000, dataset_id="6f1c").name == "6f1c"


def test_what_moved_is_told_to_the_assets_that_wait(store, exports):
    told = []
    alias = AssetAlias("moved")
    events = {alias: SimpleNamespace(add=lambda asset, extra: told.append((asset.name, extra)))}
    operator = DataDiscoveryOperator(
        task_id="look", locations=["exports"], exclude=["cut*"], outlets=[alias]
    )

    for _ in range(2):
        operator.execute({"ti": task_instance(), "outlet_events": events})

    ((name, extra),) = told
    assert (name, extra["rows"], extra["new"]) == ("exports/orders.csv", 2, True)
