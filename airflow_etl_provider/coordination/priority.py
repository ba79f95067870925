"""Which of several proposals about one subject holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_etl_provider.metadata.records import DecisionRecord, stable_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_etl_provider.metadata.records import Json

__all__ = ["RANKS", "Proposal", "decisions_about", "settle"]

Proposer = Literal["person", "resolution", "mapping", "discovery"]

RANKS: tuple[Proposer, ...] = ("person", "resolution", "mapping", "discovery")
"""Who goes before whom: a person before all, and who mends what is broken before who plans."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody wants done about a subject.

    :param actor: a person's login, or the agent's name.
    :param subject: `contract/orders/3`, `pipeline/orders`, ...
    :param confidence: 0 to 1; a person's counts as 1.
    """

    by: Proposer
    actor: str
    action: str
    subject: str
    confidence: float
    at: datetime
    evidence: Json


def settle(proposals: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """Put proposals about one subject in order, the one that holds first.

    By rank; then by confidence; then the one that came first, and at last by name, so that whoever
    settles them comes to the same.

    :raises ValueError: they are about several subjects.
    """
    if len({proposal.subject for proposal in proposals}) > 1:
        raise ValueError("proposals are settled one subject at a time")
    return tuple(
        sorted(
            proposals,
            key=lambda p: (
                RANKS.index(p.by),
                -(1.0 if p.by == "person" else p.confidence),
                p.at,
                p.actor,
                p.action,
                -p.confidence,
            ),
        )
    )


def decisions_about(proposals: Sequence[Proposal], *, at: datetime) -> list[DecisionRecord]:
    """Describe what was settled: the first holds, the others are superseded by it."""
    made = []
    for place, proposal in enumerate(settle(proposals)):
        superseded = place > 0
        made.append(
            DecisionRecord(
                id=stable_id(
                    "decision",
                    proposal.subject,
                    proposal.action,
                    proposal.actor,
                    proposal.at.isoformat(),
                ),
                agent=proposal.by,
                actor=proposal.actor,
                basis="person" if proposal.by == "person" else "rule",
                action=proposal.action,
                subject=proposal.subject,
                at=proposal.at,
                updated_at=at,
                confidence=proposal.confidence,
                reasoning="superseded: another proposal goes before it" if superseded else None,
                evidence=proposal.evidence,
                outcome="superseded" if superseded else None,
                outcome_at=at if superseded else None,
            )
        )
    return made
