from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_etl_provider.contracts.load import Load
from airflow_etl_provider.engines.targets.base import (
    LedgerEntry,
    Publication,
    Published,
    WriteSpec,
)
from airflow_etl_provider.engines.targets.ledger import (
    Verdict,
    entry_from_dict,
    entry_of,
    entry_to_dict,
    judge_reload,
)
from airflow_etl_provider.exceptions import LoadConflictError

LOAD = Load("a" * 32, "orders", "2026-11-01", "input", "contract", "run 1")
ENTRY = entry_of(
    load=LOAD,
    write=WriteSpec("append"),
    target="t",
    epoch=3,
    publication=Publication(10, 2, 1, 1, "/q", "c0ffee", {"offset": 7}),
    published=Published(5, 1),
    published_at="2026-11-01T00:00:00+00:00",
)


@pytest.mark.parametrize(
    ("mode", "changed", "superseded", "verdict"),
    [
        ("append", {}, False, "already_loaded"),
        ("replace", {}, False, "already_loaded"),
        ("merge", {"run_id": "run 2"}, False, "already_loaded"),
        ("replace", {"input_hash": "other"}, False, "load"),
        ("merge", {"contract_hash": "other"}, False, "load"),
        ("append", {"input_hash": "other", "on_reload": "replace_load"}, False, "replace_load"),
        ("replace", {"run_id": "run 2"}, True, "load"),
        ("replace", {}, True, "already_loaded"),
        ("append", {"run_id": "run 2", "input_hash": "other"}, True, "load"),
    ],
)
def test_an_earlier_load_decides_what_a_new_attempt_does(
    mode: str, changed: dict[str, str], superseded: bool, verdict: Verdict
) -> None:
    load = replace(LOAD, **changed)
    write = WriteSpec(mode)  # type: ignore[arg-type]
    assert judge_reload(ENTRY, load=load, write=write, superseded=superseded) == verdict
    assert judge_reload(None, load=load, write=write) == "load"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"input_hash": "x"}, "another input"),
        ({"contract_hash": "x"}, "another contract"),
        ({"input_hash": "x", "contract_hash": "x"}, "another input and contract"),
    ],
)
def test_appending_twice_is_refused_with_what_changed(changed: dict[str, str], told: str) -> None:
    with pytest.raises(LoadConflictError, match=told):
        judge_reload(ENTRY, load=replace(LOAD, **changed), write=WriteSpec("append"))


def test_duplicates_that_engine_and_target_found_are_added_up() -> None:
    assert (ENTRY.rows_loaded, ENTRY.rows_deduplicated) == (5, 2)


def test_an_entry_reads_back_also_from_a_newer_version() -> None:
    values = entry_to_dict(ENTRY)
    assert entry_from_dict(values) == ENTRY
    assert entry_from_dict(values | {"invented_later": 1}) == ENTRY
    assert isinstance(entry_from_dict(values | {"positions": '{"offset": 7}'}), LedgerEntry)
    with pytest.raises(ValueError, match="no"):
        entry_from_dict({"load_id": "a"})
