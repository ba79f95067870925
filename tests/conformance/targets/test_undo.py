"""Taking a load back: its rows and its entry, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_etl_provider.contracts.load import window_after
from airflow_etl_provider.engines.targets.base import Publication, Published
from airflow_etl_provider.exceptions import FencedError, PositionMovedError, UndoError
from tests.conformance.targets.cases import (
    KINDS,
    a_load,
    parameters,
    publication,
    reader,
)

if TYPE_CHECKING:
    from tests.conformance.targets.cases import Case

A, B, C = "a" * 32, "b" * 32, "c" * 32
MARKED = {"load_columns": True}

tables = pytest.mark.parametrize("case", parameters(mode="append", database=True), indirect=True)
appends = pytest.mark.parametrize("case", parameters(mode="append"), indirect=True)
others = pytest.mark.parametrize(
    "case",
    [p for mode in ("replace", "replace_partition", "merge") for p in parameters(mode=mode)],
    indirect=True,
)


@appends
def test_an_appended_load_is_gone_and_the_others_stay(case: Case) -> None:
    case.load(a_load(A), [(1, "one"), (2, "two")], **MARKED)
    case.load(a_load(B), [(2, "zwei"), (3, "drei")], **MARKED)
    target = case.place.open()
    undone = target.undo(A)
    assert (undone.entry.load_id, undone.entry.rows_loaded, undone.rows_deleted) == (A, 2, 2)
    assert case.place.rows() == [("2", "zwei"), ("3", "drei")]
    assert [entry.load_id for entry in target.ledger()] == [B]
    with pytest.raises(UndoError, match="no published load"):
        target.undo(A)


@appends
def test_a_load_that_was_undone_can_be_loaded_again(case: Case) -> None:
    case.load(a_load(A), [(1, "one")], **MARKED)
    case.place.open().undo(A)
    assert case.load(a_load(A), [(1, "uno")], **MARKED) == Published(rows_loaded=1)
    assert case.load(a_load(A), [(1, "uno")], **MARKED) is None
    assert case.place.rows() == [("1", "uno")]


@appends
def test_an_empty_load_can_be_undone(case: Case) -> None:
    case.load(a_load(A), [], **MARKED)
    assert case.place.open().undo(A).rows_deleted == 0
    assert case.place.open().ledger() == []


@appends
def test_an_attempt_under_way_is_fenced_by_an_undo(case: Case) -> None:
    case.load(a_load(A), [(1, "one")], **MARKED)
    again = a_load(A, input_hash="input 2", on_reload="replace_load")
    with case.begin(again, **MARKED) as session:
        assert case.place.open().undo(A).rows_deleted == 1
        with pytest.raises(FencedError):
            session.publish(publication(session.write(reader(session, [(1, "late")]))))
    assert case.place.rows() == []
    assert case.place.open().ledger() == []


@appends
def test_an_attempt_at_a_load_by_position_is_stopped_by_an_undo(case: Case) -> None:
    token = case.place.open().position("orders", with_inputs=True).token
    load = a_load(B, window=window_after(token), follows=token)
    with case.begin(load, **MARKED) as slow, case.begin(load, **MARKED) as late:
        assert case.load(load, [(1, "one")], **MARKED) == Published(rows_loaded=1)
        case.place.open().undo(B)
        for session in (slow, late):
            with pytest.raises((FencedError, PositionMovedError)):
                session.publish(publication(session.write(reader(session, [(1, "late")]))))
    assert case.place.rows() == []
    token = case.place.open().position("orders", with_inputs=True).token
    again = a_load(C, window=window_after(token), follows=token)
    assert case.load(again, [(1, "one")], **MARKED) == Published(rows_loaded=1)


@tables
def test_rows_without_the_loads_id_are_not_guessed(case: Case) -> None:
    case.load(a_load(A), [(1, "one")])
    with pytest.raises(UndoError, match="_etl_load_id"):
        case.place.open().undo(A)
    case.place.execute("alter table orders add column _etl_load_id varchar")
    with pytest.raises(UndoError, match="holds 0 rows"):
        case.place.open().undo(A)
    assert case.place.rows() == [("1", "one")]
    assert len(case.place.open().ledger()) == 1


@tables
def test_a_load_of_which_rows_are_missing_stays(case: Case) -> None:
    case.load(a_load(A), [(1, "one"), (2, "two")], **MARKED)
    case.place.execute("delete from orders where id = 1")
    with pytest.raises(UndoError, match=r"holds 1 rows.* 2 were loaded"):
        case.place.open().undo(A)
    assert case.place.rows() == [("2", "two")]
    assert len(case.place.open().ledger()) == 1


@appends
def test_where_the_table_was_replaced_only_the_ledger_is_mended(case: Case) -> None:
    case.load(a_load(A), [(1, "one")], **MARKED)
    case.load(a_load(B), [(2, "two")], mode="replace", **MARKED)
    assert case.place.open().undo(A).rows_deleted == 0
    assert case.place.rows() == [("2", "two")]
    assert [entry.load_id for entry in case.place.open().ledger()] == [B]


@tables
def test_where_the_table_was_dropped_only_the_ledger_is_mended(case: Case) -> None:
    case.load(a_load(A), [(1, "one")], **MARKED)
    case.place.execute("drop table orders")
    assert case.place.open().undo(A).rows_deleted == 0
    assert case.place.open().ledger() == []


@others
def test_what_a_load_replaced_can_not_come_back_and_that_is_said(case: Case) -> None:
    case.load(a_load(A), [(1, "one")], load_columns=case.place.kind.name in ("duckdb", "postgres"))
    before = case.place.rows()
    with pytest.raises(UndoError, match=f"mode {case.mode}"):
        case.place.open().undo(A)
    assert case.place.rows() == before
    assert len(case.place.open().ledger()) == 1


@pytest.mark.parametrize(
    "case", [p for kind in KINDS for p in parameters(mode="replace", name=kind.name)], indirect=True
)
def test_a_load_that_nobody_knows_can_not_be_undone(case: Case) -> None:
    with pytest.raises(UndoError, match="no published load"):
        case.place.open().undo(A)


@tables
def test_undoing_the_load_that_made_the_table_brings_no_older_load_back(case: Case) -> None:
    case.load(a_load(A, window="input:1"), [(1, "one")], **MARKED)
    case.place.execute("drop table orders")
    case.load(a_load(B, window="input:2"), [(2, "two")], **MARKED)
    case.load(a_load(C, window="input:3"), [(3, "three")], **MARKED)
    target = case.place.open()
    assert target.undo(B).rows_deleted == 1
    assert [entry.load_id for entry in target.ledger()] == [C]
    found = target.position("orders", with_inputs=True)
    assert found.last is not None
    assert found.last.load_id == C
    assert target.undo(C).rows_deleted == 1
    assert target.position("orders", with_inputs=True).last is None
    again = a_load(A, window="input:1", run_id="another")
    assert case.load(again, [(1, "one")], **MARKED) == Published(rows_loaded=1)
    assert case.place.rows() == [("1", "one")]


@appends
def test_of_loads_by_column_only_the_newest_can_be_undone(case: Case) -> None:
    for number, load_id in enumerate((A, B)):
        load = a_load(load_id, window=f"input:{number}")
        with case.begin(load, **MARKED) as session:
            rows = session.write(reader(session, [(number, "x")]))
            mark = {"column": {"name": "id", "high": number}}
            session.publish(Publication(rows, 0, 0, 0, positions=mark))
    case.load(a_load(C, pipeline="returns", window="input:2"), [(9, "other")], **MARKED)
    target = case.place.open()
    with pytest.raises(UndoError, match="1 more into") as refused:
        target.undo(A)
    assert "from the newest back" in str(refused.value.hint)
    assert case.place.rows() == [("0", "x"), ("1", "x"), ("9", "other")]
    assert target.undo(C).rows_deleted == 1
    assert target.undo(B).rows_deleted == 1
    assert target.undo(A).rows_deleted == 1
    assert case.place.rows() == []


@tables
def test_an_older_load_by_column_whose_rows_are_gone_can_be_undone(case: Case) -> None:
    for number, load_id in enumerate((A, B)):
        with case.begin(a_load(load_id, window=f"input:{number}"), **MARKED) as session:
            rows = session.write(reader(session, [(number, "x")]))
            session.publish(Publication(rows, 0, 0, 0, positions={"column": {"high": number}}))
        if load_id == A:
            case.place.execute("drop table orders")
    assert case.place.open().undo(A).rows_deleted == 0
    assert case.place.rows() == [("1", "x")]
