"""What `docs/stability.md` promises is what there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from airflow_etl_provider.contracts.quality import QualityReport, RuleResult
from airflow_etl_provider.contracts.report import InputReport, RunReport
from airflow_etl_provider.engines.quarantine import Manifest
from airflow_etl_provider.engines.quarantine.writer import quarantine_schema
from airflow_etl_provider.engines.targets.base import LedgerEntry

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "stability.md").read_text()


def names(of: type) -> list[str]:
    return [field.name for field in fields(of)]


def listed(mark: str) -> list[str]:
    block = PAGE.split(f"<!-- {mark} -->\n")[1].split("\n\n")[0]
    return re.findall(r"`(\w+)`", block)


@pytest.mark.parametrize(
    ("mark", "there"),
    [
        ("report", [*names(RunReport), "rows_per_second"]),
        ("quality", names(QualityReport)),
        ("quality rule", names(RuleResult)),
        ("ledger", names(LedgerEntry)),
        ("rejects", quarantine_schema().names),
        # The place of a manifest is where it stands, not what it says.
        ("manifest", [name for name in names(Manifest) if name != "location"]),
    ],
)
def test_the_page_lists_exactly_what_there_is(mark, there):
    assert sorted(listed(mark)) == sorted(there)


def test_the_page_lists_what_a_report_says_of_an_input():
    sentence = PAGE.split("Each of `inputs` has")[1].split(". ")[0]
    assert re.findall(r"`(\w+)`", sentence) == names(InputReport)


def test_supported_versions_are_those_of_the_package():
    versions = PAGE.split("<!-- versions -->")[1]
    project = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.10,<3.14"' in project
    assert "3.10 to 3.13" in versions
    for pin, said in (
        ("apache-airflow>=3.2.1,<4", "3.2.1 and later, below 4"),
        ("duckdb>=2.0,<3; python_version >= '3.11'", "2.x on Python 3.11 and later"),
        ("duckdb>=1.5.6,<2; python_version < '3.11'", "1.5.6 and later 1.x on Python 3.10"),
    ):
        assert pin in project
        assert said in versions
