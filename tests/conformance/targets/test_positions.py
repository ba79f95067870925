"""How far a pipeline has come is read from the ledger, and only one load can follow a position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_etl_provider.contracts.load import InputIdentity, Load, window_after
from airflow_etl_provider.engines.targets.base import START, Publication
from airflow_etl_provider.exceptions import PositionMovedError
from tests.conformance.targets.cases import a_load, every_mode, parameters, reader

if TYPE_CHECKING:
    from airflow_etl_provider.engines.targets.base import LoadSession, Position
    from tests.conformance.targets.cases import Case

A, B, C = (InputIdentity(f"{name}.csv", 3, f"v {name}") for name in "abc")

tables = pytest.mark.parametrize("case", parameters(reshaped=False), indirect=True)
databases = pytest.mark.parametrize("case", parameters(database=True), indirect=True)


def position(case: Case, pipeline: str = "orders") -> Position:
    return case.place.open().position(pipeline, with_inputs=True)


def following(token: str, load_id: str = "a" * 32, **changed: Any) -> Load:
    return a_load(load_id, window=window_after(token), follows=token, **changed)


def publish(
    session: LoadSession, *inputs: InputIdentity, rows: list[tuple[Any, ...]] | None = None
) -> None:
    rows = [(1, "one")] if rows is None else rows
    taken = session.write(reader(session, rows))
    listed = [{"name": i.name, "size": i.size, "version": i.version} for i in inputs]
    session.publish(Publication(taken, 0, 0, 0, positions={"inputs": listed, "column": {"h": 7}}))


def load(case: Case, load: Load, *inputs: InputIdentity, id: int = 1) -> None:
    with case.begin(load) as session:
        publish(session, *inputs, rows=[(id, "x")])


@every_mode
def test_a_pipeline_that_published_nothing_is_at_the_start(case: Case) -> None:
    found = position(case)
    assert (found.token, found.last, found.inputs) == (START, None, {})
    with case.begin(following(START)) as session:
        session.write(reader(session, [(1, "one")]))
    assert position(case).token == START


@every_mode
def test_a_load_moves_the_position_and_leaves_its_inputs_in_it(case: Case) -> None:
    load(case, following(START), A)
    first = position(case)
    assert first.token != START
    assert first.last is not None
    assert first.last.positions["column"] == {"h": 7}
    assert dict(first.inputs) == {"a.csv": A}
    load(case, following(first.token, "b" * 32), B, C, id=2)
    second = position(case)
    assert second.token != first.token
    assert second.last is not None
    assert second.last.load_id == "b" * 32
    kept = {"b.csv": B, "c.csv": C}
    assert dict(second.inputs) == (kept if case.mode == "replace" else kept | {"a.csv": A})
    assert case.place.open().position("orders", with_inputs=False).token == second.token


@every_mode
def test_only_one_of_two_loads_can_follow_a_position(case: Case) -> None:
    slow = case.begin(following(START, "a" * 32))
    load(case, following(START, "b" * 32), A, id=2)
    with pytest.raises(PositionMovedError, match=r"Run again"):
        publish(slow, B)
    slow.abort()
    assert case.place.rows() == [("2", "x")]
    assert [entry.load_id for entry in case.place.open().ledger()] == ["b" * 32]


@every_mode
def test_of_two_attempts_at_one_load_the_first_to_publish_wins(case: Case) -> None:
    older = case.begin(following(START))
    newer = case.begin(following(START, input_hash="input 2"))
    publish(older, A, rows=[(1, "older")])
    with pytest.raises(PositionMovedError):
        publish(newer, A, B, rows=[(1, "newer")])
    newer.abort()
    assert case.place.rows() == [("1", "older")]
    assert dict(position(case).inputs) == {"a.csv": A}
    assert case.place.leftovers() == []


@every_mode
def test_a_load_that_follows_an_old_position_does_not_even_begin(case: Case) -> None:
    load(case, following(START), A)
    with pytest.raises(PositionMovedError):
        case.begin(following(START, "b" * 32))
    with pytest.raises(PositionMovedError):
        case.begin(following(START, input_hash="input 2"))
    with pytest.raises(PositionMovedError):
        case.begin(following("elsewhere", "b" * 32))


@every_mode
def test_the_same_load_again_is_there_already(case: Case) -> None:
    load(case, following(START), A)
    with case.begin(following(START)) as session:
        assert session.already_loaded is not None


@every_mode
def test_any_load_of_the_pipeline_moves_its_position_and_no_other(case: Case) -> None:
    load(case, following(START), A)
    before = position(case)
    load(case, a_load("b" * 32, pipeline="returns", window="input:1"), B, id=2)
    assert (position(case).token == before.token) == (case.mode != "replace")
    assert "b.csv" not in position(case).inputs
    load(case, a_load("c" * 32, window="input:2"), C, id=3)
    assert position(case).token != before.token
    assert position(case).inputs["c.csv"] == C


@every_mode
def test_inputs_of_which_only_an_interval_was_taken_are_not_known(case: Case) -> None:
    load(case, a_load(window="2026-11-01T00:00:00+00:00/2026-11-02T00:00:00+00:00"), A)
    assert position(case).inputs == {}
    assert position(case).token != START


@every_mode
def test_a_changed_input_is_known_as_it_was_loaded_last(case: Case) -> None:
    load(case, following(START), A)
    changed = InputIdentity("a.csv", 4, "v 2")
    load(case, following(position(case).token, "b" * 32), changed)
    assert dict(position(case).inputs) == {"a.csv": changed}


@pytest.mark.parametrize("case", parameters(mode="merge"), indirect=True)
def test_a_load_that_is_published_anew_moves_the_position(case: Case) -> None:
    load(case, a_load("a" * 32, window="input:1"), A)
    load(case, a_load("b" * 32, window="input:2"), B, id=2)
    before = position(case).token
    load(case, a_load("a" * 32, window="input:1", input_hash="input 2"), A)
    after = position(case)
    assert after.token != before
    assert after.last is not None
    assert after.last.load_id == "a" * 32


@tables
def test_what_another_pipeline_replaced_is_not_loaded_any_more(case: Case) -> None:
    load(case, following(START), A)
    before = position(case).token
    with case.begin(
        a_load("b" * 32, pipeline="fresh", window="input:2"), mode="replace", key=()
    ) as session:
        publish(session, B)
    found = position(case)
    assert (found.last, found.inputs) == (None, {})
    with pytest.raises(PositionMovedError):
        case.begin(following(before, "c" * 32))
    load(case, following(found.token, "c" * 32), C, id=3)
    assert dict(position(case).inputs) == {"c.csv": C}


@databases
def test_of_a_table_that_was_dropped_only_a_token_is_left(case: Case) -> None:
    load(case, following(START), A)
    token = position(case).token
    case.place.execute("DROP TABLE orders")
    found = position(case)
    assert (found.last, found.inputs) == (None, {})
    with pytest.raises(PositionMovedError):
        case.begin(following(token, "b" * 32))
    load(case, following(found.token, "b" * 32), B)
    found = position(case)
    assert dict(found.inputs) == {"b.csv": B}
    assert found.last is not None
    assert found.last.created
    assert case.load(a_load("a" * 32, window=window_after(START), run_id="new"), [(5, "e")])


@tables
def test_a_table_that_is_replaced_while_a_load_is_under_way_moves_the_position(case: Case) -> None:
    load(case, following(START), A)
    slow = case.begin(following(position(case).token, "b" * 32))
    other = a_load("c" * 32, pipeline="fresh", window="input:2")
    with case.begin(other, mode="replace", key=()) as session:
        publish(session, C, rows=[(9, "new")])
    with pytest.raises(PositionMovedError, match="replaced or dropped"):
        publish(slow, B, rows=[(2, "old")])
    slow.abort()
    assert case.place.rows() == [("9", "new")]
    assert position(case).last is None


@databases
def test_a_table_that_is_dropped_while_a_load_is_under_way_moves_the_position(case: Case) -> None:
    load(case, following(START), A)
    slow = case.begin(following(position(case).token, "b" * 32))
    case.place.execute("DROP TABLE orders")
    with pytest.raises(PositionMovedError, match="replaced or dropped"):
        publish(slow, B, rows=[(2, "old")])
    slow.abort()
    assert case.place.rows() is None


@databases
def test_loads_are_in_order_of_their_publication_whatever_the_clock_says(case: Case) -> None:
    load(case, following(START), A)
    later = "2999-01-01T00:00:00+00:00"
    case.place.execute(f"UPDATE _etl_loads SET published_at = '{later}'")
    load(case, following(position(case).token, "b" * 32), B, id=2)
    assert [entry.load_id[0] for entry in case.place.open().ledger()] == ["a", "b"]
    found = position(case)
    assert found.last is not None
    assert found.last.load_id == "b" * 32
    with pytest.raises(PositionMovedError):
        case.begin(following(found.token.replace("b", "a"), "c" * 32))
