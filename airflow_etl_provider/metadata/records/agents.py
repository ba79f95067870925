"""What agents and people decide, what failed, and what was done about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_etl_provider.metadata.records.base import Json

__all__ = [
    "Agent",
    "AgentSettingsChange",
    "AgentSettingsRecord",
    "ContractRecord",
    "ContractStatus",
    "DecisionRecord",
    "FailureRecord",
    "LeaseRecord",
    "ModelUsageRecord",
    "ResolutionRecord",
]

Agent = Literal["discovery", "mapping", "resolution"]

ContractStatus = Literal["proposed", "approved", "rejected", "superseded"]


@dataclass(frozen=True, slots=True)
class ContractRecord:
    """A version of a mapping contract.

    :param name: of the contract; versions count from 1 within it.
    :param body: the contract as JSON, as `MappingContract` reads it.
    :param confidence: of its least certain column.
    :param evidence: by target column: what speaks for the proposal.
    :param etag: changes with every change of status or body; whoever decides names the one seen.
    """

    name: str
    version: int
    status: ContractStatus
    body: Json
    etag: str
    created_at: datetime
    updated_at: datetime
    pipeline: str | None = None
    source_dataset: str | None = None
    target_dataset: str | None = None
    fingerprint: str | None = None
    confidence: float | None = None
    evidence: Json = field(default_factory=dict)
    proposed_by: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    comment: str | None = None

    COLLECTION: ClassVar[str] = "contract"
    KEY: ClassVar[tuple[str, ...]] = ("name", "version")
    NEWEST_BY: ClassVar[str | None] = "updated_at"
    ORDER_BY: ClassVar[str] = "created_at"
    FILTERS: ClassVar[tuple[str, ...]] = (
        "name",
        "status",
        "pipeline",
        "source_dataset",
        "target_dataset",
    )


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A recorded choice of an agent or a person.

    :param id: `stable_id` of what was decided about and when, so that a retry records it once.
    :param actor: a person's login, or the agent's name.
    :param basis: what decided: a rule, history, a model's advice, or a person.
    :param subject: what it is about: `contract/orders/3`, `failure/<id>`, `run/<id>`.
    :param evidence: counts, names, scores; never a value of a row of a personal column.
    :param cost: in US dollars, where a model was asked.
    :param outcome: what came of it, once that is known.
    """

    id: str
    agent: str
    actor: str
    basis: Literal["rule", "history", "model", "person"]
    action: str
    subject: str
    at: datetime
    updated_at: datetime
    pipeline: str | None = None
    run_id: str | None = None
    confidence: float | None = None
    reasoning: str | None = None
    evidence: Json = field(default_factory=dict)
    cost: float | None = None
    outcome: Literal["accepted", "overruled", "succeeded", "failed", "superseded"] | None = None
    outcome_at: datetime | None = None

    COLLECTION: ClassVar[str] = "decision"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    NEWEST_BY: ClassVar[str | None] = "updated_at"
    ORDER_BY: ClassVar[str] = "at"
    FILTERS: ClassVar[tuple[str, ...]] = (
        "agent",
        "actor",
        "basis",
        "action",
        "subject",
        "pipeline",
        "run_id",
        "outcome",
    )


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """Something that went wrong in a task.

    :param id: `stable_id` of run and try: one failure per try.
    :param fingerprint: equal for failures of the same cause.
    :param message: redacted; with `details`: exception type, masked traceback, SQLSTATE, ...
    """

    id: str
    fingerprint: str
    at: datetime
    updated_at: datetime
    code: str
    message: str
    pipeline: str | None = None
    run_id: str | None = None
    dag_id: str | None = None
    dag_run_id: str | None = None
    task_id: str | None = None
    map_index: int = -1
    try_number: int | None = None
    category: str | None = None
    details: Json = field(default_factory=dict)
    status: Literal["open", "resolving", "resolved", "escalated", "ignored"] = "open"

    COLLECTION: ClassVar[str] = "failure"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    NEWEST_BY: ClassVar[str | None] = "updated_at"
    ORDER_BY: ClassVar[str] = "at"
    FILTERS: ClassVar[tuple[str, ...]] = (
        "fingerprint",
        "code",
        "category",
        "status",
        "pipeline",
        "run_id",
        "dag_id",
        "dag_run_id",
        "task_id",
    )


