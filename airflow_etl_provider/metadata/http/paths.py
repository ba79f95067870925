"""Where the API keeps each kind of record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_etl_provider.metadata.records import (
    AgentSettingsChange,
    BatchRecord,
    ContractRecord,
    DatasetRecord,
    DecisionRecord,
    FailureRecord,
    HandledEventRecord,
    LeaseRecord,
    LoadRecord,
    MetricRecord,
    ModelUsageRecord,
    PipelineRecord,
    PipelineVersionRecord,
    ProfileRecord,
    QuarantineRecord,
    RelationRecord,
    ResolutionRecord,
    RunRecord,
    SchemaVersionRecord,
)

if TYPE_CHECKING:
    from airflow_etl_provider.metadata.records import Record

__all__ = ["PATHS"]

PATHS: dict[type[Record], str] = {
    PipelineRecord: "pipelines",
    PipelineVersionRecord: "pipeline-versions",
    DatasetRecord: "datasets",
    SchemaVersionRecord: "schema-versions",
    ProfileRecord: "profiles",
    RelationRecord: "relations",
    ContractRecord: "contracts",
    RunRecord: "runs",
    BatchRecord: "batches",
    LoadRecord: "loads",
    MetricRecord: "measurements",
    QuarantineRecord: "quarantines",
    FailureRecord: "failures",
    ResolutionRecord: "resolutions",
    DecisionRecord: "decisions",
    LeaseRecord: "leases",
    AgentSettingsChange: "agent-settings-changes",
    ModelUsageRecord: "model-usage",
    HandledEventRecord: "handled-events",
}
