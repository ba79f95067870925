"""What OpenLineage is told of a load. An exception there would silently empty the event."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.serde import Serde

from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import run_pipeline
from airflow_etl_provider.exceptions import BudgetExceededError
from airflow_etl_provider.operators import lineage_facets
from airflow_etl_provider.operators.batch import BatchPipelineOperator
from airflow_etl_provider.operators.lineage_facets import (
    FILES_NAMED,
    lineage_of_failure,
    lineage_of_success,
)

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.engines.lineage import Flow

VALUE = "zanzibar-7731"

CONTRACT = {
    "contract": "people",
    "target": {"fields": {"id": "int64", "mail": "string", "made": "string"}},
    "columns": {
        "id": {"from": "id", "convert": "parse_int"},
        "mail": {"from": "mail", "convert": "hash", "when": "id is not null"},
        "made": {"convert": {"constant": VALUE}},
    },
}


def load(folder: Path, **more: Any) -> tuple[Flow, RunReport]:
    (folder / "people.csv").write_text(f"id,mail\n1,a@b.c\n{VALUE},d@e.f\n3,{VALUE}\n")
    pipeline = Pipeline.model_validate(
        {
            "pipeline": "people",
            "source": {"location": "people.csv"},
            "target": {"location": "people.parquet", "mode": "replace"},
            "mapping": CONTRACT,
            "filter": "mail <> 'nobody'",
        }
        | more
    )
    return run(pipeline, folder)


def run(pipeline: Pipeline, folder: Path) -> tuple[Flow, RunReport]:
    flows: list[Flow] = []
    report = run_pipeline(
        pipeline,
        connections={}.__getitem__,
        run_id="r",
        base=folder,
        clock=lambda: datetime.now(timezone.utc),
        planned=flows.append,
    )
    (flow,) = flows
    return flow, report


def told(lineage: Any) -> dict[str, Any]:
    """The lineage as it goes over the wire."""
    event = RunEvent(
        eventTime="2026-01-01T00:00:00Z",
        eventType=RunState.COMPLETE,
        run=Run(runId=str(uuid.uuid4()), facets=lineage.run_facets),
        job=Job(namespace="tests", name="load"),
        inputs=lineage.inputs,
        outputs=lineage.outputs,
    )
    text = Serde.to_json(event)
    assert VALUE not in text
    return dict(json.loads(text))


@pytest.fixture
def done(tmp_path: Path) -> tuple[Flow, RunReport]:
    return load(tmp_path)


def test_each_column_names_its_fields_and_what_was_done_to_them(tmp_path, done):
    (output,) = told(lineage_of_success(*done))["outputs"]

    facet = output["facets"]["columnLineage"]
    assert facet["_schemaURL"].endswith(
        "1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet"
    )
    source = {"namespace": "file", "name": str(tmp_path / "people.csv")}
    assert facet["fields"]["id"]["inputFields"] == [
        source
        | {
            "field": "id",
            "transformations": [
                {
                    "type": "DIRECT",
                    "subtype": "TRANSFORMATION",
                    "description": "parse_int",
                    "masking": False,
                }
            ],
        }
    ]
    mail, condition = facet["fields"]["mail"]["inputFields"]
    assert (mail["field"], mail["transformations"][0]["masking"]) == ("mail", True)
    assert (condition["field"], condition["transformations"][0]["type"]) == ("id", "INDIRECT")
    assert not facet["fields"]["made"].get("inputFields")
    assert [use["field"] for use in facet["dataset"]] == ["mail"]


def test_both_ends_are_named_with_their_columns(tmp_path, done):
    event = told(lineage_of_success(*done))

    (source,), (target,) = event["inputs"], event["outputs"]
    assert target["name"] == str(tmp_path / "people.parquet")
    assert [f["name"] for f in source["facets"]["schema"]["fields"]] == ["id", "mail"]
    assert [(f["name"], f["type"]) for f in target["facets"]["schema"]["fields"]] == [
        ("id", "int64"),
        ("mail", "string"),
        ("made", "string"),
    ]


def test_the_counts_are_told(tmp_path, done):
    event = told(lineage_of_success(*done))

    written = event["outputs"][0]["outputFacets"]["outputStatistics"]
    read = event["inputs"][0]["inputFacets"]["inputStatistics"]
    assert (written["rowCount"], read["rowCount"]) == (2, 3)
    assert written["size"] == (tmp_path / "people.parquet").stat().st_size
    assert read["size"] == (tmp_path / "people.csv").stat().st_size
    run = event["run"]["facets"]["etl_load"]
    assert (run["status"], run["rowsQuarantined"]) == ("done_with_rejects", 1)
    assert run["reasons"] == {"not_converted:id": 1}


def test_what_was_loaded_before_writes_nothing(tmp_path, done):
    flow, report = load(tmp_path, target={"location": "people.parquet", "mode": "replace"})
    again = replace(report, status="already_loaded")

    event = told(lineage_of_success(flow, again))

    assert event["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 0
    assert "inputStatistics" not in event["inputs"][0]["inputFacets"]


def test_a_failure_tells_its_ends_and_its_code_but_no_rows(tmp_path):
    with pytest.raises(BudgetExceededError) as failed:
        load(tmp_path, max_rejected=0)
    flow, _ = load(tmp_path)
    assert failed.value.report is not None

    event = told(lineage_of_failure(flow, failed.value.report))

    assert event["run"]["facets"]["etl_load"]["errorCode"] == "too_many_rejected"
    (output,) = event["outputs"]
    assert not output.get("outputFacets")
    assert "columnLineage" not in output["facets"]


def test_a_failure_before_the_plan_tells_only_what_is_known(done):
    event = told(lineage_of_failure(None, done[1]))

    assert (event["inputs"], event["outputs"]) == ([], [])


def test_of_many_files_the_first_are_named(done):
    flow, report = done
    side = replace(flow.sources[0], inputs=flow.sources[0].inputs * (FILES_NAMED + 5))

    event = told(lineage_of_success(replace(flow, sources=(side,)), report))

    facets = event["inputs"][0]["inputFacets"]
    assert len(facets["subset"]["inputCondition"]["locations"]) == FILES_NAMED
    assert facets["inputStatistics"]["fileCount"] == FILES_NAMED + 5


def test_load_columns_are_part_of_the_target(done):
    flow, report = done

    event = told(lineage_of_success(replace(flow, load_columns=True), report))

    names = [f["name"] for f in event["outputs"][0]["facets"]["schema"]["fields"]]
    assert names[-2:] == ["_etl_load_id", "_etl_loaded_at"]


def test_of_a_select_every_input_and_the_way_through_the_query_is_told(tmp_path):
    (tmp_path / "orders.csv").write_text("customer,amt\n1,5\n1,7\n2,1\n")
    (tmp_path / "customers.csv").write_text(f"id,name\n1,{VALUE}\n")
    pipeline = Pipeline.model_validate(
        {
            "pipeline": "totals",
            "inputs": {
                "orders": {"location": "orders.csv", "fields": {"amt": "int64"}},
                "customers": {"location": "customers.csv"},
            },
            "select": "select c.name, sum(o.amt) as total from orders o "
            "join customers c on c.id = o.customer group by 1",
            "target": {"location": "totals.parquet", "mode": "replace"},
        }
    )

    event = told(lineage_of_success(*run(pipeline, tmp_path)))

    orders, customers = event["inputs"]
    assert orders["name"] == str(tmp_path / "orders.csv")
    counts = [one["inputFacets"]["inputStatistics"]["rowCount"] for one in (orders, customers)]
    assert counts == [3, 1]
    facet = event["outputs"][0]["facets"]["columnLineage"]
    (total,) = facet["fields"]["total"]["inputFields"]
    assert (total["name"], total["field"]) == (orders["name"], "amt")
    assert total["transformations"][0]["subtype"] == "AGGREGATION"
    decides = {(one["field"], one["transformations"][0]["subtype"]) for one in facet["dataset"]}
    assert decides == {("id", "JOIN"), ("customer", "JOIN"), ("name", "GROUP_BY")}


def test_our_facet_is_as_its_schema_says(done):
    schema = json.loads(
        (Path(lineage_facets.__file__).parent / "facets" / "EtlLoadRunFacet.json").read_text()
    )
    ours = schema["$defs"]["EtlLoadRunFacet"]["allOf"][1]
    facet = told(lineage_of_success(*done))["run"]["facets"]["etl_load"]

    jsonschema.validate(facet, ours)
    assert set(facet) - {"_producer", "_schemaURL"} <= set(ours["properties"])
    assert facet["_schemaURL"].startswith(schema["$id"])


def test_the_operator_tells_what_it_remembers(done):
    operator = BatchPipelineOperator(task_id="load", pipeline="people.yaml")
    assert operator.get_openlineage_facets_on_complete(None) is None
    assert operator.get_openlineage_facets_on_failure(None) is None

    operator._flow, operator._report = done

    assert told(operator.get_openlineage_facets_on_complete(None))["outputs"]
    assert told(operator.get_openlineage_facets_on_failure(None))["outputs"]
