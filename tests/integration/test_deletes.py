"""Pipelines whose records delete: from a file of changes to a table, and that it adds up."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg2
import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.engines.targets.postgres import parse_postgres_uri
from airflow_etl_provider.exceptions import LoadRuleError, SpecificationError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.report import RunReport

FIELDS = {"id": "int64", "name": "string(5)", "amount": "decimal(9,2)", "at": "timestamp"}
HEADER = "op,id,name,amount,at\n"


class Job:
    """Changes in CSV files, merged one file after the other into a table of either database."""

    def __init__(self, folder: Path, uri: str | None) -> None:
        self.folder, self.uri = folder, uri
        self.loads = 0

    def connection(self, name: str) -> Connection:
        if self.uri is None:
            return Connection(name, "duckdb", host=str(self.folder / "warehouse.duckdb"))
        return parse_postgres_uri(self.uri, name=name)

    def run(self, text: str, *, target: dict[str, Any] | None = None, **more: Any) -> RunReport:
        self.loads += 1
        path = self.folder / f"changes-{self.loads}.csv"
        path.write_text(HEADER + text)
        columns = {name: {"from": name, "convert": "cast"} for name in FIELDS}
        pipeline = Pipeline.model_validate(
            {
                "pipeline": "orders",
                "source": {"location": str(path), "format": "csv"},
                "target": {
                    "connection": "warehouse",
                    "table": "orders",
                    "mode": "merge",
                    "key": "id",
                    "latest_by": "at",
                    "deletes": {"when": "op = 'D'"},
                }
                | (target or {}),
                "mapping": {
                    "contract": "orders",
                    "target": {"fields": FIELDS},
                    "columns": columns,
                },
                "quarantine": str(self.folder / "quarantine"),
            }
            | more
        )
        report = run_pipeline(
            pipeline,
            connections=self.connection,
            run_id=f"run {self.loads}",
            base=self.folder,
            options=EngineOptions(all_text=True),
            clock=lambda: datetime.now(timezone.utc),
        )
        assert report.accounted == report.rows_read
        return report

    def rows(self, columns: str = "id, name") -> list[tuple[Any, ...]]:
        query = f"SELECT {columns} FROM orders ORDER BY id"
        if self.uri is None:
            with duckdb.connect(str(self.folder / "warehouse.duckdb")) as connection:
                return connection.execute(query).fetchall()
        connection = psycopg2.connect(self.uri)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()
        finally:
            connection.close()


def codes(report: RunReport) -> list[tuple[int, set[str]]]:
    return [
        (reject.record, {f"{r.code}:{r.column or r.step}" for r in reject.reasons})
        for reject in read_quarantine(report.quarantine or "")
    ]


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Job:
    uri = request.getfixturevalue("postgres_server") if request.param == "postgres" else None
    return Job(tmp_path, uri)


T = "2026-01-0{} 00:00:00".format


def test_changes_are_applied_and_every_record_is_accounted_for(job: Job) -> None:
    job.run(f"I,1,one,1,{T(1)}\nI,2,two,2,{T(1)}\nI,3,three,3,{T(3)}\n")
    report = job.run(
        f"U,1,uno,1,{T(2)}\nD,2,,,{T(2)}\nD,3,,,{T(2)}\nD,7,,,{T(2)}\nI,x,bad,1,{T(2)}\n"
    )
    assert job.rows() == [(1, "uno"), (3, "three")]
    counts = (report.rows_loaded, report.rows_deleted, report.rows_deduplicated)
    assert counts == (1, 2, 1)
    assert report.rows_quarantined == 1
    (part,) = report.inputs
    assert (part.rows_loaded, part.rows_deleted) == (1, 3)


def test_a_record_that_deletes_needs_only_its_key_and_its_age(job: Job) -> None:
    job.run(f"I,1,one,1,{T(1)}\nI,2,two,2,{T(1)}\nI,3,three,3,{T(1)}\n")
    report = job.run(
        f"D,1,much too long,no number,{T(2)}\nD,two,,,{T(2)}\nD,3,,,yesterday\nD,,,,{T(2)}\n"
        f"U,2,much too long,no number,{T(2)}\n",
        rules=[
            {"column": "name", "not_null": True},
            {"column": "amount", "between": [0, 10]},
            {"rows": "amount is not null and name is not null"},
        ],
    )
    assert (report.rows_loaded, report.rows_deleted) == (0, 1)
    assert codes(report) == [
        (2, {"not_converted:id"}),
        (3, {"not_converted:at"}),
        (4, {"null_not_allowed:id"}),
        (5, {"not_converted:name", "not_converted:amount", "rule:rows:None"}),
    ]
    assert job.rows("id") == [(2,), (3,)]


def test_the_newest_record_of_a_key_wins_whether_it_deletes_or_not(job: Job) -> None:
    report = job.run(
        f"I,1,a,1,{T(1)}\nD,1,,,{T(2)}\n"
        f"D,2,,,{T(2)}\nI,2,b,1,{T(3)}\n"
        f"I,3,c,1,{T(1)}\nD,3,,,{T(2)}\nI,3,d,1,{T(3)}\n"
    )
    assert job.rows() == [(2, "b"), (3, "d")]
    counts = (report.rows_loaded, report.rows_deleted, report.rows_deduplicated)
    assert counts == (2, 1, 4)


def test_without_latest_by_a_key_that_comes_twice_is_quarantined(job: Job) -> None:
    report = job.run("I,1,a,1,\nD,1,,,\n", target={"latest_by": None})
    assert codes(report) == [(2, {"duplicate_key:id"})]
    assert job.rows() == [(1, "a")]


def test_a_record_that_deletes_repeats_no_value_of_another(job: Job) -> None:
    job.run(
        f"I,1,a,1,{T(1)}\n",
        target={"key": ["id", "name"]},
        rules=[{"column": "id", "unique": True}],
    )
    report = job.run(
        f"D,1,a,,{T(2)}\nI,1,b,1,{T(2)}\n",
        target={"key": ["id", "name"]},
        rules=[{"column": "id", "unique": True}],
    )
    assert report.rows_quarantined == 0
    assert job.rows() == [(1, "b")]


def test_soft_deletes_keep_the_row_until_it_comes_again(job: Job) -> None:
    soft = {"deletes": {"when": "op = 'D'", "how": "soft", "column": "deleted_at"}}
    job.run(f"I,1,one,1,{T(1)}\nI,2,two,1,{T(1)}\n", target=soft)
    assert job.run(f"D,1,,,{T(2)}\n", target=soft).rows_deleted == 1
    assert job.rows("id, name, deleted_at is null") == [(1, "one", False), (2, "two", True)]
    job.run(f"U,1,again,1,{T(3)}\n", target=soft)
    assert job.rows("id, name, deleted_at is null") == [(1, "again", True), (2, "two", True)]


def test_a_condition_that_raises_rejects_and_one_that_is_null_does_not_delete(job: Job) -> None:
    job.run(f"I,1,one,1,{T(1)}\nI,2,two,1,{T(1)}\n")
    report = job.run(
        f"x,1,uno,1,{T(2)}\n,2,due,1,{T(2)}\n",
        target={"deletes": {"when": "cast(op as integer) = 1"}},
    )
    assert codes(report) == [(1, {"not_computed:deletes"})]
    assert job.rows() == [(1, "one"), (2, "due")]


def test_filtered_records_delete_nothing(job: Job) -> None:
    job.run(f"I,1,one,1,{T(1)}\n")
    report = job.run(f"D,1,,,{T(2)}\n", filter="id <> '1'")
    assert (report.rows_filtered, report.rows_deleted) == (1, 0)
    assert job.rows() == [(1, "one")]


def test_rules_on_the_load_see_records_that_delete_apart(job: Job) -> None:
    rules = [
        {"load": "rows_deleted <= 1", "severity": "fail"},
        {"column": "name", "max_null_share": 0, "severity": "fail"},
    ]
    job.run(f"I,1,one,1,{T(1)}\nD,9,,,{T(1)}\n", rules=rules)
    with pytest.raises(LoadRuleError, match="rows_deleted"):
        job.run(f"D,1,,,{T(2)}\nD,2,,,{T(2)}\n", rules=rules)
    assert job.rows() == [(1, "one")]


def test_a_condition_that_names_no_field_is_told_before_anything_is_read(job: Job) -> None:
    with pytest.raises(SpecificationError, match="'opp'"):
        job.run("", target={"deletes": {"when": "opp = 'D'"}})


def test_a_contract_by_name_leaves_the_column_of_soft_deletes_alone(job: Job) -> None:
    soft = {"deletes": {"when": "op = 'D'", "how": "soft", "column": "deleted_at"}}
    job.run(f"I,1,one,1,{T(1)}\n", target=soft)
    report = job.run(f"D,1,,,{T(2)}\n", target=soft, mapping="by_name")
    assert report.rows_deleted == 1
    assert job.rows("id, deleted_at is null") == [(1, False)]


def test_a_contract_may_not_fill_the_column_of_soft_deletes(job: Job) -> None:
    soft = {"deletes": {"when": "op = 'D'", "how": "soft", "column": "at"}}
    with pytest.raises(SpecificationError, match=r"target\.deletes\.column: found 'at'"):
        job.run("", target=soft)
