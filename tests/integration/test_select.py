"""A select over named inputs, from files to the target: every row accounted for, the same twice."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from dataclasses import asdict
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.contracts.summary import describe_report
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.check import check_pipeline
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.exceptions import (
    BudgetExceededError,
    CancelledError,
    SelectError,
    SourceError,
    SourceNotFoundError,
    SpecificationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.contracts.report import RunReport


OTHER = {"connection": "warehouse", "table": "other", "mode": "replace"}


class Job:
    """A select over the files of a folder, into a DuckDB file there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "warehouse.duckdb"

    def write(self, name: str, text: str | bytes) -> None:
        (self.folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    def parquet(self, name: str, **columns: Any) -> None:
        pq.write_table(pa.table(columns), self.folder / name)

    def connection(self, name: str) -> Connection:
        return Connection(name, "duckdb", host=str(self.database))

    def pipeline(self, inputs: dict[str, Any], select: str, **more: Any) -> Pipeline:
        plain = {
            name: {"location": given} if isinstance(given, str) else given
            for name, given in inputs.items()
        }
        target = {"connection": "warehouse", "table": "made", "mode": "replace"}
        return Pipeline.model_validate(
            {"pipeline": "made", "inputs": plain, "select": select, "target": target}
            | {"max_rejected": "none", "quarantine": str(self.folder / "quarantine")}
            | more
        )

    def run(
        self,
        inputs: dict[str, Any],
        select: str,
        *,
        cancel: Callable[[], bool] | None = None,
        memory: int = 256 * 2**20,
        **more: Any,
    ) -> RunReport:
        return run_pipeline(
            self.pipeline(inputs, select, **more),
            connections=self.connection,
            run_id="run",
            base=self.folder,
            options=EngineOptions(threads=2, scratch=self.folder, memory_limit=memory),
            clock=lambda: datetime.now(timezone.utc),
            cancel=cancel,
        )

    def rows(self, table: str = "made") -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()

    def stored(self) -> list[tuple[Any, ...]]:
        """The rows as they stand in the table, not sorted."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute("SELECT * FROM made").fetchall()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


ORDERS = "order_id,customer_id,amount\n1,a,10.50\n2,b,x\n3,a,1.25\n4,,3\n5,c,7\n6,a\n7,zz,1\n"

CUSTOMERS = "customer_id,name\na,Ann\nb,Bob\nc,Cy\n"

REVENUE = (
    "select c.customer_id, c.name, count(*) as orders, sum(o.amount) as revenue "
    "from orders o join customers c using (customer_id) group by all"
)

TYPED = {"location": "orders.csv", "fields": {"amount": "decimal(12,2)"}}


@pytest.fixture
def shop(job: Job) -> Job:
    job.write("orders.csv", ORDERS)
    job.write("customers.csv", CUSTOMERS)
    return job


def rejects(report: RunReport) -> list[Reject]:
    return list(read_quarantine(report.quarantine)) if report.quarantine else []


def test_a_join_and_its_sums_are_loaded_and_every_record_is_accounted_for(shop: Job) -> None:
    report = shop.run({"orders": TYPED, "customers": "customers.csv"}, REVENUE)

    assert shop.rows() == [("a", "Ann", 2, Decimal("11.75")), ("c", "Cy", 1, Decimal(7))]
    assert report.select is not None
    assert asdict(report.select) == {"rows_in": {"orders": 5, "customers": 3}, "rows_out": 2}
    by_input = {entry.input: entry for entry in report.inputs}
    assert list(by_input) == ["orders:orders.csv", "customers:customers.csv", "select"]
    orders = by_input["orders:orders.csv"]
    assert (orders.rows_read, orders.rows_quarantined, orders.rows_selected) == (7, 2, 5)
    assert (by_input["select"].rows_read, by_input["select"].rows_loaded) == (2, 2)
    assert report.rows_read == report.accounted == 4
    assert report.reasons == {"not_converted:amount": 1, "wrong_field_count": 1}


def test_what_never_reached_the_select_is_quarantined_with_input_number_and_reason(
    shop: Job,
) -> None:
    report = shop.run({"orders": TYPED, "customers": "customers.csv"}, REVENUE)

    first, second = rejects(report)
    assert (first.input, first.record, first.raw) == ("orders:orders.csv", 2, b"2,b,x")
    assert [(r.code, r.column, r.step) for r in first.reasons] == [
        ("not_converted", "amount", "fields")
    ]
    assert "x" not in first.reasons[0].message.replace("fields", "")
    assert (second.input, second.record, second.raw) == ("orders:orders.csv", 6, b"6,a")


def test_the_report_says_in_words_what_went_in_and_out(shop: Job) -> None:
    report = shop.run({"orders": TYPED, "customers": "customers.csv"}, REVENUE)

    lines = describe_report(report)
    assert "select: 5 of orders, 3 of customers in, 2 out" in lines
    assert (
        "2 rows of the select and 2 records that never reached it = 2 loaded + 2 quarantined"
        in lines
    )


def test_the_plan_works_on_the_columns_of_the_outcome(shop: Job) -> None:
    report = shop.run(
        {"orders": TYPED, "customers": "customers.csv"},
        "select o.order_id, o.amount, c.name from orders o left join customers c "
        "using (customer_id)",
        mapping={
            "contract": "c",
            "target": {"fields": {"id": "int64", "amount": "decimal(12,2)", "who": "string"}},
            "columns": {
                "id": {"from": "order_id", "convert": "cast"},
                "amount": {"from": "amount"},
                "who": {"from": "name", "convert": "upper"},
            },
        },
        filter="order_id <> '3'",
        rules=[{"column": "who", "not_null": True}],
    )

    assert shop.rows() == [(1, Decimal("10.50"), "ANN"), (5, Decimal(7), "CY")]
    assert (report.rows_filtered, report.rows_quarantined, report.rows_loaded) == (1, 4, 2)
    assert report.rows_read == report.accounted == 7
    of_select = [reject for reject in rejects(report) if reject.input == "select"]
    assert [reject.record for reject in of_select] == [3, 5]
    assert json.loads(of_select[0].raw) == {"order_id": "4", "amount": 3.0, "name": None}


def test_the_same_load_again_is_nothing_to_do_and_another_file_select_or_type_is(
    shop: Job,
) -> None:
    inputs = {"orders": TYPED, "customers": "customers.csv"}
    shop.run(inputs, REVENUE)
    assert shop.run(inputs, REVENUE).status == "already_loaded"
    assert shop.run(inputs, REVENUE.replace("count(*)", "2 * count(*)")).status != "already_loaded"
    assert shop.rows()[0][2] == 4

    wider = TYPED | {"fields": {"amount": "decimal(14,2)"}}
    assert shop.run(inputs | {"orders": wider}, REVENUE).status != "already_loaded"
    shop.write("customers.csv", CUSTOMERS.replace("Ann", "Anna"))
    first = shop.run(inputs, REVENUE)
    assert first.status != "already_loaded"
    assert shop.run(inputs, REVENUE).load_id == first.load_id


def test_a_null_key_joins_nothing_but_is_kept_by_an_outer_join(job: Job) -> None:
    job.parquet("a.parquet", k=[1, None, 3], x=["p", "q", "r"])
    job.parquet("b.parquet", k=[1, None, None], y=["s", "t", "u"])
    inputs = {"a": "a.parquet", "b": "b.parquet"}

    job.run(inputs, "select x, y from a join b using (k)")
    assert job.rows() == [("p", "s")]
    report = job.run(inputs, "select x, y from a full join b using (k)")
    assert Counter(job.rows()) == Counter(
        [("p", "s"), ("q", None), ("r", None), (None, "t"), (None, "u")]
    )
    assert report.select is not None
    assert report.select.rows_out == 5
    job.run(inputs, "select x, k as y from a anti join b using (k)", target=OTHER)
    assert job.rows("other") == [("q", None), ("r", 3)]


def test_an_input_may_be_joined_with_itself(job: Job) -> None:
    job.write("people.csv", "id,boss,name\n1,,Ann\n2,1,Bob\n3,1,Cy\n")
    report = job.run(
        {"people": "people.csv"},
        "select p.name, b.name as boss from people p left join people b on b.id = p.boss",
    )
    assert job.rows() == [("Ann", None), ("Bob", "Ann"), ("Cy", "Ann")]
    assert report.select is not None
    assert report.select.rows_in == {"people": 3}


@pytest.mark.parametrize("name", ["select", "Größe 2", "a.b", 'say "hi"', "x'); drop table y; --"])
def test_an_input_may_have_any_name(job: Job, name: str) -> None:
    job.write("a.csv", "id\n1\n2\n")
    quoted = '"' + name.replace('"', '""') + '"'
    report = job.run({name: "a.csv"}, f"select {quoted}.id from {quoted}")
    assert job.rows() == [("1",), ("2",)]
    assert report.inputs[0].input == f"{name}:a.csv"


def test_fields_may_have_any_name_too(job: Job) -> None:
    job.write("a.csv", "_file,_failed,rowid,c0,select\n1,2,3,4,5\nx,2,3,4,5\n")
    report = job.run(
        {"a": {"location": "a.csv", "fields": {"_file": "int64"}}},
        'select _file, _failed, rowid, c0, "select" as s from a',
    )
    assert job.rows() == [(1, "2", "3", "4", "5")]
    assert report.rows_quarantined == 1


def test_an_input_without_rows_gives_an_empty_outcome_or_a_sum_of_nothing(job: Job) -> None:
    job.write("a.csv", "id,n\n")
    job.write("b.csv", "id,name\n1,x\n")
    inputs = {"a": {"location": "a.csv", "fields": {"n": "int64"}, "header_rows": 1}, "b": "b.csv"}

    report = job.run(inputs, "select id, n, name from a join b using (id)")
    assert (report.rows_read, report.rows_loaded) == (0, 0)
    assert report.select is not None
    assert asdict(report.select) == {"rows_in": {"a": 0, "b": 1}, "rows_out": 0}
    job.run({"a": inputs["a"]}, "select count(*) as n, sum(n) as total from a", target=OTHER)
    assert job.rows("other") == [(0, None)]


def test_all_files_of_an_input_are_read_and_numbered_for_themselves(job: Job) -> None:
    job.write("part-1.csv", "id,n\na,1\nb,x\nc,3\n")
    job.write("part-2.csv", "id,n\nd,y\ne,5\nf\n")
    report = job.run(
        {"parts": {"location": "part-*.csv", "fields": {"n": "int64"}, "header_rows": 1,
                   "dialect": {"delimiter": ","}}},
        "select count(*) as rows, sum(n) as total from parts",
    )  # fmt: skip

    assert job.rows() == [(3, Decimal(9))]
    assert [(r.input, r.record, r.raw) for r in rejects(report)] == [
        ("parts:part-1.csv", 2, b"b,x"),
        ("parts:part-2.csv", 1, b"d,y"),
        ("parts:part-2.csv", 3, b"f"),
    ]
    assert [(i.rows_read, i.rows_selected) for i in report.inputs[:-1]] == [(3, 2), (3, 1)]


def test_a_file_with_a_broken_quote_is_read_again_record_by_record(job: Job) -> None:
    lines = [f'{n},"value {n}"' for n in range(3000)]
    lines[1000] = '1000,"no end'
    job.write("a.csv", "id,v\n" + "\n".join(lines) + "\n")
    report = job.run(
        {"a": {"location": "a.csv", "fields": {"id": "int64"}, "header_rows": 1,
               "dialect": {"delimiter": ",", "quote": '"'}}},
        "select count(*) as rows, count(distinct id) as ids, max(id) as last from a",
    )  # fmt: skip
    (read,) = [i for i in report.inputs if i.input == "a:a.csv"]
    assert read.rows_read == read.rows_selected + read.rows_quarantined == 3000
    assert job.rows() == [(read.rows_selected, read.rows_selected, 2999)]
    assert report.rows_quarantined >= 1


def test_json_lines_become_rows_by_unnest(job: Job) -> None:
    carts = [
        {"cart": 1, "items": [{"sku": "A", "q": 2}, {"sku": "B", "q": 1}]},
        {"cart": 2, "items": []},
        {"cart": 3, "items": [{"sku": "A", "q": 5}]},
    ]
    job.write("carts.jsonl", "\n".join(map(json.dumps, carts)))
    report = job.run(
        {"carts": "carts.jsonl"},
        "select cart, json_extract_string(item, '$.sku') as sku, "
        "cast(json_extract_string(item, '$.q') as int) as q "
        "from (select cart, unnest(json_extract(items, '$[*]')) as item from carts)",
    )
    assert job.rows() == [("1", "A", 2), ("1", "B", 1), ("3", "A", 5)]
    assert report.select is not None
    assert (report.select.rows_in, report.select.rows_out) == ({"carts": 3}, 3)


def test_lists_of_parquet_become_rows_in_from(job: Job) -> None:
    job.parquet("a.parquet", id=[1, 2, 3], tags=[["x", "y"], [], None])
    job.run({"a": "a.parquet"}, "select a.id, t.tag from a, unnest(a.tags) as t(tag)")
    assert job.rows() == [(1, "x"), (1, "y")]


def test_a_division_by_zero_quarantines_its_row_alone(job: Job) -> None:
    job.parquet("a.parquet", id=["a", "b", "c"], n=[1.0, 2.0, 0.0], m=[0, 1, 0])
    report = job.run({"a": "a.parquet"}, "select id, n / m as share from a order by id")

    assert job.rows() == [("b", 2.0)]
    assert [(r.input, r.record, r.reasons[0].code, r.reasons[0].column) for r in rejects(report)][
        :1
    ] == [("select", 1, "not_computed", "share")]
    assert json.loads(rejects(report)[0].raw) == {"id": "a", "share": "inf"}
    assert report.rows_read == report.accounted == 3


@pytest.mark.parametrize(
    ("select", "says"),
    [
        ("select cast(v as int) as n from a", "Could not convert string"),
        ("select sum(cast(v as int)) as n from a group by v", "Could not convert string"),
    ],
)
def test_a_cast_that_fails_in_the_select_ends_the_run_without_a_value_in_the_message(
    job: Job, select: str, says: str
) -> None:
    job.write("a.csv", "id,v\n1,secret-17\n")
    with pytest.raises(SelectError, match=says) as error:
        job.run({"a": "a.csv"}, select)
    assert "secret" not in str(error.value)
    assert "17" not in str(error.value)
    assert "`fields`" in str(error.value)
    assert error.value.report is not None
    assert error.value.report.rows_loaded == 0


@pytest.mark.parametrize(
    "value", ["Maria Schmidt\nBerlin", "it's Maria Schmidt, born 3 May", 'Anna "Ann" Schmidt']
)
@pytest.mark.parametrize("type", ["date", "int", "double", "decimal(4, 2)", "timestamp"])
def test_no_part_of_a_value_with_quotes_or_lines_is_in_the_message(
    job: Job, value: str, type: str
) -> None:
    job.parquet("a.parquet", v=[value])
    with pytest.raises(SelectError) as error:
        job.run({"a": "a.parquet"}, f"select cast(v as {type}) as n from a")
    assert not any(word in str(error.value) for word in ("Schmidt", "Berlin", "May", "Ann"))
    assert str(error.value).partition(". ")[0].endswith("from source column v")


def test_a_sum_that_no_type_holds_ends_the_run(job: Job) -> None:
    most = Decimal("9" * 38)
    job.parquet("a.parquet", n=pa.array([most, most], pa.decimal128(38, 0)))
    with pytest.raises(SelectError, match=r"failed|38 digits"):
        job.run({"a": "a.parquet"}, "select sum(n) as n from a")
    assert not job.database.exists() or "made" not in str(job.database)


def test_big_whole_numbers_are_added_up_exactly(job: Job) -> None:
    job.parquet("a.parquet", n=[2**63 - 1] * 5)
    report = job.run({"a": "a.parquet"}, "select sum(n) as n, avg(n) as mean from a")
    assert job.rows()[0][0] == 5 * (2**63 - 1)
    assert report.rows_loaded == 1


def test_the_budget_holds_for_the_inputs_and_for_the_outcome_apart(shop: Job) -> None:
    inputs = {"orders": TYPED, "customers": "customers.csv"}
    with pytest.raises(BudgetExceededError, match="2 of 12 records rejected"):
        shop.run(inputs, REVENUE, max_rejected="10%")
    assert shop.run(inputs, REVENUE, max_rejected="20%").rows_loaded == 2
    rules = [{"column": "orders", "between": [2, 9]}]
    with pytest.raises(BudgetExceededError, match="3 of 12 records rejected"):
        shop.run(inputs, REVENUE, max_rejected="40%", rules=rules)


@pytest.mark.parametrize(
    "select",
    [
        "select k, sum(f) as f, avg(f) as mean from a group by k",
        "select k, string_agg(s) as all_s, list(s order by k) as some from a group by k",
        "select k, arg_max(s, m) as latest, arg_min(s, m) as first from a group by k",
        "select k, s from a order by k limit 100",
        "select k, s from a limit 100",
        "select k, s from (select * from a order by m limit 50) where k < 90",
        "select distinct on (k) k, s, f from a order by k, m desc",
        "select k, s, row_number() over (partition by k order by m) as place from a",
        "select s, count(*) as n from a join b using (k) group by s",
    ],
)
def test_the_same_load_twice_gives_the_same_rows_in_the_same_order(job: Job, select: str) -> None:
    count = 60_000
    job.parquet(
        "a.parquet",
        k=[n * 7919 % 100 for n in range(count)],
        s=[f"s{n * 31 % 1000}" for n in range(count)],
        f=[1 / (1 + n * 7 % 1013) for n in range(count)],
        m=[n % 3 for n in range(count)],
    )
    job.parquet("b.parquet", k=[n % 100 for n in range(500)])
    outcomes = []
    for name in ("first", "second"):
        again = Job(job.folder / name)
        again.folder.mkdir()
        for file in ("a.parquet", "b.parquet"):
            (again.folder / file).write_bytes((job.folder / file).read_bytes())
        again.run({"a": "a.parquet"} | ({"b": "b.parquet"} if "b using" in select else {}), select)
        outcomes.append(again.stored())
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]


def test_a_choice_among_equals_is_made_by_value(job: Job) -> None:
    job.parquet("a.parquet", s=["b", "c", "a", None], m=[5, 5, 1, 9], n=[None, 1, 1, None])
    job.run(
        {"a": "a.parquet"},
        "select arg_max(s, m) as best, arg_min(s, m) as least, arg_max(s, n) as by_n, "
        "string_agg(s, '-') as joined, list(s order by m desc) as listed from a",
    )
    ((best, least, by_n, joined, listed),) = job.rows()
    assert (best, least, by_n, joined) == ("c", "a", "c", "a-b-c")
    assert listed == [None, "b", "c", "a"]


def test_a_join_that_explodes_can_be_stopped(job: Job) -> None:
    job.parquet("a.parquet", k=[1] * 100_000, n=list(range(100_000)))
    until = time.monotonic() + 1
    with pytest.raises(CancelledError):
        job.run(
            {"a": "a.parquet"},
            "select a.n, b.n as other from a join a b using (k)",
            cancel=lambda: time.monotonic() > until,
        )
    assert not list(job.folder.glob("airflow-etl-*"))


def test_a_disk_that_is_full_is_told_as_such(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    real = duckdb.connect

    def little_room(*args: Any, **kwargs: Any) -> Any:
        kwargs["config"] = kwargs.get("config", {}) | (
            {"max_temp_directory_size": "1MB"} if "temp_directory" in kwargs["config"] else {}
        )
        return real(*args, **kwargs)

    monkeypatch.setattr(duckdb, "connect", little_room)
    job.parquet("a.parquet", k=[1] * 700, s=[f"{n:0300}" for n in range(700)])
    with pytest.raises(SelectError, match=r"takes more .*disk.* than there is") as error:
        job.run(
            {"a": "a.parquet"},
            "select a.s, b.s as other from a join a b using (k)",
            memory=64 * 2**20,
        )
    assert "TMPDIR" in str(error.value)
    assert not list(job.folder.glob("airflow-etl-*"))


def test_an_input_that_is_not_there_or_not_as_declared_is_named(shop: Job) -> None:
    customers = {"customers": "customers.csv"}
    with pytest.raises(SourceNotFoundError, match="Input 'orders'"):
        shop.run(customers | {"orders": "missing.csv"}, REVENUE)
    with pytest.raises(SpecificationError, match=r"inputs.orders.fields names 'amnt'"):
        shop.run(customers | {"orders": TYPED | {"fields": {"amnt": "int64"}}}, REVENUE)
    with pytest.raises(SpecificationError, match=r"inputs.orders.fields.amount"):
        shop.run(customers | {"orders": TYPED | {"fields": {"amount": "array<int64>"}}}, REVENUE)


def test_an_input_that_changes_while_it_is_read_fails_the_run(
    shop: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_etl_provider.engines.relational.staging import Staging

    query = Staging._query

    def changed(staging: Staging, relation: str, number: int) -> Any:
        with (shop.folder / "customers.csv").open("a") as file:
            file.write("d,Di\n")
        return query(staging, relation, number)

    monkeypatch.setattr(Staging, "_query", changed)
    with pytest.raises(SourceError, match="changed while it was read"):
        shop.run({"orders": TYPED, "customers": "customers.csv"}, REVENUE)


def test_an_input_that_the_select_does_not_read_is_refused(shop: Job) -> None:
    with pytest.raises(SpecificationError, match="'customers', which the select does not read"):
        shop.run({"orders": TYPED, "customers": "customers.csv"}, "select order_id from orders")


def test_a_check_judges_the_whole_outcome_and_writes_nothing(shop: Job) -> None:
    pipeline = shop.pipeline({"orders": TYPED, "customers": "customers.csv"}, REVENUE)
    found = check_pipeline(pipeline, connections=shop.connection, base=shop.folder, rows=1)
    assert (found.rows, found.rows_good, found.rows_rejected) == (3, 1, 2)
    assert not (shop.folder / "quarantine").exists()
    assert check_pipeline(pipeline, connections=shop.connection, base=shop.folder).rows == 0
    wrong = shop.pipeline({"orders": "orders.csv"}, "select now() as at from orders")
    with pytest.raises(SpecificationError, match="the clock"):
        check_pipeline(wrong, connections=shop.connection, base=shop.folder)


def test_a_merge_by_key_takes_the_first_of_two_rows_in_the_order_of_the_outcome(job: Job) -> None:
    job.parquet("a.parquet", k=["x", "x", "y"], n=[5, 3, 1])
    target = {"connection": "warehouse", "table": "made", "mode": "merge", "key": ["k"]}
    report = job.run({"a": "a.parquet"}, "select k, n from a order by n desc", target=target)
    assert job.rows() == [("x", 5), ("y", 1)]
    (reject,) = rejects(report)
    assert (reject.input, reject.record, reject.reasons[0].code) == ("select", 2, "duplicate_key")


def test_a_sum_after_a_join_with_nothing_can_be_sorted(job: Job) -> None:
    # DuckDB 2.0.0 takes a range from statistics there that the sum does not fit.
    job.parquet("a.parquet", k=["a", "a"], n=[0, 128])
    job.parquet("b.parquet", k=pa.array([], pa.string()))
    job.run(
        {"a": "a.parquet", "b": "b.parquet"},
        "select k, sum(n) as n from a left join b using (k) group by k",
    )
    assert job.rows() == [("a", 128)]


KEYS = st.sampled_from(["a", "b", "c", None])
AMOUNTS = st.one_of(st.none(), st.integers(-999, 999))
ROWS = st.lists(st.tuples(KEYS, AMOUNTS), max_size=12)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(left=ROWS, right=ROWS)
def test_joins_and_groups_give_what_a_slow_python_gives(
    tmp_path_factory: pytest.TempPathFactory,
    left: list[tuple[str | None, int | None]],
    right: list[tuple[str | None, int | None]],
) -> None:
    job = Job(tmp_path_factory.mktemp("property"))
    for name, rows in (("l", left), ("r", right)):
        job.parquet(
            f"{name}.parquet",
            k=pa.array([k for k, _ in rows], pa.string()),
            n=pa.array([n for _, n in rows], pa.int64()),
        )
    report = job.run(
        {"l": "l.parquet", "r": "r.parquet"},
        "select l.k, count(*) as pairs, sum(l.n) as ln, sum(r.n) as rn, max(r.n) as most, "
        "count(distinct r.n) as kinds, min(r.n) filter (where r.n > 0) as above "
        "from l left join r on l.k = r.k group by l.k",
    )
    groups: dict[str | None, list[tuple[int | None, int | None]]] = defaultdict(list)
    for k, n in left:
        found = [m for other, m in right if k is not None and other == k]
        groups[k] += [(n, m) for m in found] or [(n, None)]
    expected = []
    for k, pairs in groups.items():
        ls = [n for n, _ in pairs if n is not None]
        rs = [m for _, m in pairs if m is not None]
        above = [m for m in rs if m > 0]
        expected.append(
            (
                k,
                len(pairs),
                sum(ls) if ls else None,
                sum(rs) if rs else None,
                max(rs, default=None),
                len(set(rs)),
                min(above, default=None),
            )
        )
    assert Counter(job.rows()) == Counter(expected)
    assert report.select is not None
    assert report.select.rows_in == {"l": len(left), "r": len(right)}
    assert report.rows_read == report.accounted == len(groups)
