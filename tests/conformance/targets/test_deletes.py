"""Records that delete, in a merge: rows with the mark `_etl_delete`, of which the key counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.targets.base import Deletes, Published
from airflow_etl_provider.exceptions import SpecificationError, TargetSchemaError
from tests.conformance.targets.cases import SCHEMA, a_load, parameters, publication, reader

if TYPE_CHECKING:
    from tests.conformance.targets.cases import Case

VERSIONED = Schema(
    (
        Field("id", parse_type("int64"), nullable=False),
        Field("name", parse_type("string(5)"), nullable=False),
        Field("version", parse_type("int64")),
    )
)
HARD, SOFT = Deletes(), Deletes("deleted_at")

merges = pytest.mark.parametrize("case", parameters(mode="merge"), indirect=True)
both = pytest.mark.parametrize("deletes", [HARD, SOFT], ids=["hard", "soft"])


def load(case: Case, load_id: str, rows: list[tuple[Any, ...]], **write: Any) -> Published | None:
    """Rows are (id, name, version, does it delete)."""
    write = {"schema": VERSIONED, "latest_by": "version"} | write
    return case.load(a_load(load_id * 32), rows, **write)


def rows_of(case: Case, deletes: Deletes) -> dict[str, bool]:
    """The ids, with whether each counts as there."""
    if deletes.column is None:
        return {str(row[0]): True for row in case.place.rows("id") or []}
    return {str(row[0]): row[1] is None for row in case.place.rows("id", "deleted_at") or []}


@merges
@both
def test_rows_are_deleted_by_key_and_the_others_stay(case: Case, deletes: Deletes) -> None:
    load(case, "a", [(n, "old", 1, False) for n in (1, 2, 3)], deletes=deletes)
    published = load(
        case,
        "b",
        [(2, None, 2, True), (3, "new", 2, False), (9, None, 2, True)],
        deletes=deletes,
    )
    assert published == Published(rows_loaded=1, rows_deleted=2)
    kept = {} if deletes.column is None else {"2": False}
    assert rows_of(case, deletes) == {"1": True, "3": True} | kept
    assert case.place.open().ledger()[-1].rows_deleted == 2


@merges
@both
def test_a_table_that_the_load_creates_gets_no_deleted_rows(case: Case, deletes: Deletes) -> None:
    published = load(case, "a", [(1, None, 1, True), (2, "two", 1, False)], deletes=deletes)
    assert published == Published(rows_loaded=1, rows_deleted=1)
    assert rows_of(case, deletes) == {"2": True}


@merges
@both
def test_an_older_record_does_not_delete_a_newer_row(case: Case, deletes: Deletes) -> None:
    rows = [(1, "x", 5, False), (2, "x", 5, False), (3, "x", None, False), (4, "x", 5, False)]
    load(case, "a", rows, deletes=deletes)
    published = load(
        case,
        "b",
        [(1, None, 4, True), (2, None, 5, True), (3, None, 1, True), (4, None, None, True)],
        deletes=deletes,
    )
    assert published == Published(rows_loaded=0, rows_deduplicated=2, rows_deleted=2)
    there = {n for n, present in rows_of(case, deletes).items() if present}
    assert there == {"1", "4"}


@merges
@both
def test_without_an_order_the_record_that_comes_deletes(case: Case, deletes: Deletes) -> None:
    load(case, "a", [(1, "x", 5, False)], deletes=deletes, latest_by=None)
    published = load(case, "b", [(1, None, None, True)], deletes=deletes, latest_by=None)
    assert published == Published(rows_loaded=0, rows_deleted=1)
    assert not any(rows_of(case, deletes).values())


@merges
@both
def test_a_deleted_row_may_come_back(case: Case, deletes: Deletes) -> None:
    load(case, "a", [(1, "x", 1, False)], deletes=deletes)
    load(case, "b", [(1, None, 2, True)], deletes=deletes)
    assert load(case, "c", [(1, "again", 3, False)], deletes=deletes) == Published(rows_loaded=1)
    assert rows_of(case, deletes) == {"1": True}
    assert case.place.rows() == [("1", "again")]


@merges
def test_a_row_that_was_marked_is_not_brought_back_by_something_older(case: Case) -> None:
    load(case, "a", [(1, "x", 1, False)], deletes=SOFT)
    load(case, "b", [(1, None, 5, True)], deletes=SOFT)
    published = load(case, "c", [(1, "late", 4, False)], deletes=SOFT)
    assert published == Published(rows_loaded=0, rows_deduplicated=1)
    assert rows_of(case, SOFT) == {"1": False}


@merges
def test_a_row_that_is_deleted_twice_keeps_the_first_time(case: Case) -> None:
    load(case, "a", [(1, "x", 1, False)], deletes=SOFT)
    load(case, "b", [(1, None, 2, True)], deletes=SOFT)
    first = case.place.rows("deleted_at")
    assert load(case, "c", [(1, None, 3, True)], deletes=SOFT) == Published(0, rows_deleted=1)
    assert case.place.rows("deleted_at", "version") == [(first[0][0], "3")]


@merges
@both
def test_load_columns_go_with_deletes(case: Case, deletes: Deletes) -> None:
    write = {"deletes": deletes, "load_columns": True}
    load(case, "a", [(1, "x", 1, False), (2, "x", 1, False)], **write)
    load(case, "b", [(1, None, 2, True)], **write)
    expected = [("2", "a" * 32)]
    if deletes.column is not None:
        expected.insert(0, ("1", "b" * 32))
    assert case.place.rows("id", "_etl_load_id") == expected


@merges
def test_only_a_merge_deletes_and_its_own_columns_are_not_mapped(case: Case) -> None:
    with pytest.raises(SpecificationError, match="mode merge"):
        case.begin(a_load(), mode="append", deletes=HARD)
    for name in ("_etl_delete", "deleted_at"):
        schema = Schema((*SCHEMA.fields, Field(name, parse_type("timestamptz"))))
        with pytest.raises(SpecificationError, match=name):
            case.begin(a_load(), schema=schema, deletes=SOFT)


@merges
def test_a_table_without_the_column_of_soft_deletes_is_refused(case: Case) -> None:
    case.place.execute("create table orders (id bigint not null primary key, name varchar)")
    with pytest.raises(TargetSchemaError, match="deleted_at"):
        case.begin(a_load(), deletes=SOFT)
    case.place.execute("alter table orders add column deleted_at varchar")
    with pytest.raises(TargetSchemaError, match="timestamptz"):
        case.begin(a_load(), deletes=SOFT)


@merges
def test_an_attempt_that_deletes_may_be_aborted(case: Case) -> None:
    load(case, "a", [(1, "x", 1, False)], deletes=HARD)
    spec = {"schema": VERSIONED, "deletes": HARD}
    with case.begin(a_load("b" * 32), **spec) as session:
        session.write(reader(session, [(1, None, 2, True)]))
    assert case.place.rows() == [("1", "x")]
    with case.begin(a_load("b" * 32), **spec) as session:
        session.write(reader(session, [(1, None, 2, True)]))
        session.publish(replace(publication(1), rows_read=1))
    assert case.place.rows() == []
