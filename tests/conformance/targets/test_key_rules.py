"""Rules that look at tables of the target: `unique` in append mode, and `references`."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.engines.targets import parse_target
from airflow_etl_provider.exceptions import (
    LoadRuleError,
    NotSupportedYetError,
    TargetChangedError,
    TargetMissingError,
    TargetSchemaError,
)
from tests.conformance.targets.cases import KINDS, Kind, Place, make_place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.contracts.report import RunReport

Record = dict[str, Any]

DATABASES = [
    pytest.param(
        kind, id=kind.name, marks=[pytest.mark.postgres] if kind.name == "postgres" else []
    )
    for kind in KINDS
    if kind.name in ("duckdb", "postgres")
]


class Shop:
    """A database, and files to load into its table `orders`."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder = place, folder
        self.files = 0

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self.place.execute(statement)

    def load(
        self,
        records: list[Record] | str,
        *rules: Record,
        progress: Callable[[Any], None] | None = None,
        target: Record | None = None,
        **more: Any,
    ) -> RunReport:
        self.files += 1
        path = self.folder / f"input-{self.files}.csv"
        path.write_text(records if isinstance(records, str) else as_csv(records), encoding="utf-8")
        return self.load_file(path, *rules, progress=progress, target=target, **more)

    def load_file(
        self,
        path: Path,
        *rules: Record,
        progress: Callable[[Any], None] | None = None,
        target: Record | None = None,
        **more: Any,
    ) -> RunReport:
        spec, connections = parse_target(self.place.url, table=self.place.table)
        pipeline = Pipeline.model_validate(
            {
                "pipeline": "orders",
                "source": {"location": str(path), "format": "csv"},
                "target": spec.model_dump(exclude_defaults=True)
                | {"mode": "append"}
                | (target or {}),
                "rules": list(rules),
                "max_rejected": "none",
                "quarantine": str(self.folder / "quarantine"),
            }
            | more
        )
        return run_pipeline(
            pipeline,
            connections=connections,
            run_id=f"run-{self.files}",
            options=EngineOptions(threads=2),
            clock=lambda: datetime.now(timezone.utc),
            progress=progress,
        )


