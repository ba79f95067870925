"""The pages about what people write are true: every example is read, every key is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_etl_provider.contracts.document import read_document
from airflow_etl_provider.contracts.files import contract_from_text, pipeline_from_text
from airflow_etl_provider.contracts.inputs import InputSpec
from airflow_etl_provider.contracts.mapping import (
    Approval,
    ColumnMapping,
    DatasetRef,
    MappingContract,
    Unmapped,
)
from airflow_etl_provider.contracts.patterns import PATTERNS
from airflow_etl_provider.contracts.pipeline import DeleteSpec, Pipeline, TargetSpec
from airflow_etl_provider.contracts.rules import Rule
from airflow_etl_provider.contracts.source_spec import Dialect, Incremental, SourceSpec
from airflow_etl_provider.exceptions import SpecificationError

DOCS = Path(__file__).parents[3] / "docs"

PAGES = {
    "pipelines.md": (Pipeline, SourceSpec, InputSpec, TargetSpec, DeleteSpec, Dialect, Incremental),
    "mapping-contracts.md": (MappingContract, ColumnMapping, DatasetRef, Approval, Unmapped),
    "rules.md": (Rule,),
}

SELECT = {"inputs", "select"}

DEFAULTS = {
    "pipeline": "pipeline: p\n",
    "source": "source: { location: a.csv }\n",
    "target": "target: { location: a.parquet }\n",
}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL
    )


EXAMPLES = [(page, text) for page in PAGES for text in blocks(page, "yaml")]


def read(text: str) -> object:
    """Read a whole file, or a part of one with the least that makes it whole."""
    keys = read_document(text, name="example").value
    if "contract" in keys:
        return contract_from_text(text, name="example")
    if "columns" in keys:
        fields = ", ".join(f"{column}: string" for column in keys["columns"])
        return contract_from_text(
            f"contract: c\ntarget: {{ fields: {{ {fields} }} }}\n{text}", name="example"
        )
    missing = "".join(default for key, default in DEFAULTS.items() if key not in keys)
    if keys.keys() >= SELECT:
        missing = missing.replace(DEFAULTS["source"], "")
    return pipeline_from_text(missing + text, name="example")


@pytest.mark.parametrize(("page", "text"), EXAMPLES)
def test_an_example_is_what_the_page_says(page, text):
    refused = re.match(r"# refused: (.*)\n", text)
    if refused is None:
        assert read(text)
        return
    with pytest.raises(SpecificationError) as error:
        read(text)
    assert refused[1] in str(error.value)


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_run(page):
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), {})


@pytest.mark.parametrize(("page", "models"), PAGES.items())
def test_every_key_is_explained(page, models):
    text = (DOCS / page).read_text()
    keys = {field.alias or name for model in models for name, field in model.model_fields.items()}
    assert sorted(key for key in keys if f"`{key}`" not in text) == []


def test_the_page_names_exactly_the_patterns_that_exist():
    listed = (DOCS / "rules.md").read_text().split("<!-- patterns -->")[1].split("\n\n")[0]
    assert re.findall(r"`(\w+)`", listed) == list(PATTERNS)