@dataclass(frozen=True, slots=True)
class ResolutionRecord:
    """What was done about a failure, and what it led to.

    :param action: from the closed set of the Error Resolution agent.
    """

    id: str
    failure_id: str
    action: str
    status: Literal["proposed", "approved", "rejected", "running", "succeeded", "failed"]
    at: datetime
    updated_at: datetime
    pipeline: str | None = None
    decision_id: str | None = None
    parameters: Json = field(default_factory=dict)
    outcome: str | None = None
    outcome_at: datetime | None = None

    COLLECTION: ClassVar[str] = "resolution"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    NEWEST_BY: ClassVar[str | None] = "updated_at"
    ORDER_BY: ClassVar[str] = "at"
    FILTERS: ClassVar[tuple[str, ...]] = ("failure_id", "action", "status", "pipeline")


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The right of one agent or run to act on a pipeline for a while.

    :param token: counts up with every holder: whoever has an older one has lost the lease.
    :param expires_at: by the database's clock.
    """

    name: str
    holder: str
    token: int
    taken_at: datetime
    expires_at: datetime

    COLLECTION: ClassVar[str] = "lease"
    KEY: ClassVar[tuple[str, ...]] = ("name",)
    NEWEST_BY: ClassVar[str | None] = None
    ORDER_BY: ClassVar[str] = "taken_at"
    FILTERS: ClassVar[tuple[str, ...]] = ("holder",)


@dataclass(frozen=True, slots=True)
class AgentSettingsRecord:
    """What overrides `[etl]` of airflow.cfg for one agent, in general or for one pipeline.

    :param agent: `discovery`, `mapping` or `resolution`.
    :param pipeline: one pipeline's name; empty for all.
    :param settings: only what differs from the configuration's default.
    """

    agent: str
    pipeline: str
    settings: Json
    etag: str
    updated_at: datetime
    updated_by: str

    COLLECTION: ClassVar[str] = "agent_settings"
    KEY: ClassVar[tuple[str, ...]] = ("agent", "pipeline")
    NEWEST_BY: ClassVar[str | None] = "updated_at"
    ORDER_BY: ClassVar[str] = "updated_at"
    FILTERS: ClassVar[tuple[str, ...]] = ("agent", "pipeline")


@dataclass(frozen=True, slots=True)
class AgentSettingsChange:
    """Who changed an agent's settings, when, from what to what."""

    id: str
    agent: str
    pipeline: str
    before: Json
    after: Json
    at: datetime
    by: str
    comment: str | None = None

    COLLECTION: ClassVar[str] = "agent_settings_change"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    NEWEST_BY: ClassVar[str | None] = None
    ORDER_BY: ClassVar[str] = "at"
    FILTERS: ClassVar[tuple[str, ...]] = ("agent", "pipeline", "by")


@dataclass(frozen=True, slots=True)
class ModelUsageRecord:
    """One request to a language model.

    :param cost: in US dollars.
    :param cached: it was answered from what had been asked before.
    """

    id: str
    agent: str
    model: str
    at: datetime
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    cached: bool = False
    status: Literal["answered", "refused", "failed", "over_budget"] = "answered"
    pipeline: str | None = None
    run_id: str | None = None
    decision_id: str | None = None

    COLLECTION: ClassVar[str] = "model_usage"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    NEWEST_BY: ClassVar[str | None] = None
    ORDER_BY: ClassVar[str] = "at"
    FILTERS: ClassVar[tuple[str, ...]] = ("agent", "model", "status", "pipeline", "run_id")
