"""What the operator makes of its arguments."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_etl_provider.contracts.quality import QualityReport, RuleResult
from airflow_etl_provider.contracts.summary import describe_quality
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.operators.data_quality import DataQualityOperator, failure_of

if TYPE_CHECKING:
    from pathlib import Path

RULE = {"column": "id", "not_null": True}


def operator(**arguments: Any) -> DataQualityOperator:
    return DataQualityOperator(task_id="check", **arguments)


def test_a_list_of_rules_becomes_a_check(tmp_path: Path) -> None:
    check = operator(
        rules=[RULE], connection="c", table="t", where="", max_violations="1%", check="orders"
    )._specification(tmp_path)
    assert (check.check, check.table, check.where) == ("orders", "t", None)
    assert check.max_violations.share == 0.01
    assert check.rules[0].not_null


def test_rules_are_read_from_a_file_beside_the_dag(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("rules: { column: id, not_null: true }\n")
    check = operator(rules="rules.yaml", location="a.csv", check="c")._specification(tmp_path)
    assert check.rules[0].column == "id"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"rules": [RULE]}, "needs `table`"),
        ({"rules": [RULE], "table": "t"}, "needs `connection`"),
        ({"rules": [RULE | {"nul": 1}], "location": "a.csv"}, "nul"),
        ({"rules": [RULE], "location": "https://a:pw@host/a.csv"}, "holds a password"),
        ({"rules": "nowhere.yaml", "location": "a.csv"}, "no rules file"),
        ({"rules": [RULE], "location": "a.csv", "max_violations": "many"}, "expected a number"),
        ({"rules": [RULE], "location": "a.csv", "sample": -1}, "sample"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SpecificationError, match=problem) as error:
        operator(check="c", **arguments)._specification(tmp_path)
    assert ":pw@" not in str(error.value)


REPORT = QualityReport(
    status="failed",
    run_id="r",
    check="orders",
    dataset="w/orders",
    rows_checked=4,
    rows_violating=2,
    rules=(
        RuleResult("id is not null", "rule:not_null", "id", "quarantine", False, 2, 0.5),
        RuleResult("rows >= 5", "rule:load", None, "fail", False, 0, 0.0),
        RuleResult("n is unique", "rule:unique", "n", "warn", True, 0, 0.0),
    ),
    sample="/q/1",
    sample_rows=2,
)


def test_a_failure_says_which_rules_and_where_to_look() -> None:
    assert str(failure_of(REPORT)) == (
        "2 of 4 rows of w/orders break rules: id is not null [quarantine, 2 rows (50.00%)]; "
        "rows >= 5 [fail]. Look at rows: airflow-etl quarantine show /q/1"
    )


def test_a_report_in_words() -> None:
    assert describe_quality(REPORT) == [
        "orders: failed, 1 of 3 rules hold on w/orders",
        "4 rows checked in 0.0 s, 2 break a rule",
        "does not hold: id is not null [quarantine, 2 rows (50.00%)]",
        "does not hold: rows >= 5 [fail]",
        "look at 2 of the rows: airflow-etl quarantine show /q/1",
    ]


class Task(SimpleNamespace):
    """As much of a task instance as the operator uses."""

    def __init__(self) -> None:
        super().__init__(pushed={}, log_url="")

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def execute(
    monkeypatch: pytest.MonkeyPatch, report: QualityReport, task: Task, **arguments: Any
) -> dict[str, Any]:
    monkeypatch.setattr(DataQualityOperator, "_run", lambda *_: report)
    return operator(rules=[RULE], location="a.csv", **arguments).execute({"ti": task})


def test_a_check_that_fails_keeps_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task()
    with pytest.raises(AirflowFailException, match="quality_failed"):
        execute(monkeypatch, REPORT, task)
    assert task.pushed["return_value"]["rows_violating"] == 2


def test_a_check_that_pushes_no_xcom_pushes_none_when_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = Task()
    with pytest.raises(AirflowFailException):
        execute(monkeypatch, REPORT, task, do_xcom_push=False)
    assert task.pushed == {}


NOTES = tuple(f"file {number} was odd" for number in range(3000))


def test_of_thousands_of_notes_the_xcom_has_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    report = replace(REPORT, status="passed", notes=NOTES)
    returned = execute(monkeypatch, report, Task())
    assert returned["notes"] == [*NOTES[:20], "and 2,980 more notes"]


def test_of_thousands_of_notes_a_few_are_told() -> None:
    lines = describe_quality(replace(REPORT, notes=NOTES))
    assert [line for line in lines if "odd" in line or "more" in line] == [
        *NOTES[:20],
        "and 2,980 more notes",
    ]
