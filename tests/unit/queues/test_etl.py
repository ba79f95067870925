from __future__ import annotations

import pytest

from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.triggers.event_watch import EtlEventWatchTrigger

pytest.importorskip("airflow.providers.common.messaging")

from airflow.providers.common.messaging.triggers.msg_queue import MessageQueueTrigger


def test_airflow_finds_the_trigger_by_its_scheme():
    trigger = MessageQueueTrigger(scheme="etl", kinds=["load_failed"], pipeline="orders")

    assert (
        trigger.serialize()
        == EtlEventWatchTrigger(kinds=["load_failed"], pipeline="orders").serialize()
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_airflow_finds_the_trigger_by_a_uri():
    uri = "etl://load_failed,run_finished?pipeline=orders&key=a%20b"

    _, arguments = MessageQueueTrigger(queue=uri, poll=2.0).serialize()

    assert arguments["kinds"] == ["load_failed", "run_finished"]
    assert (arguments["pipeline"], arguments["key"], arguments["poll"]) == ("orders", "a b", 2.0)


@pytest.mark.parametrize("uri", ["etl://", "etl://load_failed?color=red"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_uri_that_asks_for_what_there_is_not_is_refused(uri):
    with pytest.raises(SpecificationError):
        MessageQueueTrigger(queue=uri).serialize()
