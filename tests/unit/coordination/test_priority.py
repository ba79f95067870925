"""A person goes before resolution, that before mapping, that before discovery."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.coordination.priority import RANKS, Proposal, decisions_about, settle

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)


def proposal(by, *, confidence=0.9, minutes=0, actor="x", subject="contract/orders/3"):
    at = NOW + timedelta(minutes=minutes)
    return Proposal(by, actor, f"{by} acts", subject, confidence, at, {})


def test_rank_goes_before_confidence_and_age():
    given_ = [
        proposal("discovery", confidence=1.0),
        proposal("mapping", confidence=0.99, minutes=-9),
        proposal("person", confidence=0.1, minutes=5),
        proposal("resolution", confidence=0.2),
    ]

    assert [p.by for p in settle(given_)] == list(RANKS)


def test_of_equal_rank_the_surer_one_holds_then_the_older():
    sure, older, newer = (
        proposal("mapping", confidence=0.9, minutes=9),
        proposal("mapping", confidence=0.8, minutes=1),
        proposal("mapping", confidence=0.8, minutes=2),
    )

    assert settle([newer, sure, older]) == (sure, older, newer)


PROPOSALS = st.lists(
    st.builds(
        proposal,
        st.sampled_from(RANKS),
        confidence=st.floats(0, 1),
        minutes=st.integers(0, 3),
        actor=st.sampled_from("ab"),
    ),
    max_size=6,
)


@given(PROPOSALS, st.randoms())
def test_whoever_settles_them_comes_to_the_same(proposals, random):
    shuffled = list(proposals)
    random.shuffle(shuffled)

    assert settle(shuffled) == settle(proposals)


@given(PROPOSALS)
def test_one_holds_and_the_others_are_recorded_as_superseded(proposals):
    made = decisions_about(proposals, at=NOW)

    assert len(made) == len(proposals)
    assert [d.outcome for d in made] == [None, *["superseded"] * (len(made) - 1)][: len(made)]


def test_proposals_about_several_subjects_are_not_settled_together():
    with pytest.raises(ValueError, match="one subject"):
        settle([proposal("mapping"), proposal("mapping", subject="other")])
