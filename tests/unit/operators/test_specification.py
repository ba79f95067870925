"""What a task runs: the pipeline from wherever it is written, with the task's own places."""

from __future__ import annotations

import pytest

from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.hooks.connections import refuse_secrets
from airflow_etl_provider.operators.specification import for_this_task, read_specification

SPEC = {
    "pipeline": "orders",
    "source": {"location": "in/{{ ds }}.csv"},
    "target": {"connection": "warehouse", "table": "orders"},
}


def pipeline(**changes: object) -> Pipeline:
    return Pipeline.model_validate(SPEC | changes)


def task(of: Pipeline, **changes: object) -> Pipeline:
    return for_this_task(
        of,
        **{
            "render": lambda text: text.replace("{{ ds }}", "2026-11-01"),
            "source_location": None,
            "target_table": None,
            "mapped": False,
            **changes,
        },
    )


SELECT = {
    "pipeline": "orders",
    "inputs": {"a": {"location": "in/{{ ds }}.csv"}, "b": {"location": "b.csv"}},
    "select": "select a.id from a join b using (id)",
    "target": {"connection": "warehouse", "table": "orders"},
}


def test_locations_of_the_inputs_of_a_select_are_templates_too():
    given = Pipeline.model_validate(SELECT)
    found = task(given)
    assert {name: spec.location for name, spec in found.inputs.items()} == {
        "a": "in/2026-11-01.csv",
        "b": "b.csv",
    }
    # What is not written must not look written, or the task's load were not the command's.
    assert found.model_dump(exclude_defaults=True).keys() == SELECT.keys()


def test_a_source_location_is_refused_for_a_select():
    with pytest.raises(SpecificationError, match="inputs of a `select` are named there alone"):
        task(Pipeline.model_validate(SELECT), source_location="other.csv")


def test_a_password_in_the_location_of_an_input_is_refused():
    inputs = {"a": {"location": "https://me:secret@host/a.csv"}, "b": {"location": "b.csv"}}
    with pytest.raises(SpecificationError, match=r"inputs\.a\.location") as error:
        refuse_secrets(Pipeline.model_validate(SELECT | {"inputs": inputs}))
    assert "secret@" not in str(error.value)


def test_a_file_a_dict_and_an_object_give_the_same_pipeline(tmp_path):
    file = tmp_path / "orders.yaml"
    file.write_text(
        "pipeline: orders\nsource: { location: 'in/{{ ds }}.csv' }\n"
        "target: { connection: warehouse, table: orders }\n"
    )

    found = [
        read_specification(given, folder=tmp_path)[0] for given in ("orders.yaml", SPEC, pipeline())
    ]

    assert found[0] == found[1] == found[2]


def test_paths_in_a_file_start_at_the_file(tmp_path):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "p.yaml").write_text(
        "pipeline: p\nsource: { location: a.csv }\ntarget: { location: b.csv, mode: replace }\n"
    )

    assert read_specification("pipelines/p.yaml", folder=tmp_path)[1] == tmp_path / "pipelines"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SpecificationError, match=r"no pipeline file .*nowhere\.yaml"):
        read_specification("nowhere.yaml", folder=tmp_path)


def test_locations_are_rendered_and_nothing_else():
    given = pipeline(filter="name <> '{{ ds }}'", quarantine="q/{{ ds }}")

    made = task(given)

    assert made.source.location == "in/2026-11-01.csv"
    assert made.quarantine is not None
    assert made.quarantine.location == "q/2026-11-01"
    assert made.filter == given.filter


def test_what_was_rendered_with_the_operator_is_not_rendered_again():
    assert task(pipeline(), render=None).source.location == "in/{{ ds }}.csv"


def test_the_tasks_own_places_go_before_the_pipelines():
    made = task(pipeline(), source_location="b.csv", target_table="t")

    assert (made.source.location, made.target.table) == ("b.csv", "t")


def test_a_table_for_a_pipeline_that_writes_a_file_is_refused():
    given = pipeline(target={"location": "b.csv", "mode": "replace"})

    with pytest.raises(SpecificationError, match="writes no table"):
        task(given, target_table="t")


def test_mapped_tasks_that_replace_one_table_are_refused():
    given = pipeline(target={"connection": "warehouse", "table": "orders", "mode": "replace"})

    with pytest.raises(SpecificationError, match="replace what the others"):
        task(given, source_location="b.csv", mapped=True)

    task(given, source_location="b.csv", target_table="b", mapped=True)


def test_mapped_files_of_one_data_interval_are_refused():
    given = pipeline(
        source={"location": "a.csv", "incremental": {"by": "data_interval", "column": "at"}}
    )

    with pytest.raises(SpecificationError, match="the same load"):
        task(given, source_location="b.csv", mapped=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": {"location": "https://me:hunter2@example.com/a.csv"}},
        {"source": {"location": "https://example.com/a.csv?token=hunter2"}},
        {"quarantine": "s3://key:hunter2@lake/q"},
        {"target": {"location": "postgresql://me:hunter2@db/shop", "table": "t"}},
        {"target": {"location": "postgresql://me:hunter2\u2100@db/shop", "table": "t"}},
        {"target": {"location": "postgresql://me:hunter2@[db/shop", "table": "t"}},
        {"target": {"location": "postgresql://db/shop?sslpassword=hunter2", "table": "t"}},
        {"source": {"location": "https://example.com/a.csv?X-Amz-Signature=hunter2"}},
        {"source": {"location": "https://example.com/a.csv?x-amz-security-token=hunter2"}},
        {"source": {"location": "https://example.com/a.csv?X-Amz-Credential=hunter2"}},
    ],
    ids=[
        "source",
        "token",
        "quarantine",
        "target",
        "no host",
        "a bracket",
        "key",
        "signature",
        "session",
        "credential",
    ],
)
def test_a_secret_in_the_specification_is_refused_and_not_repeated(changes):
    with pytest.raises(SpecificationError, match="connection") as refused:
        refuse_secrets(pipeline(**changes))

    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("location", ["s3://lake/a:b@c.csv", "a.csv", "dir/x?token=1", "a@b:c.csv"])
def test_places_without_secrets_are_let_through(location):
    refuse_secrets(pipeline(source={"location": location}))
