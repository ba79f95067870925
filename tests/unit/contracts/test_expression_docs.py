"""The page about SQL expressions is true: what it allows is bound, what it refuses is refused."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import duckdb
import pytest
from ruamel.yaml import YAML

from airflow_etl_provider.contracts.expressions import (
    FUNCTIONS,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_TOKENS,
    parse_expression,
)
from airflow_etl_provider.contracts.files import pipeline_from_text
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.backends.duckdb.expressions import bind_expression
from airflow_etl_provider.engines.batch import run_pipeline
from airflow_etl_provider.exceptions import ConnectionNotFoundError, SpecificationError

PAGE = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text("utf-8")

BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

FIELDS = YAML(typ="safe").load(next(text for text in BLOCKS if text.startswith("fields:")))

SCHEMA = Schema(tuple(Field(name, parse_type(of)) for name, of in FIELDS["fields"].items()))


def between(start: str, end: str) -> str:
    return PAGE.split(f"<!-- {start} -->")[1].split(f"<!-- {end} -->")[0]


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


TYPES = spans(between("types", "end of types"))

ALLOWED = [
    sql for sql in spans(between("allowed", "end of allowed")) if sql not in TYPES or sql == "null"
]

FUNCTION_CALLS = spans(between("functions", "end of allowed"))


def table(name: str) -> list[tuple[str, ...]]:
    lines = PAGE.split(f"<!-- {name} -->\n")[1].split("\n\n")[0].splitlines()[2:]
    return [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in lines]


def called(sql: str) -> str:
    return sql.split("(", maxsplit=1)[0]


@pytest.mark.parametrize("sql", ALLOWED)
def test_what_the_page_allows_is_bound(sql: str) -> None:
    tree, _ = bind_expression(parse_expression(sql, kind="conversion"), schema=SCHEMA)
    assert tree


def test_every_allowed_function_stands_on_the_page() -> None:
    assert sorted(FUNCTIONS - set(map(called, FUNCTION_CALLS))) == []


def test_no_other_function_of_duckdb_is_allowed() -> None:
    known = set(map(called, [*FUNCTION_CALLS, *ALLOWED]))
    rows = duckdb.sql("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()
    others = {name for (name,) in rows if re.fullmatch(r"[a-z]\w*", name)} - known
    arguments = ("", "n", "n, m", "n, m, n", "'x', n", "name, 'x'")
    assert [name for name in sorted(others) if any(map(parses, calls(name, arguments)))] == []


def calls(name: str, arguments: tuple[str, ...]) -> list[str]:
    return [f"{name}({given})" for given in arguments]


def parses(sql: str) -> bool:
    try:
        return bool(parse_expression(sql, kind="conversion"))
    except SpecificationError:
        return False


def test_casts_go_to_exactly_the_types_of_the_page() -> None:
    rows = duckdb.sql("SELECT DISTINCT logical_type FROM duckdb_types()").fetchall()
    names = {name.lower() for (name,) in rows} | {"json", "timestamptz"}
    plain = {name for name in names if re.fullmatch(r"\w+", name)}
    assert {name for name in plain if parses(f"cast(null as {name})")} == set(TYPES)


@pytest.mark.parametrize(("written", "says"), table("refused"))
def test_what_the_page_refuses_is_refused_in_its_words(written: str, says: str) -> None:
    with pytest.raises(SpecificationError) as error:
        bind_expression(parse_expression(written.strip("`"), kind="conversion"), schema=SCHEMA)
    assert says in str(error.value)


@pytest.mark.parametrize(("written", "says"), table("refused as a condition"))
def test_what_is_no_condition_is_refused_in_the_words_of_the_page(written: str, says: str) -> None:
    parsed = parse_expression(written.strip("`"), kind="filter")
    with pytest.raises(SpecificationError) as error:
        bind_expression(parsed, schema=SCHEMA, expect="bool")
    assert says in str(error.value)


def test_the_limits_are_those_of_the_code() -> None:
    assert f"{MAX_LENGTH:,} characters, {MAX_TOKENS:,} words and signs, and {MAX_DEPTH}" in PAGE


@pytest.mark.parametrize(
    ("sql", "value"),
    [("cast('1.7' as int)", 2), ("7 / 2", 3.5), ("-7 // 2", -3)],
)
def test_the_values_in_the_text_are_right(sql: str, value: float) -> None:
    assert f"`{sql}`" in PAGE
    tree, _ = bind_expression(parse_expression(sql, kind="conversion"), schema=SCHEMA)
    assert duckdb.sql(f"SELECT {tree.sql(dialect='duckdb')}").fetchall() == [(value,)]


def test_the_pipeline_on_the_page_can_be_read() -> None:
    (text,) = (text for text in BLOCKS if text.startswith("pipeline:"))
    assert pipeline_from_text(text, name="example")


CONDITION = "10 / cast(x as int) > 0"

GIVEN = {"true": "1", "false": "-1", "NULL": "", "an error, such as a division by zero": "0"}


def load(folder: Path, *, x: str, **rest: object) -> tuple[int, int, int, list[object]]:
    """Load one record; give how many were loaded, filtered and rejected, and what stands there."""
    (folder / "given.csv").write_text(f"id,x\n1,{x}\n")
    pipeline = Pipeline(
        pipeline="p",
        source={"location": "given.csv", "dialect": {"delimiter": ","}, "header_rows": 1},
        target={"location": "loaded.parquet", "mode": "replace"},
        max_rejected="none",
        **rest,  # type: ignore[arg-type]
    )
    report = run_pipeline(
        pipeline,
        connections=no_connections,
        run_id="run",
        base=folder,
        clock=lambda: dt.datetime.now(dt.timezone.utc),
    )
    rows = duckdb.sql(f"SELECT id FROM read_parquet('{folder / 'loaded.parquet'}')").fetchall()
    loaded = [value for (value,) in rows]
    return report.rows_loaded, report.rows_filtered, report.rows_quarantined, loaded


def no_connections(name: str) -> object:
    raise ConnectionNotFoundError(name)


@pytest.mark.parametrize(("case", "in_filter", "in_rule", "in_when"), table("outcomes"))
def test_a_condition_does_what_the_page_says(
    tmp_path: Path, case: str, in_filter: str, in_rule: str, in_when: str
) -> None:
    x = GIVEN[case]
    fields = {"id": "string", "x": "string"}
    plain = {"id": {"from": "id"}, "x": {"from": "x"}}
    mapping = {"contract": "c", "target": {"fields": fields}, "columns": plain}
    told = {
        "keeps the record": (1, 0, 0),
        "drops the record": (0, 1, 0),
        "rejects the record": (0, 0, 1),
    }
    assert load(tmp_path, x=x, mapping=mapping, filter=CONDITION)[:3] == told[in_filter]

    told = {"passes": (1, 0, 0), "fails": (0, 0, 1)}
    rules = [{"rows": CONDITION}]
    assert load(tmp_path, x=x, mapping=mapping, rules=rules)[:3] == told[in_rule]

    when = mapping | {"columns": plain | {"id": {"from": "id", "when": CONDITION}}}
    outcomes = {"the value": (1, 0, 0, ["1"]), "NULL": (1, 0, 0, [None])}
    outcomes["rejects the record"] = (0, 0, 1, [])
    assert load(tmp_path, x=x, mapping=when) == outcomes[in_when]
