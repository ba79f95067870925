"""The page about joins and aggregates is true: examples are read, refusals are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_etl_provider.contracts.files import pipeline_from_text
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.select import AGGREGATES, WINDOWS, parse_select
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.relational.binding import bind_select
from airflow_etl_provider.exceptions import SpecificationError

PAGE = (Path(__file__).parents[3] / "docs" / "joins-and-aggregates.md").read_text("utf-8")

EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

SCHEMA = Schema(
    tuple(
        Field(name, parse_type(of))
        for name, of in {
            "n": "int64",
            "m": "int64",
            "name": "string",
            "at": "date",
            "tags": "array<string>",
        }.items()
    )
)


def listed(mark: str) -> list[str]:
    return re.findall(r"`(\w+)`", PAGE.split(f"<!-- {mark} -->\n")[1].split("\n\n")[0])


def table(mark: str) -> list[tuple[str, ...]]:
    lines = PAGE.split(f"<!-- {mark} -->\n")[1].split("\n\n")[0].splitlines()[2:]
    return [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in lines]


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_can_be_read_and_its_select_is_allowed(text: str) -> None:
    head = "" if "pipeline:" in text else "pipeline: p\ntarget: { location: a.parquet }\n"
    pipeline = pipeline_from_text(head + text, name="example")
    parsed = parse_select(pipeline.select or "", inputs=pipeline.inputs)
    assert {table.name for table in parsed.inputs} == set(pipeline.inputs)


def test_the_page_lists_exactly_the_aggregates_and_functions_of_a_window() -> None:
    assert sorted(listed("aggregates")) == sorted(AGGREGATES)
    assert sorted(listed("windows")) == sorted(WINDOWS)


CALLS = {
    "count": "count(*)", "quantile_cont": "quantile_cont(n, 0.5)",
    "quantile_disc": "quantile_disc(n, 0.5)", "string_agg": "string_agg(name, ';')",
    "count_if": "count_if(n > 1)", "countif": "countif(n > 1)", "bool_and": "bool_and(n > 1)",
    "bool_or": "bool_or(n > 1)", "ntile": "ntile(2)", "nth_value": "nth_value(n, 2)",
    **{name: f"{name}(name)" for name in ("listagg", "group_concat")},
    **{name: f"{name}(n, m)" for name in ("arg_min", "arg_max", "min_by", "max_by", "corr",
                                          "covar_pop", "covar_samp")},
    **{name: f"{name}()" for name in ("row_number", "rank", "dense_rank", "percent_rank",
                                      "cume_dist")},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(AGGREGATES | WINDOWS))
def test_every_listed_function_is_bound(name: str) -> None:
    call = CALLS.get(name, f"{name}(n)")
    forms = [f"{call} over (partition by m order by n, at)"]
    if name in AGGREGATES:
        forms += [call, f"{call} filter (where m > 1)"]
    for form in forms:
        parsed = parse_select(f"select {form} as x from orders", inputs=["orders"])
        assert bind_select(parsed, schemas={"orders": SCHEMA}).schema.names == ("x",)


@pytest.mark.parametrize(("written", "says"), table("refused"))
def test_what_the_page_refuses_is_refused_in_its_words(written: str, says: str) -> None:
    with pytest.raises(SpecificationError) as error:
        bind_select(parse_select(written.strip("`"), inputs=["orders"]), schemas={"orders": SCHEMA})
    assert says in str(error.value)
