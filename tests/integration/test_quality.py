"""Rules on what is there already: tables of both databases, and files."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_etl_provider.contracts.quality import QualityCheck
from airflow_etl_provider.engines.batch import EngineOptions
from airflow_etl_provider.engines.quality import check_quality
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.engines.targets import parse_target
from airflow_etl_provider.exceptions import (
    CancelledError,
    NotSupportedYetError,
    SourceNotFoundError,
    SpecificationError,
)

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.quality import QualityReport

KINDS = ["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)]


class Warehouse:
    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        if self.url.startswith("duckdb"):
            with duckdb.connect(self.url.removeprefix("duckdb:///")) as connection:
                return connection.execute(sql).fetchall()
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def check(self, *rules: dict[str, Any], table: str = "orders", **more: Any) -> QualityReport:
        spec, connections = parse_target(self.url, table=table)
        place = spec.model_dump(include={"connection", "location"}, exclude_none=True)
        check = QualityCheck.model_validate(
            {"check": "orders", "table": table, "rules": list(rules)} | place | more
        )
        return run(check, self.folder, connections=connections)


def run(
    check: QualityCheck, folder: Path, *, connections: Any = None, **more: Any
) -> QualityReport:
    return check_quality(
        check,
        connections=connections,
        run_id="run",
        base=folder,
        options=EngineOptions(quarantine_home=folder / "quarantine", threads=2),
        clock=lambda: datetime.now(timezone.utc),
        **more,
    )


def found(report: QualityReport) -> dict[str, int]:
    return {one.rule: one.violations for one in report.rules if not one.holds}


@pytest.fixture(params=KINDS)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "postgres":
        return Warehouse(request.getfixturevalue("postgres_server"), tmp_path)
    return Warehouse(f"duckdb:///{tmp_path}/warehouse.db", tmp_path)


@pytest.fixture
def orders(warehouse: Warehouse) -> Warehouse:
    warehouse.execute(
        "CREATE TABLE customers (id integer PRIMARY KEY);"
        "INSERT INTO customers VALUES (1), (2);"
        "CREATE TABLE orders (id integer, customer integer, amount numeric(10,2), mail text,"
        " day date, extra text);"
        "INSERT INTO orders VALUES"
        " (1, 1, 10, 'a@b.cd', '2026-01-01', 'x'),"
        " (2, 2, -5, 'nothing', '2026-01-02', 'x'),"
        " (2, 3, 20, NULL, '2026-01-03', 'x'),"
        " (NULL, NULL, NULL, 'c@d.ef', '2026-01-04', 'x')"
    )
    return warehouse


ALL = (
    {"column": "id", "not_null": True, "unique": True},
    {"column": "customer", "references": "customers.id"},
    {"column": "amount", "between": [0, 15]},
    {"column": "mail", "matches": "email", "severity": "warn"},
    {"column": "mail", "max_null_share": "10%", "severity": "warn"},
    {"rows": "id <= customer", "name": "ids come late", "severity": "warn"},
    {"load": "rows >= 4"},
)


def test_every_rule_is_judged_for_itself(orders: Warehouse) -> None:
    before = orders.execute("SELECT * FROM orders")
    report = orders.check(*ALL, max_violations=3)
    assert report.status == "passed_with_warnings"
    assert (report.rows_checked, report.rows_violating) == (4, 3)
    assert found(report) == {
        "id is not null": 1,
        "id is unique": 1,
        "customer is in customers.id": 1,
        "amount is between 0 and 15": 2,
        "mail looks like email": 1,
        "at most 10 % of mail is null": 1,
    }
    assert [one.holds for one in report.rules] == [False] * 6 + [True, True]
    assert [one.share for one in report.rules[:4]] == [0.25, 0.25, 0.25, 0.5]
    assert orders.execute("SELECT * FROM orders") == before


def test_rows_that_break_a_rule_are_kept_with_the_reasons(orders: Warehouse) -> None:
    report = orders.check(*ALL)
    assert report.status == "failed"
    kept = {reject.record: reject for reject in read_quarantine(report.sample)}
    assert sorted(kept) == [2, 3, 4]
    assert [reason.message for reason in kept[3].reasons] == [
        "amount is above 15",
        "id occurs in an earlier record",
        "customer is not in customers.id",
    ]
    fields = {"id", "customer", "amount", "mail"}
    assert set(json.loads(kept[2].raw)) == fields
    assert report.sample_rows == 3
    manifest = json.loads((Path(report.sample) / "manifest.json").read_text())
    assert manifest["status"] == "not_published"


def test_a_sample_holds_so_many_rows_of_each_rule(orders: Warehouse) -> None:
    orders.execute(
        "INSERT INTO orders (id, amount) SELECT i, -1 FROM generate_series(10, 500) t(i)"
    )
    rules = ({"column": "amount", "between": [0, None]}, {"column": "customer", "not_null": True})
    report = orders.check(*rules, sample=5, sample_columns=["extra"])
    assert found(report)["amount is at least 0"] == 492
    assert report.sample_rows == 6
    assert report.rows_violating == 493
    assert "extra" in next(iter(read_quarantine(report.sample))).fields
    assert orders.check(*rules, sample=0).sample is None


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("day >= '2026-01-02'", 3),
        ("day >= DATE '2026-01-02' and id = 2", 2),
        ("day between '2026-01-02' and '2026-01-03'", 2),
        ("2 <= id", 2),
        ("mail like '%@%'", 2),
        ("day > '2026-01-01' and mail is not null", 2),
        ("id is null or id > 1", 3),
        ("day > '2027-01-01'", 0),
    ],
)
def test_only_rows_for_which_the_condition_is_true_are_checked(
    orders: Warehouse, where: str, rows: int
) -> None:
    report = orders.check({"column": "id", "not_null": True, "severity": "warn"}, where=where)
    assert report.rows_checked == rows


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("id < 100000", 3),
        ("100000 > id", 3),
        ("id < 99999999999999999999", 3),
        ("big < 99999999999999999999", 2),
        ("id between 2 and 100000", 2),
        ("id < 1_0", 3),
        ("id >= 2::smallint", 2),
        # Computing it fails on every row, so that it leaves none out.
        ("id > 100000::smallint", 4),
        ("id < 100000::smallint", 4),
    ],
)
def test_a_number_that_the_column_can_not_hold_is_a_number(
    warehouse: Warehouse, where: str, rows: int
) -> None:
    warehouse.execute(
        "CREATE TABLE small (id smallint, big bigint);"
        "INSERT INTO small VALUES (1, 9223372036854775807), (2, 2), (3, NULL), (NULL, NULL)"
    )
    rule = {"column": "id", "not_null": True, "severity": "warn"}
    assert warehouse.check(rule, table="small", where=where).rows_checked == rows


@pytest.mark.parametrize("column", ["id", "day", "amount"])
@pytest.mark.parametrize("written", ["'x'", "1" + "0" * 39, "1" + "0" * 50])
def test_a_constant_that_fits_no_column_is_a_mistake_of_the_check(
    orders: Warehouse, column: str, written: str
) -> None:
    rule = {"column": "id", "not_null": True}
    with pytest.raises(SpecificationError):
        orders.check(rule, where=f"{column} < {written}")


@pytest.mark.parametrize("where", ["id >= 2", "id + 0 >= 2"], ids=["by the database", "by us"])
@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("rows = 2", True),
        ("rows_read = 4", True),
        ("rows_filtered = 2", True),
        ("ROWS_READ < 4 or rows_filtered < 2", False),
    ],
)
def test_counts_in_a_rule_do_not_depend_on_who_decides_the_condition(
    orders: Warehouse, where: str, rule: str, holds: bool
) -> None:
    report = orders.check({"load": rule}, where=where)
    assert [one.holds for one in report.rules] == [holds]


@pytest.mark.parametrize(
    ("limit", "status"),
    [(0, "failed"), (1, "failed"), (2, "passed_with_warnings"), ("none", "passed_with_warnings")],
)
def test_more_violations_than_allowed_fail(orders: Warehouse, limit: Any, status: str) -> None:
    rule = {"column": "amount", "between": [0, 15]}
    assert orders.check(rule, max_violations=limit).status == status


def test_a_rule_that_fails_allows_none(orders: Warehouse) -> None:
    rule = {"column": "id", "not_null": True, "severity": "fail"}
    assert orders.check(rule, max_violations="none").status == "failed"
    assert orders.check({"load": "rows > 5"}).status == "failed"


def test_what_holds_passes_and_leaves_nothing(orders: Warehouse) -> None:
    report = orders.check({"column": "day", "not_null": True}, {"load": "rows = 4"})
    assert (report.status, report.sample, report.broken) == ("passed", None, ())
    assert not (orders.folder / "quarantine").exists()


def test_an_empty_table_passes(orders: Warehouse) -> None:
    orders.execute("DELETE FROM orders")
    assert orders.check(*ALL[:-1]).status == "passed"


def test_a_view_is_checked_like_a_table(orders: Warehouse) -> None:
    orders.execute("CREATE VIEW seen AS SELECT id, customer FROM orders WHERE id IS NOT NULL")
    report = orders.check({"column": "id", "unique": True}, table="seen")
    assert (report.rows_checked, found(report)) == (3, {"id is unique": 1})


def test_a_table_may_refer_to_itself(warehouse: Warehouse) -> None:
    warehouse.execute(
        "CREATE TABLE tree (id integer, parent integer);"
        "INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 9), (4, 3)"
    )
    report = warehouse.check({"column": "parent", "references": "tree.id"}, table="tree")
    assert found(report) == {"parent is in tree.id": 1}


def test_the_primary_key_is_in_the_sample(warehouse: Warehouse) -> None:
    warehouse.execute(
        "CREATE TABLE parts (b integer, a integer, c integer, PRIMARY KEY (a, b));"
        "INSERT INTO parts VALUES (1, 2, NULL)"
    )
    report = warehouse.check({"column": "c", "not_null": True}, table="parts")
    (reject,) = read_quarantine(report.sample)
    assert set(reject.fields) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        ({"column": "idd", "not_null": True}, SpecificationError, "Did you mean 'id'"),
        ({"rows": "nothing > 1"}, SpecificationError, "nothing"),
        ({"column": "amount", "between": ["a", "b"]}, SpecificationError, "amount|DECIMAL|convert"),
    ],
)
def test_a_rule_that_does_not_fit_the_table_is_refused(
    orders: Warehouse, rule: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        orders.check(rule)


def test_a_table_that_is_not_there_is_told(orders: Warehouse) -> None:
    with pytest.raises(SourceNotFoundError, match="nowhere"):
        orders.check({"load": "rows > 0"}, table="nowhere")


def test_a_check_that_is_told_to_stop_leaves_nothing(orders: Warehouse) -> None:
    spec, connections = parse_target(orders.url, table="orders")
    place = spec.model_dump(include={"connection", "location"}, exclude_none=True)
    check = QualityCheck.model_validate(
        {"check": "c", "table": "orders", "rules": [{"column": "id", "not_null": True}]} | place
    )
    with pytest.raises(CancelledError):
        run(check, orders.folder, connections=connections, cancel=lambda: True)
    assert not list(orders.folder.glob("quarantine/**/*.parquet"))


TYPES = {
    "bool": ("boolean", "true"),
    "int16": ("smallint", "5"),
    "int64": ("bigint", "9007199254740993"),
    "float": ("double precision", "0.5"),
    "number": ("numeric(20,4)", "12345678901.2345"),
    "text": ("varchar(9)", "'é'"),
    "day": ("date", "'2026-02-03'"),
    "clock": ("time", "'04:05:06'"),
    "moment": ("timestamp", "'2026-02-03 04:05:06.000007'"),
    "instant": ("timestamptz", "'2026-02-03 04:05:06+00'"),
    "token": ("uuid", "'5f0c3f9e-8e3b-4c57-9f2a-0d7a4f6f1a11'"),
    "doc": ("json", "'{\"a\": 1}'"),
    "list": ("integer[]", "'{1,2}'"),
}


def test_values_keep_their_types(warehouse: Warehouse) -> None:
    list_ = "[1, 2]" if warehouse.url.startswith("duckdb") else "'{1,2}'"
    values = [list_ if name == "list" else value for name, (_, value) in TYPES.items()]
    columns = ", ".join(f'"{name}" {of}' for name, (of, _) in TYPES.items())
    nulls = ", ".join(["NULL"] * len(TYPES))
    warehouse.execute(
        f"CREATE TABLE kinds ({columns});INSERT INTO kinds VALUES ({', '.join(values)}), ({nulls})"
    )
    holding = [
        {"column": "bool", "in_set": True},
        {"column": "int16", "between": [5, 5]},
        {"column": "int64", "in_set": 9007199254740993},
        {"column": "float", "between": [0.5, 0.5]},
        {"column": "number", "in_set": "12345678901.2345"},
        {"column": "text", "length": [1, 1]},
        {"column": "day", "in_set": "2026-02-03"},
        {"column": "clock", "in_set": "04:05:06"},
        {"column": "moment", "in_set": "2026-02-03 04:05:06.000007"},
        {"column": "instant", "in_set": "2026-02-03T04:05:06Z"},
        {"column": "token", "unique": True},
        {"rows": "json_extract_string(doc, '$.a') = '1'"},
        {"rows": "len(list) = 2 and list_contains(list, 2)"},
    ]
    report = warehouse.check(*holding, table="kinds")
    assert (report.status, report.rows_checked) == ("passed", 2)
    missing = [{"column": name, "not_null": True} for name in TYPES]
    report = warehouse.check(*missing, table="kinds")
    assert [one.violations for one in report.rules] == [1] * len(TYPES)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_files_are_checked_too(tmp_path: Path, suffix: str) -> None:
    rows = [{"id": 1, "n": 5}, {"id": 2, "n": 50}, {"id": 2, "n": 6}]
    for number in (1, 2):
        path = tmp_path / f"part-{number}.{suffix}"
        if suffix == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif suffix == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            path.write_text("id,n\n" + "".join(f"{row['id']},{row['n']}\n" for row in rows))
    check = QualityCheck(
        check="parts",
        location=f"part-*.{suffix}",
        rules=[{"column": "id", "unique": True}, {"column": "n", "between": [0, 10]}],
    )
    report = run(check, tmp_path)
    assert (report.status, report.rows_checked, report.rows_violating) == ("failed", 6, 5)
    assert found(report) == {"id is unique": 4, "n is between 0 and 10": 2}


def test_what_can_not_be_read_of_a_file_is_a_violation(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,n\n1,2\nonly one\n3,4\n")
    rule = {"column": "id", "not_null": True}
    report = run(QualityCheck(check="a", location="a.csv", rules=[rule]), tmp_path)
    assert (report.rows_checked, report.rows_violating) == (3, 1)
    assert found(report) == {"wrong_field_count": 1}


def test_files_refer_to_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,n\n1,2\n")
    rule = {"column": "id", "references": "t.id"}
    with pytest.raises(NotSupportedYetError, match="needs a database"):
        run(QualityCheck(check="a", location="a.csv", rules=[rule]), tmp_path)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({"rules": [{"load": "rows > 0"}]}, "needs `table`"),
        ({"table": "t", "rules": [{"load": "rows > 0"}]}, "needs `connection`"),
        ({"location": "a.csv", "rules": []}, "nothing to check"),
        (
            {"table": "t", "connection": "c", "format": "csv", "rules": [{"load": "rows > 0"}]},
            "belongs to files",
        ),
    ],
)
def test_a_check_that_makes_no_sense_is_refused(written: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecificationError, match=problem):
        QualityCheck.model_validate({"check": "c"} | written)
