"""The same load again, and what the ledger says of each."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.targets.base import Published
from airflow_etl_provider.exceptions import LoadConflictError, SpecificationError
from tests.conformance.targets.cases import (
    SCHEMA,
    a_load,
    every_kind,
    every_mode,
    parameters,
    write_and_publish,
)

if TYPE_CHECKING:
    from tests.conformance.targets.cases import Case


@every_mode
def test_the_same_load_again_is_nothing_to_do(case: Case) -> None:
    case.load(a_load(), [(1, "one"), (2, "two")])
    with case.begin(a_load(run_id="another run")) as session:
        entry = session.already_loaded
        assert entry is not None
        assert (entry.rows_loaded, entry.run_id) == (2, a_load().run_id)
        assert session.epoch == entry.epoch
    assert case.place.rows() == [("1", "one"), ("2", "two")]


@every_mode
@pytest.mark.parametrize("changed", [{"input_hash": "input 2"}, {"contract_hash": "contract 2"}])
def test_the_same_window_with_other_input_is_loaded_anew_or_refused(
    case: Case, changed: dict[str, str]
) -> None:
    case.load(a_load(), [(1, "one"), (2, "two")])
    if case.mode == "append":
        with pytest.raises(LoadConflictError, match="on_reload: replace_load"):
            case.begin(a_load(**changed))
        assert case.place.rows() == [("1", "one"), ("2", "two")]
        return
    case.load(a_load(**changed), [(1, "uno")])
    expected = [("1", "uno")] if case.mode == "replace" else [("1", "uno"), ("2", "two")]
    assert case.place.rows() == expected
    entries = case.place.open().ledger()
    assert [entry.rows_loaded for entry in entries] == [1]


@pytest.mark.parametrize("case", parameters(mode="append"), indirect=True)
def test_a_reload_may_take_the_place_of_the_earlier_load(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one"), (2, "two")], load_columns=True)
    case.load(a_load("b" * 32), [(3, "three")], load_columns=True)
    again = a_load("a" * 32, input_hash="input 2", on_reload="replace_load")
    assert case.load(again, [(1, "uno")], load_columns=True) == Published(rows_loaded=1)
    assert case.place.rows() == [("1", "uno"), ("3", "three")]


@pytest.mark.parametrize("case", parameters(mode="append", finds_rows=False), indirect=True)
def test_replacing_a_load_needs_the_load_columns(case: Case) -> None:
    with pytest.raises(SpecificationError, match="load_columns: true"):
        case.begin(a_load(on_reload="replace_load"))


@pytest.mark.parametrize("case", parameters(mode="append", finds_rows=True), indirect=True)
def test_replacing_a_load_needs_no_load_columns_where_its_rows_are_known(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one"), (2, "two")])
    case.load(a_load("b" * 32), [(3, "three")])
    again = a_load("a" * 32, input_hash="input 2", on_reload="replace_load")
    assert case.load(again, [(1, "uno")]) == Published(rows_loaded=1)
    assert case.place.rows() == [("1", "uno"), ("3", "three")]


@pytest.mark.parametrize("case", parameters(mode="append", database=True), indirect=True)
def test_rows_without_their_load_id_are_not_doubled(case: Case) -> None:
    case.place.execute(
        "create table orders (id bigint, name varchar, _etl_load_id varchar, "
        "_etl_loaded_at timestamp with time zone)"
    )
    case.load(a_load(), [(1, "one")])
    again = a_load(input_hash="input 2", on_reload="replace_load")
    with case.begin(again, load_columns=True) as session, pytest.raises(LoadConflictError):
        write_and_publish(session, [(1, "uno")])
    assert case.place.rows() == [("1", "one")]


@every_kind
def test_a_load_that_another_one_replaced_is_loaded_again_by_a_new_run(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "a")])
    case.load(a_load("b" * 32), [(2, "b")])
    case.load(a_load("a" * 32, run_id="a new run"), [(1, "a")])
    assert case.place.rows() == [("1", "a")]


@every_kind
def test_a_late_retry_does_not_put_old_rows_over_newer_ones(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "a")])
    case.load(a_load("b" * 32), [(2, "b")])
    assert case.load(a_load("a" * 32), [(1, "a")]) is None
    assert case.place.rows() == [("2", "b")]


partitioned = pytest.mark.parametrize("case", parameters(mode="replace_partition"), indirect=True)


@partitioned
def test_a_partition_that_another_load_replaced_is_loaded_again_by_a_new_run(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "a"), (2, "a")])
    case.load(a_load("b" * 32), [(1, "b")])
    assert case.load(a_load("a" * 32), [(1, "a"), (2, "a")]) is None
    assert case.place.rows() == [("1", "b"), ("2", "a")]
    case.load(a_load("a" * 32, run_id="a new run"), [(1, "a"), (2, "a")])
    assert case.place.rows() == [("1", "a"), ("2", "a")]


@partitioned
def test_a_replace_whose_partition_was_replaced_is_loaded_again_by_a_new_run(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "a"), (2, "a")], mode="replace")
    case.load(a_load("b" * 32), [(1, "b")])
    case.load(a_load("a" * 32, run_id="a new run"), [(1, "a")], mode="replace")
    assert case.place.rows() == [("1", "a")]


@partitioned
def test_an_append_beside_a_replaced_partition_is_not_doubled(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "a"), (2, "a")], mode="append")
    case.load(a_load("b" * 32), [(1, "b")])
    again = a_load("a" * 32, run_id="a new run")
    assert case.load(again, [(1, "a"), (2, "a")], mode="append") is None
    assert case.place.rows() == [("1", "b"), ("2", "a")]


@every_mode
def test_the_load_columns_say_which_load_a_row_came_with(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one")], load_columns=True)
    rows = case.place.rows("id", "_etl_load_id", "_etl_loaded_at")
    assert rows is not None
    assert rows[0][:2] == ("1", "a" * 32)
    assert rows[0][2] is not None
    assert datetime.fromisoformat(rows[0][2].replace("Z", "+00:00")).tzinfo is not None


@every_mode
def test_the_load_columns_can_not_be_columns_of_the_load_too(case: Case) -> None:
    schema = Schema((*SCHEMA.fields, Field("_etl_load_id", parse_type("string"))))
    with pytest.raises(SpecificationError, match="_etl_load_id"):
        case.begin(a_load(), schema=schema, load_columns=True)


@every_mode
def test_the_ledger_lists_all_loads_oldest_first(case: Case) -> None:
    assert case.place.open().ledger() == []
    case.load(a_load("b" * 32), [(1, "one")])
    case.load(a_load("a" * 32), [(2, "two"), (3, "three")])
    entries = case.place.open().ledger()
    assert [entry.load_id[0] for entry in entries] == ["b", "a"]
    last = entries[-1]
    assert (last.pipeline, last.window, last.mode) == ("orders", "2026-11-01", case.mode)
    assert (last.input_hash, last.contract_hash) == ("input 1", "contract 1")
    assert (last.rows_read, last.rows_loaded) == (5, 2)
    assert (last.rows_quarantined, last.rows_filtered, last.rows_deduplicated) == (2, 1, 0)
    assert (last.quarantine, last.quarantine_checksum) == ("/q/1", "c0ffee")
    assert last.positions == {"inputs": [{"name": "a.csv"}]}
    assert "orders" in last.target
    assert datetime.fromisoformat(last.published_at).tzinfo is not None


@every_kind
def test_no_name_of_a_target_shows_a_password(case: Case) -> None:
    assert "correct" not in case.place.open().name
