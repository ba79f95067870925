"""The records that the metadata store keeps; each is a row of the table `etl_<collection>`."""

from __future__ import annotations

from airflow_etl_provider.metadata.records.agents import (
    Agent,
    AgentSettingsChange,
    AgentSettingsRecord,
    ContractRecord,
    ContractStatus,
    DecisionRecord,
    FailureRecord,
    LeaseRecord,
    ModelUsageRecord,
    ResolutionRecord,
)
from airflow_etl_provider.metadata.records.base import Json, Record, key_of, stable_id
from airflow_etl_provider.metadata.records.catalog import (
    DatasetRecord,
    PipelineRecord,
    PipelineVersionRecord,
    ProfileRecord,
    RelationRecord,
    SchemaVersionRecord,
)
from airflow_etl_provider.metadata.records.events import HandledEventRecord
from airflow_etl_provider.metadata.records.runs import (
    BatchRecord,
    LoadRecord,
    MetricRecord,
    QuarantineRecord,
    RunRecord,
    RunStatus,
)

__all__ = [
    "RECORDS",
    "Agent",
    "AgentSettingsChange",
    "AgentSettingsRecord",
    "BatchRecord",
    "ContractRecord",
    "ContractStatus",
    "DatasetRecord",
    "DecisionRecord",
    "FailureRecord",
    "HandledEventRecord",
    "Json",
    "LeaseRecord",
    "LoadRecord",
    "MetricRecord",
    "ModelUsageRecord",
    "PipelineRecord",
    "PipelineVersionRecord",
    "ProfileRecord",
    "QuarantineRecord",
    "Record",
    "RelationRecord",
    "ResolutionRecord",
    "RunRecord",
    "RunStatus",
    "SchemaVersionRecord",
    "key_of",
    "stable_id",
]

RECORDS: tuple[type[Record], ...] = (
    PipelineRecord,
    PipelineVersionRecord,
    DatasetRecord,
    SchemaVersionRecord,
    ProfileRecord,
    RelationRecord,
    ContractRecord,
    RunRecord,
    BatchRecord,
    LoadRecord,
    MetricRecord,
    QuarantineRecord,
    FailureRecord,
    ResolutionRecord,
    DecisionRecord,
    LeaseRecord,
    AgentSettingsRecord,
    AgentSettingsChange,
    ModelUsageRecord,
    HandledEventRecord,
)
"""All kinds of records, those that others refer to first. Events are the bus's (`bus.event`)."""
