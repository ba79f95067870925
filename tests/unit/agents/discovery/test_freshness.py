"""How often there is something new, and when it is late."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow_etl_provider.agents.discovery.freshness import freshness_of, late_change

START = datetime(2026, 11, 1, tzinfo=timezone.utc)


def hours(*numbers):
    return [START + timedelta(hours=n) for n in numbers]


def test_no_update_tells_nothing():
    assert freshness_of([]) is None


def test_a_short_history_promises_nothing():
    found = freshness_of(hours(0, 1, 2))

    assert (found.updates, found.expected_by) == (3, None)
    assert not found.is_late(START + timedelta(days=999))
    assert late_change(found, now=START + timedelta(days=999)) is None


def test_the_next_one_is_late_after_one_and_a_half_of_the_usual_time():
    found = freshness_of(hours(0, 1, 2, 3, 4, 5))

    assert found.usual == timedelta(hours=1)
    assert not found.is_late(START + timedelta(hours=6.4))
    assert found.is_late(START + timedelta(hours=6.6))
    change = late_change(found, now=START + timedelta(hours=7))
    assert (change.kind, change.severity) == ("late", "warning")


def test_a_holiday_makes_no_other_rhythm_and_an_uneven_rhythm_has_patience():
    steady = freshness_of(hours(0, 24, 48, 72, 240, 264, 288))
    uneven = freshness_of(hours(0, 10, 40, 50, 85, 90, 130))

    assert steady.usual == timedelta(hours=24)
    assert steady.expected_by - steady.last == timedelta(hours=36)
    assert uneven.expected_by - uneven.last > 2.5 * uneven.usual
