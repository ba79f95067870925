"""What the command writes to its streams."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.cli.console import Console

if TYPE_CHECKING:
    import pytest


def strict(text: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_are_not_finite_are_written_as_text(capsys: pytest.CaptureFixture[str]):
    value = {"fields": {"a": float("nan"), "b": [1.5, float("inf")]}, "at": date(2026, 5, 3)}
    Console(json_wanted=True).result([value, ({"c": -float("inf")},)])

    fields = {"a": "NaN", "b": [1.5, "Infinity"]}
    assert strict(capsys.readouterr().out) == [
        {"fields": fields, "at": "2026-05-03"},
        [{"c": "-Infinity"}],
    ]
