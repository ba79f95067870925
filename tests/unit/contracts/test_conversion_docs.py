"""The page about conversions is complete and true: its examples run on the real backend."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from ruamel.yaml import YAML

from airflow_etl_provider.contracts.conversions import CONVERSIONS, Conversion, read_conversion
from airflow_etl_provider.contracts.conversions.base import NUMBERS, SCALARS
from airflow_etl_provider.contracts.files import contract_from_text
from airflow_etl_provider.exceptions import SpecificationError
from tests.conformance.backends import DuckDB, read_group

PAGE = (Path(__file__).parents[3] / "docs" / "conversions.md").read_text("utf-8")

SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))

FAMILIES = re.findall(r"^\| \[`(\w+)`\]\(#(\w+)\) \|(.+)\|$", PAGE, re.MULTILINE)

KINDS_IN_WORDS = {"text": {"string"}, "numbers": NUMBERS, "what has a text": SCALARS}


def yaml(text: str) -> Any:
    return YAML(typ="safe").load(text)


def blocks(text: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def parameters(name: str) -> dict[str, list[str]]:
    """The rows of a section's table: name as written, type, default, meaning."""
    rows = re.findall(r"^\| (\**`\w+`\**) \| (.+) \|$", SECTIONS[name], re.MULTILINE)
    return {key.strip("*`"): [key, *rest.split(" | ")] for key, rest in rows}


@cache
def duckdb() -> DuckDB:
    return DuckDB()


def test_every_conversion_has_a_section_and_nothing_else_has() -> None:
    assert sorted(SECTIONS) == sorted(CONVERSIONS)


def test_every_conversion_stands_once_in_the_tables_in_the_order_of_the_sections() -> None:
    assert [name for name, _, _ in FAMILIES] == list(SECTIONS)
    assert [anchor for _, anchor, _ in FAMILIES] == list(SECTIONS)


@pytest.mark.parametrize(("name", "cells"), [(name, cells) for name, _, cells in FAMILIES])
def test_the_tables_say_what_a_conversion_takes_and_rejects(name: str, cells: str) -> None:
    of = CONVERSIONS[name]
    takes, _makes, null_gives, rejects = (cell.strip() for cell in cells.split(" | "))
    if takes == "any type":
        assert of.takes is None
    else:
        kinds: set[str] = set()
        for word in takes.split(", "):
            kinds |= {word.strip("`")} if "`" in word else KINDS_IN_WORDS[word]
        assert kinds == of.takes
    assert of.handles_null == (not null_gives.startswith("NULL"))
    assert (of.fallible is Conversion.fallible) == (rejects == "nothing")


@pytest.mark.parametrize("name", CONVERSIONS)
def test_the_parameters_are_those_of_the_class_with_their_defaults(name: str) -> None:
    of = CONVERSIONS[name]
    told = parameters(name)
    assert list(told) == list(of.model_fields)
    for key, field in of.model_fields.items():
        written, kind, default, _ = told[key]
        assert written == (f"**`{key}`**" if key == of.primary else f"`{key}`")
        if field.is_required():
            assert default == "required"
        else:
            said = yaml(default.removeprefix("`").removesuffix("`"))
            assert field.default == (as_tuple(said) if isinstance(field.default, tuple) else said)
        assert set(choices(field.annotation)) <= set(re.findall(r"\w+", kind))


def as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


def choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [*get_args(annotation)]
    return [word for part in get_args(annotation) for word in choices(part)]


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_section_has_an_example_of_its_conversion_and_of_what_it_rejects(name: str) -> None:
    groups = [group for text in blocks(SECTIONS[name]) for group in yaml(text)]
    told = [read_group(group) for group in groups if "gives" in group]
    assert told
    assert {group.conversion.name for group in told} == {name}
    never_rejects = CONVERSIONS[name].fallible is Conversion.fallible
    assert any("rejects" in group for group in groups) != never_rejects


@pytest.mark.parametrize(
    "text", [text for section in SECTIONS.values() for text in blocks(section)]
)
def test_an_example_gives_and_rejects_what_the_page_says(text: str) -> None:
    refused = re.match(r"# refused: (.*)\n", text)
    if refused is not None:
        with pytest.raises(SpecificationError) as error:
            [read_group(group).wrong(duckdb()) for group in yaml(text)]
        assert refused[1] in str(error.value)
        return
    wrong = [line for group in yaml(text) for line in read_group(group).wrong(duckdb())]
    assert not wrong, "\n".join(wrong)


def test_the_examples_before_the_sections_can_be_read() -> None:
    (text,) = blocks(PAGE.split("\n## ")[0])
    fields = ", ".join(f"{column}: string" for column in yaml(text)["columns"])
    assert contract_from_text(
        f"contract: c\ntarget: {{ fields: {{ {fields} }} }}\n{text}", name="x"
    )


def test_what_the_page_calls_directives_can_be_read_and_no_other() -> None:
    paragraph = PAGE.split("Formats are those of Python's `strptime`: ")[1].split("Numbers may")[0]
    dates, times, zone = re.split(r"for dates|for times", paragraph)
    read = {
        letter
        for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        if any(accepts(format) for format in formats_with(letter))
    }
    assert read == set(re.findall(r"%(\w)", dates + times + zone))


def formats_with(letter: str) -> list[str]:
    rest = (
        "%Y-%m-%d %H:%M",
        "%y-%m-%d %H:%M",
        "%Y-%j %H:%M",
        "%Y %b %d %H:%M",
        "%Y %B %d %I:%M %p",
    )
    return [format if f"%{letter}" in format else f"{format} %{letter}" for format in rest]


def accepts(format: str) -> bool:
    try:
        return bool(read_conversion({"parse_timestamp": format}))
    except SpecificationError:
        return False
