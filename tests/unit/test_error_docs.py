"""The pages hold together: each error and reason has its place, each page is found, links lead."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from airflow_etl_provider import exceptions
from airflow_etl_provider.contracts import rules
from airflow_etl_provider.exceptions import EtlError, SpecificationError
from airflow_etl_provider.operators.batch import NEEDS_A_PERSON

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ERRORS = (DOCS / "errors.md").read_text()
PAGES = sorted(DOCS.glob("**/*.md"))
LINKING = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

TREE = [getattr(exceptions, name) for name in exceptions.__all__]


def family(error: type[EtlError]) -> list[type[EtlError]]:
    return [error, *(found for child in error.__subclasses__() for found in family(child))]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+?)\s*$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    text = re.sub(r"`[^`]*`", "", without_code(page.read_text()))
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def rows_of_table(text: str) -> list[list[str]]:
    rows = re.findall(r"^\| (`.+|\[`.+) \|$", text, re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in rows]


def test_every_code_has_exactly_one_heading():
    headings = re.findall(r"^## ([a-z][a-z_]*)$", without_code(ERRORS), re.MULTILINE)
    assert sorted(headings) == sorted(error.code for error in TREE)


def test_a_class_of_the_tree_has_a_code_of_its_own():
    codes = [error.__dict__.get("code") for error in TREE]
    assert None not in codes
    assert len(set(codes)) == len(codes)


def test_an_error_outside_the_tree_goes_by_the_code_of_its_base():
    from airflow_etl_provider.engines import batch  # noqa: F401

    known = {error.code for error in TREE}
    ours = [e for e in family(EtlError) if e.__module__.startswith("airflow_etl_provider.")]
    assert {error.code for error in ours} <= known


def test_the_table_says_what_command_and_airflow_do():
    wanted = [
        [
            f"[`{error.code}`](#{error.code})",
            f"`{error.__name__}`",
            "2" if issubclass(error, SpecificationError) else "1",
            "fails at once" if issubclass(error, NEEDS_A_PERSON) else "retries",
        ]
        for error in TREE
    ]
    table = ERRORS.split("\n## ")[0]
    assert sorted(rows_of_table(table)) == sorted(wanted)


def test_the_example_of_the_page_runs():
    for code in re.findall(r"^```python\n(.*?)^```", ERRORS, re.MULTILINE | re.DOTALL):
        exec(compile(code, "errors.md", "exec"), {})


def reasons() -> set[str]:
    table = ERRORS.split("## Reasons of rejected rows")[1]
    return {code for row in rows_of_table(table) for code in re.findall(r"`([^`]+)`", row[0])}


def test_every_rule_has_its_reason():
    found = {check.code for check in vars(rules).values() if hasattr(check, "code")}
    about_the_load = {"rule:null_share", "rule:load"}
    assert {code for code in reasons() if code.startswith("rule:")} == found - about_the_load


def test_a_reason_that_is_listed_exists():
    package = ROOT / "airflow_etl_provider"
    texts = {
        node.value
        for path in package.glob("**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert reasons() - texts == set()


def test_every_page_is_in_the_index():
    index = DOCS / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert [str(page) for page in PAGES if page != index and page.resolve() not in linked] == []


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    dead = []
    for link in links(page):
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []
