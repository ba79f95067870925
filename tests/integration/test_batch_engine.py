"""The engine from files to a DuckDB table: what is loaded, what is not, and that it adds up."""

from __future__ import annotations

import gzip
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, Window, run_pipeline
from airflow_etl_provider.engines.quarantine import list_quarantines, read_quarantine
from airflow_etl_provider.exceptions import (
    BudgetExceededError,
    CancelledError,
    LoadRuleError,
    SourceFormatError,
    SpecificationError,
    TargetDataError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.report import RunReport

FIELDS = {"id": "int64", "name": "string", "amount": "decimal(12,2)", "at": "timestamp"}

COLUMNS: dict[str, Any] = {
    "id": {"from": "id", "convert": "cast"},
    "name": {"from": "name", "convert": "trim"},
    "amount": {"from": "amount", "convert": {"parse_decimal": {"decimal": ","}}},
    "at": {"from": "at", "convert": "cast"},
}

HEADER = "id;name;amount;at\n"


class Job:
    """One pipeline over a folder, a target file and a quarantine of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "warehouse.duckdb"

    def write(self, text: str, name: str = "orders.csv") -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8", newline="")
        return path

    def pipeline(self, **changes: Any) -> Pipeline:
        columns = changes.pop("columns", COLUMNS)
        source = {
            "location": str(self.folder / "*.csv"),
            "format": "csv",
            "dialect": {"delimiter": ";"},
        } | changes.pop("source", {})
        target = {"connection": "warehouse", "table": "orders"} | changes.pop("target", {})
        contract = {
            "contract": "orders",
            "status": "approved",
            "target": {"fields": {name: FIELDS[name] for name in columns}},
            "columns": columns,
        }
        return Pipeline.model_validate(
            {"pipeline": "orders", "source": source, "target": target, "mapping": contract}
            | changes
        )

    def run(self, pipeline: Pipeline | None = None, **arguments: Any) -> RunReport:
        return run_pipeline(
            pipeline or self.pipeline(),
            connections=arguments.pop(
                "connections", lambda name: Connection(name, "duckdb", host=str(self.database))
            ),
            run_id=arguments.pop("run_id", "run-1"),
            base=self.folder,
            options=EngineOptions(quarantine_home=self.folder / "quarantine"),
            clock=lambda: datetime.now(timezone.utc),
            **arguments,
        )

    def rows(self, columns: str = "*") -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(f"SELECT {columns} FROM orders ORDER BY id").fetchall()

    def rejects(self, report: RunReport) -> list[tuple[int, set[str]]]:
        assert report.quarantine is not None
        return [
            (
                reject.record,
                {f"{r.code}:{r.column}" if r.column else r.code for r in reject.reasons},
            )
            for reject in read_quarantine(report.quarantine)
        ]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_good_rows_are_loaded_and_bad_ones_quarantined_with_every_reason(job: Job) -> None:
    job.write(
        HEADER + "1; Ada ;1,50;2024-01-01 10:00:00\n"
        "x;Bob;zwei;2024-01-02 10:00:00\n"
        "3;Cy;2,50;2024-01-03 10:00:00;too;many\n"
        "4;Di;3,50;2024-02-30 10:00:00\n"
        "5;;;\n"
    )
    report = job.run()
    assert (report.status, report.rows_read, report.rows_loaded, report.rows_quarantined) == (
        "done_with_rejects",
        5,
        2,
        3,
    )
    assert report.accounted == report.rows_read
    assert job.rows("id, name, amount::VARCHAR") == [(1, "Ada", "1.50"), (5, None, None)]
    assert job.rejects(report) == [
        (2, {"not_converted:id", "not_converted:amount"}),
        (3, {"wrong_field_count"}),
        (4, {"not_converted:at"}),
    ]
    assert report.reasons == {
        "not_converted:id": 1,
        "not_converted:amount": 1,
        "wrong_field_count": 1,
        "not_converted:at": 1,
    }


def test_a_quarantined_row_keeps_its_fields_and_a_record_of_the_same_dialect(job: Job) -> None:
    job.write(HEADER + 'x;"a;b";1,5;\n')
    report = job.run()
    assert report.quarantine is not None
    (reject,) = read_quarantine(report.quarantine)
    assert reject.fields == {"id": "x", "name": "a;b", "amount": "1,5", "at": None}
    assert reject.raw.decode().rstrip("\r\n") == 'x;"a;b";1,5;'


def test_a_quarantine_stays_in_the_folder_of_its_connection(job: Job, tmp_path: Path) -> None:
    job.write(HEADER + "x;Ada;1,50;2024-01-01 10:00:00\n")
    shop = Connection("shop", "fs", extra={"path": str(tmp_path)})
    others = Connection("warehouse", "duckdb", host=str(job.database))

    def run(location: str) -> RunReport:
        return job.run(
            job.pipeline(quarantine={"location": location, "connection": "shop"}),
            connections=lambda name: shop if name == "shop" else others,
        )

    report = run("rejected/orders")
    assert report.quarantine is not None
    assert report.quarantine.startswith(str(tmp_path / "rejected" / "orders"))
    for location in ("../elsewhere", "/elsewhere", "file:///elsewhere", "~/elsewhere"):
        with pytest.raises(SpecificationError, match=r"leads out|already names a folder"):
            run(location)


def test_filtered_rows_are_counted_and_never_quarantined(job: Job) -> None:
    job.write(HEADER + "1;test;1;\n2;Ada;2;\nx;test;3;\n4;;4;\n")
    report = job.run(job.pipeline(filter="name is distinct from 'test'"))
    assert (report.rows_loaded, report.rows_filtered, report.rows_quarantined) == (2, 2, 0)
    report = job.run(job.pipeline(filter="name <> 'test'", target={"mode": "replace"}))
    assert (report.rows_loaded, report.rows_filtered) == (1, 3)


def test_a_data_interval_takes_its_rows_and_nobody_elses(job: Job) -> None:
    job.write(
        HEADER + "1;a;1;2024-01-01 23:59:59\n2;b;2;2024-01-02 00:00:00\n"
        "3;c;3;2024-01-03 00:00:00\n4;d;4;\n"
    )
    pipeline = job.pipeline(
        source={"incremental": {"by": "data_interval", "column": "at"}},
    )
    day = Window(
        datetime(2024, 1, 2, tzinfo=timezone.utc), datetime(2024, 1, 3, tzinfo=timezone.utc)
    )
    report = job.run(pipeline, window=day)
    assert [row[0] for row in job.rows("id")] == [2]
    assert (report.rows_filtered, report.rows_quarantined) == (2, 1)
    assert job.rejects(report) == [(4, {"null_not_allowed:at"})]
    with pytest.raises(SpecificationError, match="data interval"):
        job.run(pipeline)


def test_rules_quarantine_warn_or_fail(job: Job) -> None:
    job.write(HEADER + "1;Ada;1;\n2;B;-2;\n3;;3;\n")
    rules = [
        {"column": "amount", "between": [0, None]},
        {"column": "name", "length": [2, None], "severity": "warn"},
        {"column": "name", "not_null": True, "severity": "warn"},
        {"rows": "amount < 100"},
        {"load": "rows >= 2"},
    ]
    report = job.run(job.pipeline(rules=rules))
    assert report.reasons == {"rule:between:amount": 1}
    assert report.warnings == {"rule:not_null:name": 1}
    with pytest.raises(LoadRuleError, match="rows >= 9") as caught:
        job.run(job.pipeline(rules=[{"load": "rows >= 9"}], target={"mode": "replace"}))
    assert caught.value.report is not None
    assert [row[0] for row in job.rows("id")] == [1, 3]


def test_a_row_rule_of_severity_fail_publishes_nothing(job: Job) -> None:
    job.write(HEADER + "1;Ada;1;\n2;B;-2;\n")
    rules = [{"column": "amount", "between": [0, None], "severity": "fail"}]
    with pytest.raises(LoadRuleError, match=r"amount is below 0 \(1 rows\)"):
        job.run(job.pipeline(rules=rules))
    (info,) = list_quarantines(f"{job.database}.quarantine")
    assert info.status == "not_published"


@pytest.mark.parametrize(("share", "fails"), [(0.5, False), (0.49, True)])
def test_the_share_of_nulls_is_a_rule_on_the_load(job: Job, share: float, fails: bool) -> None:
    job.write(HEADER + "1;Ada;1;\n2;;2;\n")
    pipeline = job.pipeline(rules=[{"column": "name", "max_null_share": share}])
    if fails:
        with pytest.raises(LoadRuleError, match="name is null"):
            job.run(pipeline)
    else:
        assert job.run(pipeline).status == "done"


def test_the_first_of_equal_keys_survives_among_rows_that_would_be_loaded(job: Job) -> None:
    job.write(HEADER + "1;first;oops;\n1;second;1;\n1;third;2;\n2;b;3;\n")
    job.write(HEADER + "2;other file;4;\n3;c;5;\n", "second.csv")
    report = job.run(job.pipeline(rules=[{"column": "id", "unique": True}]))
    assert job.rows("id, name") == [(1, "second"), (2, "b"), (3, "c")]
    assert report.reasons == {"not_converted:amount": 1, "rule:unique:id": 2}
    assert report.accounted == report.rows_read == 6


def test_merge_quarantines_repeated_keys_unless_the_newest_is_asked_for(job: Job) -> None:
    job.write(
        HEADER + "1;old;1;2024-01-01 00:00:00\n1;new;2;2024-01-03 00:00:00\n"
        "1;middle;3;2024-01-02 00:00:00\n;nobody;4;\n"
    )
    target = {"mode": "merge", "key": "id"}
    report = job.run(job.pipeline(target=target))
    assert job.rows("id, name") == [(1, "old")]
    assert report.reasons == {"duplicate_key:id": 2, "null_not_allowed:id": 1}
    job.database.unlink()
    report = job.run(job.pipeline(target=target | {"latest_by": "at"}))
    assert job.rows("id, name") == [(1, "new")]
    assert (report.rows_deduplicated, report.rows_quarantined) == (2, 1)
    assert report.accounted == report.rows_read == 4


def test_a_unique_rule_of_severity_warn_keeps_the_rows(job: Job) -> None:
    job.write(HEADER + "1;a;1;\n1;b;2;\n")
    report = job.run(job.pipeline(rules=[{"column": "id", "unique": True, "severity": "warn"}]))
    assert (report.rows_loaded, report.warnings) == (2, {"rule:unique:id": 1})


def test_over_the_budget_nothing_is_published_and_the_rejects_stay(job: Job) -> None:
    job.write(HEADER + "1;a;1;\n2;b;x;\n")
    with pytest.raises(BudgetExceededError, match="1 of 2 records") as caught:
        job.run(job.pipeline(max_rejected=0))
    report = caught.value.report
    assert report is not None
    assert report.status == "failed"
    assert report.quarantine is not None
    assert job.rejects(report) == [(2, {"not_converted:amount"})]
    with pytest.raises(duckdb.CatalogException):
        job.rows()


def test_what_does_not_convert_may_become_null_or_a_default_when_asked(job: Job) -> None:
    job.write(HEADER + "1;a;x;\n2;b;2;\n")
    columns = COLUMNS | {"amount": COLUMNS["amount"] | {"on_failure": "null"}}
    report = job.run(job.pipeline(columns=columns))
    assert job.rows("id, amount::VARCHAR") == [(1, None), (2, "2.00")]
    assert report.warnings == {"on_failure:amount": 1}
    columns = COLUMNS | {"amount": COLUMNS["amount"] | {"on_failure": "default", "default": 9}}
    report = job.run(job.pipeline(columns=columns, target={"mode": "replace"}))
    assert job.rows("id, amount::VARCHAR") == [(1, "9.00"), (2, "2.00")]


def test_a_value_outside_its_condition_is_null_and_rejects_nothing(job: Job) -> None:
    job.write(HEADER + "1;a;x;\n2;b;2;\n")
    columns = COLUMNS | {"amount": COLUMNS["amount"] | {"when": "name = 'b'"}}
    report = job.run(job.pipeline(columns=columns))
    assert job.rows("id, amount::VARCHAR") == [(1, None), (2, "2.00")]
    assert report.rows_quarantined == 0


def test_sql_steps_see_source_fields_first_and_the_value_afterwards(job: Job) -> None:
    job.write(HEADER + "1;a;2;\n")
    columns = COLUMNS | {
        "name": {
            "from": ["name", "id"],
            "convert": [{"sql": "name || id"}, {"sql": "upper(value)"}],
        }
    }
    job.run(job.pipeline(columns=columns))
    assert job.rows("name") == [("A1",)]


def test_the_same_load_again_is_nothing_to_do_and_other_input_is_another_load(job: Job) -> None:
    job.write(HEADER + "1;a;1;\n")
    first = job.run()
    again = job.run(run_id="run-2")
    assert again.status == "already_loaded"
    assert (again.load_id, again.rows_loaded) == (first.load_id, 1)
    job.write(HEADER + "2;b;2;\n", "more.csv")
    other = job.run(run_id="run-3")
    assert other.load_id != first.load_id
    assert len(job.rows()) == 3


def test_replacing_a_then_b_then_a_again_ends_with_a(job: Job) -> None:
    paths = {"a": HEADER + "1;a;1;\n", "b": HEADER + "2;b;2;\n"}
    for number, name in enumerate("aba"):
        path = job.write(paths[name], f"{name}.csv") if number < 2 else job.folder / "a.csv"
        pipeline = job.pipeline(source={"location": str(path)}, target={"mode": "replace"})
        job.run(pipeline, run_id=f"run-{number}")
    assert job.rows("id") == [(1,)]


def test_a_cancelled_run_leaves_nothing_behind(job: Job) -> None:
    job.write(HEADER + "".join(f"{n};a;{n};\n" for n in range(1_000)) + "x;;;\n")
    with pytest.raises(CancelledError):
        job.run(cancel=lambda: True)
    assert list_quarantines(f"{job.database}.quarantine") == []
    with pytest.raises(duckdb.CatalogException):
        job.rows()


def test_an_unterminated_quote_loses_no_record(job: Job) -> None:
    lines = [f"{n};name {n};{n};\n" for n in range(1, 2_001)]
    lines[700] = '701;"name 701;701;\n'
    job.write(HEADER + "".join(lines))
    report = job.run(job.pipeline(source={"dialect": {"delimiter": ";", "quote": '"'}}))
    assert report.rows_read == 2_000
    assert report.accounted == 2_000
    assert report.rows_loaded >= 1_990
    assert report.reasons.get("broken_quote", 0) >= 1


def test_progress_is_told_and_ends_with_all_rows(job: Job) -> None:
    job.write(HEADER + "1;a;1;\nx;b;2;\n")
    told: list[Any] = []
    job.run(progress=told.append)
    assert told[-1].rows_read == 2
    assert told[-1].rows_rejected == 1


def test_a_contract_that_names_a_missing_field_says_which_is_near(job: Job) -> None:
    job.write(HEADER + "1;a;1;\n")
    columns = COLUMNS | {"name": {"from": "nane"}}
    with pytest.raises(SpecificationError, match=r"'nane'.*Did you mean 'name'"):
        job.run(job.pipeline(columns=columns))


def test_hostile_names_and_values_are_only_text(job: Job) -> None:
    evil = 'x"); DROP TABLE orders; --'
    job.write(f'id;"{evil.replace(chr(34), chr(34) * 2)}"\n1;"\'; DROP TABLE orders; --"\n')
    columns: dict[str, Any] = {
        "id": {"from": "id", "convert": "cast"},
        "name": {"from": evil, "convert": {"replace": {"old": "'", "new": '"'}}},
    }
    report = job.run(
        job.pipeline(
            source={"dialect": {"delimiter": ";", "quote": '"'}},
            columns=columns,
            rules=[{"column": "name", "in_set": ["'; --"], "severity": "warn"}],
        )
    )
    assert report.rows_loaded == 1
    assert job.rows("name") == [('"; DROP TABLE orders; --',)]


def test_a_value_that_does_not_convert_is_not_also_counted_as_missing(job: Job) -> None:
    job.write(HEADER + "1;Ada;zwei;\n2;Bob;;\n")
    report = job.run(job.pipeline(rules=[{"column": "amount", "not_null": True}]))
    assert job.rejects(report) == [
        (1, {"not_converted:amount"}),
        (2, {"rule:not_null:amount"}),
    ]


def test_a_date_that_does_not_convert_is_not_also_outside_of_the_interval(job: Job) -> None:
    job.write(HEADER + "1;Ada;1,5;2024-02-30 10:00:00\n")
    day = datetime(2024, 1, 1, tzinfo=timezone.utc)
    report = job.run(
        job.pipeline(source={"incremental": {"by": "data_interval", "column": "at"}}),
        window=Window(day, datetime(2025, 1, 1, tzinfo=timezone.utc)),
    )
    assert [reasons for _, reasons in job.rejects(report)] == [{"not_converted:at"}]


def test_what_the_contract_leaves_out_knowingly_is_not_reported_as_unmapped(job: Job) -> None:
    job.write("id;name;legacy\n1;Ada;x\n")
    contract: dict[str, Any] = {
        "contract": "orders",
        "source": {"fields": {"id": "string", "name": "string", "legacy": "string"}},
        "target": {"fields": {"id": "int64"}},
        "columns": {"id": {"from": "id", "convert": "cast"}},
    }
    assert job.run(job.pipeline(mapping=contract)).unmapped == ("name", "legacy")
    contract["unmapped"] = {"source": ["legacy"]}
    assert job.run(job.pipeline(mapping=contract), run_id="run-2").unmapped == ("name",)


def test_a_record_whose_condition_can_not_be_computed_is_neither_dropped_nor_passed(
    job: Job,
) -> None:
    job.write(HEADER + "0;Ada;1;\n1;Bob;1;\n5;Cy;1;\n;Di;1;\n")
    rest: dict[str, Any] = {"max_rejected": "none", "target": {"mode": "replace"}}
    ratio = "10 // cast(id as bigint) > 3"
    report = job.run(job.pipeline(filter=ratio, **rest))
    assert (report.rows_loaded, report.rows_filtered, report.rows_quarantined) == (1, 2, 1)
    assert job.rejects(report) == [(1, {"not_computed"})]

    columns = COLUMNS | {"name": {"from": "name", "when": ratio}}
    report = job.run(job.pipeline(columns=columns, **rest), run_id="run-2")
    assert job.rejects(report) == [(1, {"not_computed:name"})]

    # `on_failure` is about values that do not convert; no condition says what this one shall be.
    columns["name"] = columns["name"] | {"on_failure": "null"}
    report = job.run(job.pipeline(columns=columns, **rest), run_id="run-4")
    assert job.rejects(report) == [(1, {"not_computed:name"})]

    rules = [{"rows": "10 // id > 3"}]
    report = job.run(job.pipeline(rules=rules, **rest), run_id="run-3")
    assert job.rejects(report) == [(1, {"rule:rows"}), (3, {"rule:rows"})]


def test_an_archive_that_was_cut_off_is_told_as_that_on_either_road(job: Job) -> None:
    lines = "".join(f"{n};{n * 7919 % 10007};1,5;2024-01-01 10:00:00\n" for n in range(200_000))
    for name, text in (("plain", HEADER + lines), ("careful", HEADER + 'x";"\n' + lines)):
        packed = gzip.compress(text.encode())
        path = job.folder / f"{name}.csv.gz"
        path.write_bytes(packed[: len(packed) // 2])
        source = {"location": str(path)}
        with pytest.raises(SourceFormatError, match=r"can't be unpacked as gzip"):
            job.run(job.pipeline(source=source, max_rejected="none"))


def test_rejects_of_a_load_that_the_target_refused_stay_and_are_named(job: Job) -> None:
    with duckdb.connect(str(job.database)) as connection:
        connection.execute(
            "CREATE TABLE orders (id bigint PRIMARY KEY CHECK (id < 100), name text, "
            'amount decimal(12,2), "at" timestamp)'
        )
    job.write(HEADER + "1;Ada;1;\nx;Bob;1;\n100;Cy;1;\n")
    with pytest.raises(TargetDataError) as refused:
        job.run(job.pipeline(target={"mode": "merge", "key": ["id"]}, max_rejected="none"))
    report = refused.value.report
    assert report is not None
    assert job.rejects(report) == [(2, {"not_converted:id"})]
    (kept,) = list_quarantines(str(report.quarantine))
    assert (kept.location, kept.status) == (report.quarantine, "not_published")
    assert job.rows() == []