def as_csv(records: list[Record]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def ids(*numbers: int | None, **more: Any) -> list[Record]:
    return [{"id": number, "name": f"n{number}"} | more for number in numbers]


def rejects(report: RunReport) -> list[Reject]:
    return [] if report.quarantine is None else list(read_quarantine(report.quarantine))


def positions(report: RunReport) -> list[int]:
    return [reject.record for reject in rejects(report)]


@pytest.fixture(params=DATABASES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    return Shop(make_place(request.param, request, tmp_path), tmp_path)


UNIQUE = {"column": "id", "unique": True}
TABLE = "CREATE TABLE orders (id bigint, name varchar)"
CUSTOMERS = "CREATE TABLE customers (id bigint PRIMARY KEY)"
REFERS = {"column": "customer", "references": "customers.id"}


def test_what_the_table_has_already_is_rejected_with_its_place_and_text(shop: Shop) -> None:
    assert shop.load(ids(1, 2, 3), UNIQUE).rows_loaded == 3
    report = shop.load(ids(9, 2, 8, 3), UNIQUE)
    assert (report.rows_loaded, report.rows_quarantined, report.accounted) == (2, 2, 4)
    assert report.reasons == {"rule:unique:id": 2}
    first, second = rejects(report)
    assert (first.record, first.raw) == (2, b"2,n2")
    assert (second.record, second.raw) == (4, b"3,n3")
    assert first.reasons[0].message == "id is in the target already"
    assert shop.place.rows("id") == [(str(n),) for n in (1, 2, 3, 8, 9)]


def test_a_key_that_is_there_and_twice_in_the_load_is_rejected_twice(shop: Shop) -> None:
    shop.load(ids(1), UNIQUE)
    report = shop.load(ids(1, 5, 1, 5), UNIQUE)
    assert positions(report) == [1, 3, 4]
    messages = [[reason.message for reason in reject.reasons] for reject in rejects(report)]
    twice = "id occurs in an earlier record"
    assert messages == [
        ["id is in the target already"],
        [twice, "id is in the target already"],
        [twice],
    ]
    assert report.reasons == {"rule:unique:id": 3}


def test_a_warning_counts_a_row_once_and_loads_it(shop: Shop) -> None:
    rule = UNIQUE | {"severity": "warn"}
    shop.load(ids(1, 2), rule)
    report = shop.load(ids(1, 1, 2, 3), rule)
    assert (report.rows_loaded, report.warnings) == (4, {"rule:unique:id": 3})


def test_a_rule_that_fails_publishes_nothing(shop: Shop) -> None:
    shop.load(ids(1), UNIQUE)
    with pytest.raises(LoadRuleError, match="id is in the target already"):
        shop.load(ids(1, 2), UNIQUE | {"severity": "fail"})
    assert shop.place.rows("id") == [("1",)]


def test_several_columns_are_a_key_together_and_null_is_none(shop: Shop) -> None:
    rule = {"columns": ["id", "line"], "unique": True}
    records = [{"id": 1, "line": 1}, {"id": 1, "line": 2}, {"id": 2, "line": None}]
    shop.load(records, rule)
    report = shop.load([*records, {"id": 2, "line": 1}], rule)
    assert positions(report) == [1, 2]
    assert report.reasons == {"rule:unique:id,line": 2}


@pytest.mark.parametrize("there", [None, TABLE])
def test_into_a_table_that_is_empty_or_missing_everything_goes(
    shop: Shop, there: str | None
) -> None:
    if there is not None:
        shop.execute(there)
    report = shop.load(ids(1, 2, 2), UNIQUE)
    assert (report.rows_loaded, positions(report)) == (2, [3])


def test_what_is_replaced_is_no_obstacle(shop: Shop) -> None:
    shop.load(ids(1, 2), UNIQUE)
    report = shop.load(ids(2, 3), UNIQUE, target={"mode": "replace"})
    assert (report.rows_loaded, report.rows_quarantined) == (2, 0)


def test_an_earlier_load_that_is_replaced_is_no_obstacle(shop: Shop) -> None:
    again = {"on_reload": "replace_load", "load_columns": True}
    path = shop.folder / "same.csv"
    path.write_text(as_csv(ids(1, 2)), encoding="utf-8")
    shop.load(ids(7), UNIQUE, target=again)
    assert shop.load_file(path, UNIQUE, target=again).rows_loaded == 2
    # The same input under another definition is the same load anew.
    report = shop.load_file(path, UNIQUE, target=again, filter="id <> '0'")
    assert (report.rows_loaded, report.rows_quarantined) == (2, 0)
    report = shop.load(ids(7, 2, 8), UNIQUE, target=again)
    assert positions(report) == [1, 2]


@pytest.mark.parametrize("there", [[1, 2], []])
def test_what_others_bring_after_the_look_stops_the_load_until_it_runs_again(
    shop: Shop, there: list[int]
) -> None:
    shop.execute(TABLE)
    if there:
        shop.load(ids(*there), UNIQUE)
    path = shop.folder / "race.csv"
    path.write_text(as_csv(ids(2, 5, 6)), encoding="utf-8")

    def somebody_else(progress: Any) -> None:
        if progress.stage == "publishing":
            shop.execute("INSERT INTO orders VALUES (5, 'theirs')")

    with pytest.raises(TargetChangedError, match="Run again") as failure:
        shop.load_file(path, UNIQUE, progress=somebody_else)
    if there:
        assert failure.value.report is not None
        assert failure.value.report.quarantine is not None
    report = shop.load_file(path, UNIQUE)
    assert report.reasons == {"rule:unique:id": 1 + len(there) // 2}
    rows = [(str(n),) for n in sorted({*there, 2, 5, 6})]
    assert shop.place.rows("id") == rows


def test_others_may_bring_other_keys_meanwhile(shop: Shop) -> None:
    shop.load(ids(1, 2), UNIQUE)

    def somebody_else(progress: Any) -> None:
        if progress.stage == "publishing":
            shop.execute("INSERT INTO orders VALUES (99, 'theirs')")

    report = shop.load(ids(2, 5), UNIQUE, progress=somebody_else)
    assert (report.rows_loaded, report.rows_quarantined) == (1, 1)


def test_a_reference_to_nothing_is_rejected(shop: Shop) -> None:
    shop.execute(CUSTOMERS, "INSERT INTO customers VALUES (1), (2)")
    records = [{"id": n, "customer": c} for n, c in enumerate([1, 3, None, 2, 3], 1)]
    report = shop.load(records, REFERS)
    assert (report.rows_loaded, report.accounted) == (3, 5)
    assert report.reasons == {"rule:references:customer": 2}
    assert [(r.record, r.raw) for r in rejects(report)] == [(2, b"2,3"), (5, b"5,3")]
    assert rejects(report)[0].reasons[0].message == "customer is not in customers.id"


@pytest.mark.parametrize("mode", ["append", "replace", "merge"])
def test_references_hold_in_every_mode(shop: Shop, mode: str) -> None:
    shop.execute(CUSTOMERS, "INSERT INTO customers VALUES (1)")
    target = {"mode": mode} | ({"key": ["id"]} if mode == "merge" else {})
    records = [{"id": 1, "customer": 1}, {"id": 2, "customer": 2}]
    assert positions(shop.load(records, REFERS, target=target)) == [2]


def test_a_record_that_deletes_refers_to_nothing(shop: Shop) -> None:
    shop.execute(CUSTOMERS, "INSERT INTO customers VALUES (1)")
    target = {"mode": "merge", "key": ["id"], "deletes": {"when": "op = 'd'"}}
    contract = {
        "contract": "orders",
        "target": {"fields": {"id": "int64", "customer": "int64"}},
        "columns": {
            "id": {"from": "id", "convert": "parse_int"},
            "customer": {"from": "customer", "convert": "parse_int"},
        },
    }
    first = [{"id": 1, "customer": 1, "op": "i"}, {"id": 2, "customer": 9, "op": "i"}]
    assert positions(shop.load(first, REFERS, target=target, mapping=contract)) == [2]
    again = [{"id": 1, "customer": 9, "op": "d"}]
    report = shop.load(again, REFERS, target=target, mapping=contract)
    assert (report.rows_quarantined, shop.place.rows("id")) == (0, [])


def test_a_reference_of_severity_warn_is_counted(shop: Shop) -> None:
    shop.execute(CUSTOMERS)
    report = shop.load([{"id": 1, "customer": 1}], REFERS | {"severity": "warn"})
    assert (report.rows_loaded, report.warnings) == (1, {"rule:references:customer": 1})


def test_a_key_of_several_columns_is_referred_to_as_a_whole(shop: Shop) -> None:
    shop.execute(
        "CREATE TABLE stock (place varchar, item bigint)",
        "INSERT INTO stock VALUES ('a', 1), ('b', 2)",
    )
    rule = {
        "columns": ["place", "item"],
        "references": {"table": "stock", "columns": ["place", "item"]},
    }
    records = [
        {"place": "a", "item": 1},
        {"place": "a", "item": 2},
        {"place": "b", "item": None},
        {"place": "b", "item": 2},
    ]
    assert positions(shop.load(records, rule)) == [2]


@pytest.mark.parametrize(
    ("reference", "error", "words"),
    [
        ("nowhere.id", TargetMissingError, "references the table nowhere"),
        ("customers.number", TargetMissingError, "column 'number' of .*customers"),
        ("customers.name", TargetSchemaError, "'customer' is int64 and 'name' of .* is string"),
    ],
)
def test_a_reference_that_can_not_be_followed_stops_the_load_before_it_reads(
    shop: Shop, reference: str, error: type[Exception], words: str
) -> None:
    shop.execute("CREATE TABLE customers (id bigint, name varchar)")
    with pytest.raises(error, match=words):
        shop.load([{"id": 1, "customer": 1}], REFERS | {"references": reference})
    assert shop.place.rows("id") is None


def test_a_row_that_is_refused_takes_no_key_from_another(shop: Shop) -> None:
    shop.execute(CUSTOMERS, "INSERT INTO customers VALUES (1)")
    records = [{"id": 7, "customer": 9}, {"id": 7, "customer": 1}]
    report = shop.load(records, UNIQUE, REFERS)
    assert positions(report) == [1]
    assert shop.place.rows("id", "customer") == [("7", "1")]


PARENT = {"column": "parent", "references": "orders.id"}


def tree(*pairs: tuple[int, int | None]) -> list[Record]:
    return [{"id": node, "parent": parent} for node, parent in pairs]


@pytest.mark.parametrize("mode", ["append", "replace", "merge"])
def test_a_table_that_refers_to_itself_finds_rows_of_the_load(shop: Shop, mode: str) -> None:
    target = {"mode": mode} | ({"key": ["id"]} if mode == "merge" else {})
    records = tree((3, 2), (2, 1), (1, None), (6, 5), (5, 4), (7, 7))
    report = shop.load(records, PARENT, target=target)
    # 4 is nowhere, so 5 goes, and 6 with it.
    assert positions(report) == [4, 5]
    assert report.reasons == {"rule:references:parent": 2}
    report = shop.load(tree((9, 3), (10, 6)), PARENT, target=target)
    assert positions(report) == ([1, 2] if mode == "replace" else [2])


def test_a_parent_that_another_rule_rejects_takes_its_children_along(shop: Shop) -> None:
    low = {"column": "id", "between": [None, 100]}
    report = shop.load(tree((1, None), (200, None), (2, 200), (3, 2), (4, 1)), PARENT, low)
    assert positions(report) == [2, 3, 4]


def test_a_reference_to_itself_that_warns_leaves_all_rows(shop: Shop) -> None:
    report = shop.load(tree((1, 9), (2, 1)), PARENT | {"severity": "warn"})
    assert (report.rows_loaded, report.warnings) == (2, {"rule:references:parent": 1})


def test_more_keys_than_one_batch_holds_are_looked_up(shop: Shop) -> None:
    rows = "SELECT i AS id, 'x' AS name FROM generate_series(1, 1000) AS t(i)"
    shop.execute(TABLE, f"INSERT INTO orders {rows}")
    text = "id,name\n" + "".join(f"{n},x\n" for n in range(901, 70_901))
    report = shop.load(text, UNIQUE)
    assert (report.rows_loaded, report.rows_quarantined) == (69_900, 100)


@pytest.mark.parametrize(
    ("kind", "rule", "words"),
    [
        ("csv", REFERS, "`references` needs a database"),
        ("parquet", REFERS, "`references` needs a database"),
    ],
)
def test_a_file_can_not_be_looked_at(
    kind: str, rule: Record, words: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    shop = Shop(make_place(Kind(kind, ("replace",)), request, tmp_path), tmp_path)
    with pytest.raises(NotSupportedYetError, match=words):
        shop.load([{"id": 1, "customer": 1}], rule, target={"mode": "replace"})
    assert not shop.place.file.exists()


SMALL = st.one_of(st.none(), st.integers(1, 6))


def model(
    held: list[tuple[int | None, int | None]],
    customers: set[int],
    coming: list[tuple[int | None, int | None]],
) -> list[int]:
    """Positions of the rows that are rejected: one row after the other, as a person would."""
    known = {id_ for id_, _ in held if id_ is not None}
    rejected = []
    taken: set[int] = set()
    for position, (id_, customer) in enumerate(coming, 1):
        refused = customer is not None and customer not in customers
        repeated = id_ is not None and (id_ in known or id_ in taken)
        if refused or repeated:
            rejected.append(position)
        elif id_ is not None:
            taken.add(id_)
    return rejected


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    held=st.lists(st.tuples(SMALL, SMALL), max_size=5),
    customers=st.sets(st.integers(1, 6), max_size=5),
    coming=st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=9),
)
def test_rows_are_rejected_as_a_slow_model_rejects_them(
    shop: Shop,
    held: list[tuple[int | None, int | None]],
    customers: set[int],
    coming: list[tuple[int | None, int | None]],
) -> None:
    def values(rows: list[tuple[Any, ...]]) -> str:
        shown = [
            ", ".join("NULL" if value is None else str(value) for value in row) for row in rows
        ]
        return ", ".join(f"({row})" for row in shown)

    ledger = "DROP TABLE IF EXISTS _etl_loads"
    shop.execute(
        *(f"DROP TABLE IF EXISTS {name}" for name in ("orders", "customers")),
        ledger,
        "CREATE TABLE orders (id bigint, customer bigint)",
        "CREATE TABLE customers (id bigint)",
    )
    if held:
        shop.execute(f"INSERT INTO orders VALUES {values(held)}")
    if customers:
        shop.execute(f"INSERT INTO customers VALUES {values([(c,) for c in customers])}")
    report = shop.load([{"id": i, "customer": c} for i, c in coming], UNIQUE, REFERS)
    expected = model(held, customers, coming)
    assert positions(report) == expected
    good = [row for position, row in enumerate(coming, 1) if position not in expected]
    found = shop.place.rows("id", "customer")
    text = [tuple(None if v is None else str(v) for v in row) for row in [*held, *good]]
    assert Counter(found) == Counter(text)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    held=st.sets(st.integers(1, 8), max_size=3),
    coming=st.dictionaries(
        st.integers(1, 8), st.one_of(st.none(), st.integers(1, 8)), min_size=1, max_size=8
    ),
)
def test_a_tree_loses_the_branches_that_hang_on_nothing(
    shop: Shop, held: set[int], coming: dict[int, int | None]
) -> None:
    shop.execute(
        "DROP TABLE IF EXISTS orders",
        "DROP TABLE IF EXISTS _etl_loads",
        "CREATE TABLE orders (id bigint, parent bigint)",
        *(f"INSERT INTO orders VALUES ({id_}, NULL)" for id_ in held),
    )
    report = shop.load(tree(*coming.items()), PARENT)
    kept = dict(coming)
    while lost := [i for i, p in kept.items() if p is not None and p not in {*kept, *held}]:
        kept = {id_: parent for id_, parent in kept.items() if id_ not in lost}
    assert positions(report) == [n for n, id_ in enumerate(coming, 1) if id_ not in kept]
