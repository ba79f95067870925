"""What the DAG processor meets: constructing, checking and serializing operators."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.serialization.serialized_objects import DagSerialization

from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.operators.batch import BatchPipelineOperator

SPEC: dict[str, Any] = {
    "pipeline": "p",
    "source": {"location": "in/{{ ds }}.csv"},
    "target": {"location": "b.parquet", "mode": "replace"},
}


@task
def which() -> str:
    return "p.yaml"


def operator(**arguments: Any) -> BatchPipelineOperator:
    return BatchPipelineOperator(**{"task_id": "load", "pipeline": SPEC} | arguments)


@pytest.mark.parametrize(
    "pipeline",
    [
        SPEC | {"rules": [{"column": "a", "between": [Decimal("1.5"), dt.date(2026, 1, 1)]}]},
        Pipeline.model_validate(SPEC),
        "p.yaml",
    ],
    ids=["dict with what is no JSON", "object", "file"],
)
def test_a_dag_with_it_can_be_stored(pipeline):
    with DAG("d", schedule=None) as dag:
        operator(
            pipeline=pipeline,
            window_start=dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc),
        )
        BatchPipelineOperator.partial(task_id="mapped", pipeline=pipeline).expand(
            source_location=["a.csv", "b.csv"]
        )

    stored = json.loads(json.dumps(DagSerialization.serialize_dag(dag)))

    assert set(DagSerialization.deserialize_dag(stored).task_dict) == {"load", "mapped"}


def test_a_mistake_is_found_when_the_dag_is_parsed_if_that_is_asked_for():
    wrong = SPEC | {"fliter": "a > 1"}

    operator(pipeline=wrong)
    with pytest.raises(SpecificationError, match="fliter"):
        operator(pipeline=wrong, check=True)


def test_a_secret_is_found_then_too():
    with pytest.raises(SpecificationError, match="password or token"):
        operator(pipeline=SPEC | {"quarantine": "s3://me:hunter2@lake/q"}, check=True)


def test_what_only_the_run_knows_is_not_checked():
    with DAG("d", schedule=None):
        operator(pipeline=which(), check=True)
        operator(task_id="templated", pipeline="{{ params.which }}.yaml", check=True)


def test_a_copy_for_a_run_is_independent():
    """Airflow copies operators before it runs them."""
    with DAG("d", schedule=None):
        original = operator()

    copied = original.prepare_for_execution()
    copied._stop()

    assert (original._cancelled, copied._cancelled) == (False, True)
