"""What was found is in the catalog: once, versioned, and without values of people."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from airflow_etl_provider.agents.discovery.remember import remember
from airflow_etl_provider.agents.discovery.scan import discover
from airflow_etl_provider.cli import main
from airflow_etl_provider.contracts.profile import NotRead
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.queries import CatalogQuery, Query
from airflow_etl_provider.metadata.records import (
    DatasetRecord,
    ProfileRecord,
    SchemaVersionRecord,
)
from airflow_etl_provider.metadata.sql import SqlStore

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)
ORDERS = "id,email,state\n1,a@example.com,new\n2,b@example.com,paid\n"


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/metadata.db"
    else:
        url = request.getfixturevalue("postgres_server")
    with closing(SqlStore(url)) as made:
        migrate(made.engine)
        yield made


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "exports"
    made.mkdir()
    (made / "orders.csv").write_text(ORDERS)
    return made


def find(folder, store, *, days=0):
    at = NOW + timedelta(days=days)
    found = discover(str(folder / "orders.csv"), connections=lambda _name: None)
    return next(remember(store, one, at=at, run_id="r") for one in found)


def events(store):
    return [event.kind for _, event in store.read_events()]


def profiles(store):
    return store.find(Query(ProfileRecord)).items


def test_a_new_dataset_is_an_entry_with_a_schema_a_profile_and_an_event(store, folder):
    kept = find(folder, store)

    entry = store.get(DatasetRecord, kept.dataset_id)
    assert (kept.new, kept.changed, kept.version, kept.profiled) == (True, False, 1, True)
    assert (entry.kind, entry.rows, entry.schema_version) == ("files", 2, 1)
    assert entry.columns[1]["tags"] == ["personal", "email"]
    assert [dict(c)["type"] for c in entry.columns] == ["int64", "string", "string"]
    assert events(store) == ["dataset_discovered"]
    (hit,) = store.search(CatalogQuery(text="email")).items
    assert hit.dataset.id == kept.dataset_id
    assert "example.com" not in json.dumps([p.columns for p in profiles(store)])


def test_the_same_again_writes_no_second_profile_and_tells_nobody(store, folder):
    find(folder, store)
    kept = find(folder, store, days=1)

    assert (kept.new, kept.changed, kept.profiled) == (False, False, False)
    assert store.get(DatasetRecord, kept.dataset_id).seen_at == NOW + timedelta(days=1)
    assert len(profiles(store)) == 1
    assert events(store) == ["dataset_discovered"]


def test_other_rows_make_another_profile_of_the_same_schema(store, folder):
    find(folder, store)
    (folder / "orders.csv").write_text(ORDERS + "3,c@example.com,new\n")
    kept = find(folder, store, days=1)

    assert (kept.version, kept.changed, kept.profiled) == (1, False, True)
    assert [one.rows for one in profiles(store)] == [3, 2]


def test_another_schema_is_the_next_version_and_an_event(store, folder):
    find(folder, store)
    (folder / "orders.csv").write_text("id,email,state,channel\n1,a@example.com,new,web\n")
    kept = find(folder, store, days=1)

    assert (kept.version, kept.changed) == (2, True)
    versions = store.find(Query(SchemaVersionRecord)).items
    assert [(v.version, v.valid_to) for v in versions] == [(2, None), (1, NOW + timedelta(days=1))]
    assert events(store) == ["dataset_discovered", "schema_changed"]


def test_what_people_said_of_a_dataset_stays(store, folder):
    kept = find(folder, store)
    entry = store.get(DatasetRecord, kept.dataset_id)
    later = NOW + timedelta(hours=1)
    store.record(
        [replace(entry, description="all orders", owner="dana", tags=("gold",), seen_at=later)]
    )

    find(folder, store, days=1)

    entry = store.get(DatasetRecord, kept.dataset_id)
    assert (entry.description, entry.owner, entry.tags) == ("all orders", "dana", ("gold",))


def test_a_dataset_that_is_gone_is_missing_until_it_comes_back(store, folder):
    kept = find(folder, store)
    (folder / "orders.csv").rename(folder / "kept")
    find(folder, store, days=1)

    assert store.get(DatasetRecord, kept.dataset_id).missing_since == NOW + timedelta(days=1)
    (folder / "kept").rename(folder / "orders.csv")
    find(folder, store, days=2)
    assert store.get(DatasetRecord, kept.dataset_id).missing_since is None


def test_a_dataset_that_can_not_be_read_is_not_missing(store, folder):
    kept = find(folder, store)
    remember(store, NotRead(kept.name, "x", "source_format", "It is damaged."), at=NOW)

    assert store.get(DatasetRecord, kept.dataset_id).missing_since is None


def test_a_load_and_a_discovery_see_the_same_schema(store, folder):
    """Else each would make the other's version the next one, for ever."""
    from airflow_etl_provider.contracts.schema import Field, Schema
    from airflow_etl_provider.contracts.source_spec import SourceSpec
    from airflow_etl_provider.engines.sources import open_source

    kept = find(folder, store)
    with closing(
        open_source(
            SourceSpec(location=str(folder / "orders.csv")),
            connections=lambda _name: None,
            base=None,
        )
    ) as source:
        fingerprint = Schema(tuple(Field(f.name, f.type) for f in source.schema)).fingerprint

    assert store.get(DatasetRecord, kept.dataset_id).fingerprint == fingerprint


def test_the_command_records_and_finds_again(folder, tmp_path, monkeypatch, capsys):
    path = tmp_path / "metadata.db"
    with closing(SqlStore(f"sqlite:///{path}")) as made:
        migrate(made.engine)
    monkeypatch.setenv(
        "AIRFLOW_CONN_ETL_METADATA_DEFAULT", json.dumps({"conn_type": "sqlite", "host": str(path)})
    )

    assert main(["discover", str(folder), "--record"]) == 0
    assert main(["catalog", "search", "emai", "--tag", "personal"]) == 0
    said = capsys.readouterr().out
    assert "orders.csv: files, 3 columns, 2 rows, in email" in said

    assert main(["catalog", "search", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["datasets"]
    assert found["columns"][1]["tags"] == ["personal", "email"]
    assert main(["catalog", "search", "nothing"]) == 1
