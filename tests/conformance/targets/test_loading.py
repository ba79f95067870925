"""What a load leaves in the target, in every mode."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.targets.base import Published
from airflow_etl_provider.exceptions import SpecificationError, TargetSchemaError
from tests.conformance.targets.cases import (
    SCHEMA,
    a_load,
    every_mode,
    parameters,
    publication,
    reader,
)

if TYPE_CHECKING:
    from tests.conformance.targets.cases import Case


@every_mode
@pytest.mark.parametrize("count", [0, 1, 7])
def test_all_rows_arrive_whatever_their_number(case: Case, count: int) -> None:
    rows = [(n, f"name {n}") for n in range(count)]
    assert case.load(a_load(), rows) == Published(rows_loaded=count)
    assert case.place.rows() == [(str(n), f"name {n}") for n in range(count)]


@every_mode
def test_a_second_load_follows_the_mode(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one"), (2, "two")])
    case.load(a_load("b" * 32), [(2, "zwei"), (3, "drei")])
    assert (
        case.place.rows()
        == {
            "append": [("1", "one"), ("2", "two"), ("2", "zwei"), ("3", "drei")],
            "replace": [("2", "zwei"), ("3", "drei")],
            "replace_partition": [("1", "one"), ("2", "zwei"), ("3", "drei")],
            "merge": [("1", "one"), ("2", "zwei"), ("3", "drei")],
        }[case.mode]
    )


@every_mode
def test_many_batches_are_one_load(case: Case) -> None:
    rows = [(n, None if n % 3 else f"n{n}") for n in range(1000)]
    with case.begin(a_load()) as session:
        session.write(reader(session, rows, batch_rows=17))
        assert session.publish(publication(1000)).rows_loaded == 1000
    assert len(case.place.rows() or []) == 1000


@every_mode
def test_nothing_is_seen_before_the_publish(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one")])
    with case.begin(a_load("b" * 32)) as session:
        session.write(reader(session, [(2, "two")]))
        if case.place.kind.name != "postgres":
            assert case.place.rows() == [("1", "one")]
        session.abort()
    assert case.place.rows() == [("1", "one")]


@pytest.mark.parametrize("case", parameters(database=True), indirect=True)
def test_a_load_fits_into_the_table_that_is_there(case: Case) -> None:
    case.place.execute(
        "create table orders (extra varchar(9) default 'kept', name varchar(40), "
        "id smallint not null primary key, amount decimal(9,2))"
    )
    case.place.execute("insert into orders values ('old', 'one', 1, 1.25)")
    if case.mode == "append":
        case.load(a_load(), [(2, "two")])
    else:
        case.load(a_load(), [(1, "uno"), (2, "two")])
    assert (
        case.place.rows("id", "name", "extra", "amount")
        == {
            "append": [("1", "one", "old", "1.25"), ("2", "two", "kept", None)],
            "replace": [("1", "uno", "kept", None), ("2", "two", "kept", None)],
            "replace_partition": [("1", "uno", "kept", None), ("2", "two", "kept", None)],
            "merge": [("1", "uno", "old", "1.25"), ("2", "two", "kept", None)],
        }[case.mode]
    )


@pytest.mark.parametrize("case", parameters(database=True), indirect=True)
def test_the_schema_of_a_table_is_told_as_it_is(case: Case) -> None:
    assert case.place.open().schema() is None
    case.place.execute(
        'create table orders (id bigint not null primary key, "Mixed Case" varchar, '
        "amount decimal(12,3), day date)"
    )
    schema = case.place.open().schema()
    assert schema is not None
    assert [(f.name, str(f.type), f.nullable) for f in schema] == [
        ("id", "int64", False),
        ("Mixed Case", "string", True),
        ("amount", "decimal(12,3)", True),
        ("day", "date", True),
    ]


@pytest.mark.parametrize("case", parameters(database=True), indirect=True)
def test_a_column_that_the_table_lacks_is_named(case: Case) -> None:
    case.place.execute("create table orders (id bigint)")
    with pytest.raises(TargetSchemaError, match="'name'"):
        case.begin(a_load())


@pytest.mark.parametrize("case", parameters(reshaped=True), indirect=True)
@pytest.mark.parametrize("mode", ["append", "replace_partition", "merge"])
def test_a_file_refuses_what_only_a_table_can_do(case: Case, mode: Any) -> None:
    with pytest.raises(SpecificationError, match="replaced as a whole"):
        case.begin(a_load(), mode=mode, key=("id",), partition_by=("id",))


VERSIONED = Schema((*SCHEMA.fields, Field("version", parse_type("int64"))))


@pytest.mark.parametrize("case", parameters(mode="merge"), indirect=True)
def test_merge_never_puts_older_over_newer(case: Case) -> None:
    def load(load_id: str, rows: list[tuple[Any, ...]]) -> Published | None:
        return case.load(a_load(load_id), rows, schema=VERSIONED, latest_by="version")

    load("a" * 32, [(1, "old", 5), (2, "old", 5), (3, "old", 5), (4, "old", None), (5, "old", 5)])
    published = load(
        "b" * 32,
        [(1, "new", 4), (2, "new", 5), (3, "new", 6), (4, "new", 1), (5, "new", None), (6, "n", 1)],
    )
    assert published == Published(rows_loaded=4, rows_deduplicated=2)
    assert case.place.rows() == [
        ("1", "old"),
        ("2", "new"),
        ("3", "new"),
        ("4", "new"),
        ("5", "old"),
        ("6", "n"),
    ]


@pytest.mark.parametrize("case", parameters(mode="merge"), indirect=True)
def test_a_table_of_nothing_but_its_key_can_be_merged(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one"), (2, "two")], key=("id", "name"))
    published = case.load(a_load("b" * 32), [(2, "two"), (3, "three")], key=("id", "name"))
    assert published == Published(rows_loaded=2)
    assert case.place.rows() == [("1", "one"), ("2", "two"), ("3", "three")]


@pytest.mark.parametrize("case", parameters(mode="merge"), indirect=True)
def test_merge_needs_a_key_that_the_load_has(case: Case) -> None:
    with pytest.raises(SpecificationError, match="key"):
        case.begin(a_load(), key=())
    with pytest.raises(SpecificationError, match="nope"):
        case.begin(a_load(), key=("nope",))


PARTITIONED = Schema(
    (
        Field("day", parse_type("date")),
        Field("shop", parse_type("string")),
        Field("name", parse_type("string")),
    )
)
DAYS = (date(2026, 11, 1), date(2026, 11, 2))
partitioned = pytest.mark.parametrize("case", parameters(mode="replace_partition"), indirect=True)


@partitioned
def test_only_partitions_that_occur_in_the_load_are_replaced(case: Case) -> None:
    first, second = DAYS

    def load(load_id: str, rows: list[tuple[Any, ...]]) -> Published | None:
        write = {"schema": PARTITIONED, "partition_by": ("day", "shop")}
        return case.load(a_load(load_id * 32), rows, **write)

    load(
        "a",
        [
            (first, "x", "old"),
            (first, "y", "old"),
            (second, "x", "old"),
            (first, None, "old"),
            (None, None, "old"),
            (None, "x", "old"),
        ],
    )
    published = load(
        "b", [(first, "x", "1"), (first, "x", "2"), (first, None, "3"), (None, "x", "4")]
    )
    assert published == Published(rows_loaded=4)
    assert case.place.rows("day", "shop", "name") == [
        (None, None, "old"),
        (None, "x", "4"),
        ("2026-11-01", None, "3"),
        ("2026-11-01", "x", "1"),
        ("2026-11-01", "x", "2"),
        ("2026-11-01", "y", "old"),
        ("2026-11-02", "x", "old"),
    ]


@partitioned
def test_a_load_without_rows_replaces_no_partition(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one"), (None, "none")])
    assert case.load(a_load("b" * 32), []) == Published(rows_loaded=0)
    assert case.place.rows() == [(None, "none"), ("1", "one")]


@partitioned
def test_partitions_are_named_by_columns_of_the_load(case: Case) -> None:
    with pytest.raises(SpecificationError, match="partition_by"):
        case.begin(a_load(), partition_by=())
    with pytest.raises(SpecificationError, match="nope"):
        case.begin(a_load(), partition_by=("nope",))
    schema = Schema((*SCHEMA.fields, Field("doc", parse_type("json"))))
    with pytest.raises(SpecificationError, match="json"):
        case.begin(a_load(), schema=schema, partition_by=("doc",))
