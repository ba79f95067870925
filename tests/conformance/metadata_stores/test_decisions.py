"""Every store keeps deciders apart: contracts, leases, settings of agents."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from airflow_etl_provider.exceptions import (
    EditConflictError,
    MetadataError,
)
from airflow_etl_provider.metadata.queries import Query
from airflow_etl_provider.metadata.records import (
    AgentSettingsChange,
    ContractRecord,
)
from tests.conformance.metadata_stores.examples import (
    MINUTE,
    body,
    contract,
)


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
