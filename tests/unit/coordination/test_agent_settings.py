"""Settings of agents: what overrides what, and what can't be."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from airflow_etl_provider.coordination.agent_settings import (
    ACTIONS,
    check_settings,
    settings_for,
)
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.metadata.records import AgentSettingsRecord

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)


def row(pipeline, agent="mapping", **settings):
    return AgentSettingsRecord(agent, pipeline, settings, "e", NOW, "dana")


def test_a_pipelines_row_goes_over_the_general_one_and_that_over_the_configuration():
    rows = [row("", confidence_threshold=0.8, retries=5), row("orders", confidence_threshold=0.7)]

    def found(pipeline, rows=rows):
        made = settings_for(
            "mapping", pipeline, defaults={"retries": 2, "run_tokens": 9}, rows=rows
        )
        return made.confidence_threshold, made.retries, made.run_tokens

    assert found("orders") == (0.7, 5, 9)
    assert found("items") == (0.8, 5, 9)
    assert found("orders", rows=[]) == (0.9, 2, 9)
    assert found("orders", rows=[row("orders", agent="discovery", retries=99)]) == (0.9, 2, 9)


def test_nothing_is_allowed_that_was_not_allowed_by_somebody():
    made = settings_for("resolution", "orders", defaults={}, rows=[])

    assert "repair" not in made.allowed_actions
    assert set(made.allowed_actions) < set(ACTIONS["resolution"])
    allowed = [row("", agent="resolution", allowed_actions=["repair"])]
    assert settings_for("resolution", "orders", defaults={}, rows=allowed).allowed_actions == (
        "repair",
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"confidence": 0.5}, "confidence is no setting"),
        ({"confidence_threshold": 1.1}, "from 0 to 1"),
        ({"confidence_threshold": True}, "from 0 to 1"),
        ({"confidence_threshold": "0.5"}, "from 0 to 1"),
        ({"confidence_threshold": float("nan")}, "from 0 to 1"),
        ({"retries": 1.5}, "whole number"),
        ({"daily_cost": -1}, "daily_cost"),
        ({"allowed_actions": ["repair"]}, "repair"),
        ({"allowed_actions": "propose"}, "list"),
        ({"pool": ""}, "pool"),
        ({"queue": 5}, "queue"),
    ],
)
def test_what_an_agent_can_not_be_set_to_is_refused_by_name(settings, words):
    with pytest.raises(SpecificationError, match=words):
        check_settings("mapping", settings)


def test_all_faults_are_told_at_once_and_an_unknown_agent_too():
    with pytest.raises(SpecificationError, match=r"retries.*daily_cost"):
        check_settings("mapping", {"retries": -1, "daily_cost": -1})
    with pytest.raises(SpecificationError, match="no agent"):
        check_settings("gardening", {})
