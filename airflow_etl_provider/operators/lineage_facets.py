"""A run in OpenLineage's words. Imported only where the OpenLineage provider calls an operator."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attr
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    RunFacet,
    base_subset_dataset,
    column_lineage_dataset,
    input_statistics_input_dataset,
    output_statistics_output_dataset,
    schema_dataset,
)

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.engines.datasets import Dataset
    from airflow_etl_provider.engines.lineage import Flow, InputField, Lineage, SourceSide

__all__ = ["EtlLoadRunFacet", "lineage_of_failure", "lineage_of_success"]

log = logging.getLogger(__name__)

FILES_NAMED = 100
"""An event must stay small; how many files there were is told whatever their number."""

LOAD_COLUMN_TYPES = {"_etl_load_id": "string", "_etl_loaded_at": "timestamptz"}


@attr.define
class EtlLoadRunFacet(RunFacet):
    """What became of every record: counts and codes, never a value."""

    status: str
    pipeline: str
    loadId: str | None  # noqa: N815 - OpenLineage's way of writing
    rowsRead: int  # noqa: N815
    rowsLoaded: int  # noqa: N815
    rowsQuarantined: int  # noqa: N815
    rowsFiltered: int  # noqa: N815
    rowsDeduplicated: int  # noqa: N815
    rowsDeleted: int  # noqa: N815
    reasons: dict[str, int] = attr.field(factory=dict)
    errorCode: str | None = attr.field(default=None)  # noqa: N815

    @staticmethod
    def _get_schema() -> str:
        return (
            "https://raw.githubusercontent.com/airflow-etl-provider/airflow-etl-provider/main/"
            "airflow_etl_provider/operators/facets/EtlLoadRunFacet.json#/$defs/EtlLoadRunFacet"
        )


def lineage_of_success(flow: Flow, report: RunReport) -> OperatorLineage[Any, Any]:
    """Describe a run that published, or that found its load published already."""
    wrote = report.status != "already_loaded"
    output = _output(flow)
    try:
        output.facets |= {"columnLineage": _column_lineage(flow.lineage)}
    except SpecificationError as error:
        # The load is done; an event without its columns is better than none.
        log.warning("%s", error)
    output.outputFacets = {
        "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            rowCount=report.rows_loaded if wrote else 0,
            size=_size(flow.target) if wrote else 0,
        )
    }
    inputs = [_input(side) for side in flow.sources]
    if wrote:
        for input, side in zip(inputs, flow.sources, strict=True):
            input.inputFacets |= {"inputStatistics": _statistics(side, report)}
    return OperatorLineage(inputs=inputs, outputs=[output], run_facets=_run_facets(report))


def lineage_of_failure(flow: Flow | None, report: RunReport) -> OperatorLineage[Any, Any]:
    """Describe a run that published nothing: its ends as far as they were known, and its error.

    The message itself is added by the OpenLineage provider, from the exception.
    """
    return OperatorLineage(
        inputs=[_input(side) for side in flow.sources] if flow else [],
        outputs=[_output(flow)] if flow else [],
        run_facets=_run_facets(report),
    )


def _column_lineage(found: Lineage) -> Any:
    return column_lineage_dataset.ColumnLineageDatasetFacet(
        fields={
            column: column_lineage_dataset.Fields(inputFields=_fields(inputs))
            for column, inputs in found.columns.items()
        },
        dataset=_fields(found.rows),
    )


def _statistics(side: SourceSide, report: RunReport) -> Any:
    """Count one input: all that was read, or its part of what a select read."""
    select = report.select
    return input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
        rowCount=report.rows_read if select is None else select.rows_in.get(side.name),
        size=(report.bytes_read or None) if select is None else None,
        fileCount=len(side.inputs),
    )


def _input(side: SourceSide) -> Any:
    names = [input.name for input in side.inputs[:FILES_NAMED]]
    return InputDataset(
        namespace=side.dataset.namespace,
        name=side.dataset.name,
        facets={"schema": _schema(side.schema)},
        inputFacets={
            "subset": base_subset_dataset.InputSubsetInputDatasetFacet(
                inputCondition=base_subset_dataset.LocationSubsetCondition(locations=names)
            )
        },
    )


def _output(flow: Flow) -> Any:
    extra = LOAD_COLUMN_TYPES if flow.load_columns else {}
    return OutputDataset(
        namespace=flow.target.namespace,
        name=flow.target.name,
        facets={"schema": _schema(flow.plan.target, extra)},
    )


def _schema(schema: Schema, extra: dict[str, str] | None = None) -> Any:
    columns = {field.name: str(field.type) for field in schema} | (extra or {})
    return schema_dataset.SchemaDatasetFacet(
        fields=[
            schema_dataset.SchemaDatasetFacetFields(name=name, type=kind)
            for name, kind in columns.items()
        ]
    )


def _fields(inputs: Iterable[InputField]) -> list[Any]:
    return [
        column_lineage_dataset.InputField(
            namespace=input.dataset.namespace,
            name=input.dataset.name,
            field=input.field,
            transformations=[
                column_lineage_dataset.Transformation(
                    type=use.type,
                    subtype=use.subtype,
                    description=", ".join(use.words),
                    masking=use.masking,
                )
                for use in input.uses
            ],
        )
        for input in inputs
    ]


def _size(target: Dataset) -> int | None:
    """Bytes of a target that is a file; a database does not say what a load takes."""
    path = Path(target.name)
    return path.stat().st_size if target.namespace == "file" and path.is_file() else None


def _run_facets(report: RunReport) -> dict[str, Any]:
    return {
        "etl_load": EtlLoadRunFacet(
            status=report.status,
            pipeline=report.pipeline,
            loadId=report.load_id,
            rowsRead=report.rows_read,
            rowsLoaded=report.rows_loaded,
            rowsQuarantined=report.rows_quarantined,
            rowsFiltered=report.rows_filtered,
            rowsDeduplicated=report.rows_deduplicated,
            rowsDeleted=report.rows_deleted,
            reasons=dict(report.reasons),
            errorCode=(report.error or {}).get("code"),
        )
    }
