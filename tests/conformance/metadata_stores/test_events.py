"""Every store keeps events in order, and how far each group has come."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

from tests.conformance.metadata_stores.examples import (
    event,
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
