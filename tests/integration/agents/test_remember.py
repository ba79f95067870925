"""What was found is in the catalog: once, versioned, and without values of people."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from airflow_etl_provider.agents.discovery.relations import find_relations
from airflow_etl_provider.agents.discovery.remember import remember, remember_relations
from airflow_etl_provider.agents.discovery.scan import discover
from airflow_etl_provider.api.masking import mask_profile
from airflow_etl_provider.cli import main
from airflow_etl_provider.contracts.profile import NotRead
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.queries import CatalogQuery, Query
from airflow_etl_provider.metadata.records import (
    ContractRecord,
    DatasetRecord,
    DecisionRecord,
    ProfileRecord,
    RelationRecord,
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
    assert versions[0].changes[0] | {"evidence": {}} == {
        "kind": "column_added",
        "column": "channel",
        "effect": "additive",
        "severity": "info",
        "message": "'channel' (string) is new",
        "was": None,
        "now": "string",
        "evidence": {},
        "breaks": [],
    }
    assert events(store) == ["dataset_discovered", "schema_changed", "dataset_drifted"]


def write_orders(folder, *, rows=400, header="id,amount,state", cheap=False):
    """Orders of which every fifth is paid; with `cheap`, at other prices."""
    price = 1 if cheap else 1000
    lines = [f"{n},{price + n % 97}.50,{'paid' if n % 5 else 'new'}" for n in range(rows)]
    (folder / "orders.csv").write_text("\n".join([header, *lines, ""]))


def decisions(store):
    return store.find(Query(DecisionRecord, equals={"action": "alert"})).items


def test_a_change_is_a_decision_and_an_event_told_once(store, folder):
    write_orders(folder)
    first = find(folder, store)
    write_orders(folder, header="id,price,state", cheap=True)
    kept = find(folder, store, days=1)
    again = find(folder, store, days=2)

    assert first.changes == ()
    assert {(c.kind, c.column) for c in kept.changes} == {
        ("column_removed", "amount"),
        ("column_added", "price"),
    }
    assert again.changes == ()
    (decision,) = decisions(store)
    assert (decision.agent, decision.basis, decision.run_id) == ("discovery", "rule", "r")
    assert len(decision.evidence["changes"]) == 2
    (told,) = [e for _, e in store.read_events() if e.kind == "dataset_drifted"]
    assert told.facts["decision"] == decision.id
    assert (told.facts["breaking"], told.facts["severity"]) == (1, "warning")


def test_a_crash_before_the_profile_is_written_tells_the_same_once(store, folder, monkeypatch):
    write_orders(folder)
    find(folder, store)
    write_orders(folder, cheap=True)

    class CrashError(Exception):
        pass

    def crash(records):
        if any(isinstance(one, ProfileRecord) for one in records):
            raise CrashError
        return record(records)

    record = store.record
    with monkeypatch.context() as patched:
        patched.setattr(store, "record", crash)
        with pytest.raises(CrashError):
            find(folder, store, days=1)
    kept = find(folder, store, days=2)

    assert [c.kind for c in kept.changes] == ["distribution_changed"]
    assert len(decisions(store)) == 1
    assert events(store) == ["dataset_discovered", "dataset_drifted"]


def test_a_change_names_who_reads_the_column(store, folder):
    write_orders(folder)
    kept = find(folder, store)
    name = store.get(DatasetRecord, kept.dataset_id).name
    contract = store.propose_contract(
        ContractRecord(
            name="orders",
            version=0,
            status="proposed",
            body={"columns": {"price": {"from": "amount"}, "state": {"from": ["state"]}}},
            etag="",
            created_at=NOW,
            updated_at=NOW,
            pipeline="load_orders",
            source_dataset=name,
        )
    )
    store.decide_contract(
        "orders", contract.version, status="approved", by="dana", etag=contract.etag
    )
    write_orders(folder, header="id,price,state", cheap=True)

    changes = {c.kind: c for c in find(folder, store, days=1).changes}

    removed = changes["column_removed"]
    assert removed.breaks == ("contract/orders", "pipeline/load_orders")
    assert removed.severity == "critical"
    assert changes["column_added"].breaks == ()


def test_a_dataset_that_stays_as_it_is_is_late_and_that_is_told_once(store, folder):
    for day in range(6):
        write_orders(folder, rows=400 + day)
        find(folder, store, days=day)

    on_time = find(folder, store, days=6)
    late = find(folder, store, days=8)
    later = find(folder, store, days=9)

    assert on_time.changes == ()
    assert [c.kind for c in late.changes] == [c.kind for c in later.changes] == ["late"]
    assert events(store).count("dataset_late") == 1
    assert len(decisions(store)) == 1


def test_no_sketch_of_a_personal_column_is_written(store, folder):
    mails = "".join(f"{n},person{n}@example.com\n" for n in range(200))
    (folder / "orders.csv").write_text("id,email\n" + mails)
    find(folder, store)

    (kept,) = profiles(store)
    assert kept.columns["id"]["sketch"].startswith("kmv:")
    assert kept.columns["email"]["sketch"] is None
    assert kept.columns["email"]["quantiles_of"] == "length"


def test_the_sample_is_masked_and_which_rows_it_holds_is_no_change(store, folder):
    find(folder, store)

    (kept,) = profiles(store)
    assert sorted(kept.method["sample"]) == [["1", "***", "new"], ["2", "***", "paid"]]
    assert not find(folder, store, days=1).profiled


def test_a_tag_that_a_person_set_masks_the_sample_in_the_api(store, folder):
    kept = find(folder, store)
    entry = store.get(DatasetRecord, kept.dataset_id)
    columns = [
        column | ({"tags": ["personal"]} if column["name"] == "state" else {})
        for column in entry.columns
    ]
    later = NOW + timedelta(hours=1)
    store.record([replace(entry, columns=tuple(columns), seen_at=later)])

    shown = mask_profile(profiles(store)[0], store)

    assert {row[2] for row in shown.method["sample"]} == {"***"}
    assert {row[0] for row in shown.method["sample"]} == {"1", "2"}


def test_foreign_keys_are_remembered(store, folder):
    (folder / "states.csv").write_text("code,label\nDE,Germany\nFR,France\nPL,Poland\nSE,Sweden\n")
    rows = "".join(f"{n},{['DE', 'FR', 'PL'][n % 3]}\n" for n in range(90))
    (folder / "orders.csv").write_text("id,state_code\n" + rows)
    found = list(discover(str(folder), connections=lambda _name: None))

    for day in (0, 1):
        at = NOW + timedelta(days=day)
        remember_relations(store, find_relations(found), at=at, run_id="r")

    (kept,) = store.find(Query(RelationRecord)).items
    assert (kept.columns, kept.key, kept.share) == (("state_code",), ("code",), 1.0)
    assert kept.dataset.endswith("orders.csv")
    assert kept.other.endswith("states.csv")
    assert kept.seen_at == NOW + timedelta(days=1)


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
