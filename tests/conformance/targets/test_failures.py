"""Loads that break off, are overtaken or killed leave nothing half done."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from airflow_etl_provider.exceptions import FencedError
from tests.conformance.targets import cases
from tests.conformance.targets.cases import (
    a_load,
    every_mode,
    parameters,
    publication,
    reader,
    write_and_publish,
)

if TYPE_CHECKING:
    from tests.conformance.targets.cases import Case


class _BrokenSourceError(Exception):
    pass


@every_mode
def test_a_source_that_breaks_off_leaves_the_old_content(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one")])

    def break_off() -> None:
        raise _BrokenSourceError

    with case.begin(a_load("b" * 32)) as session, pytest.raises(Exception):  # noqa: B017, PT011
        session.write(reader(session, [(n, "two") for n in range(100)], then=break_off))
    assert case.place.rows() == [("1", "one")]
    assert [entry.load_id[0] for entry in case.place.open().ledger()] == ["a"]
    assert case.place.leftovers() == []


@every_mode
def test_abort_works_in_every_state_and_twice(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one")])
    begun = case.begin(a_load("b" * 32))
    begun.abort()
    begun.abort()
    written = case.begin(a_load("b" * 32))
    written.write(reader(written, [(2, "two")]))
    written.abort()
    written.abort()
    assert case.place.rows() == [("1", "one")]
    assert case.place.leftovers() == []
    published = case.begin(a_load("c" * 32))
    published.write(reader(published, [(1, "uno")]))
    published.publish(publication(1))
    after = case.place.rows()
    published.abort()
    published.abort()
    assert case.place.rows() == after


@every_mode
def test_an_aborted_load_can_be_loaded_afterwards(case: Case) -> None:
    with case.begin(a_load()) as session:
        session.write(reader(session, [(1, "one")]))
        first = session.epoch
    with case.begin(a_load()) as session:
        session.write(reader(session, [(1, "one")]))
        session.publish(publication(1))
        assert session.epoch >= first
    assert case.place.rows() == [("1", "one")]


@pytest.mark.parametrize("case", parameters(fenced=True), indirect=True)
def test_an_attempt_that_was_overtaken_publishes_nothing(case: Case) -> None:
    case.load(a_load("0" * 32), [(9, "before")])
    zombie = case.begin(a_load())
    successor = case.begin(a_load())
    assert successor.epoch > zombie.epoch
    successor.write(reader(successor, [(1, "successor")]))
    successor.publish(publication(1))
    with pytest.raises(FencedError):
        write_and_publish(zombie, [(1, "zombie")])
    zombie.abort()
    expected = [("1", "successor"), ("9", "before")]
    assert case.place.rows() == (expected[:1] if case.mode == "replace" else expected)


@pytest.mark.parametrize("case", parameters(fenced=True), indirect=True)
def test_an_attempt_is_overtaken_even_before_its_successor_publishes(case: Case) -> None:
    zombie = case.begin(a_load())
    successor = case.begin(a_load())
    with pytest.raises(FencedError):
        write_and_publish(zombie, [(1, "zombie")])
    zombie.abort()
    successor.write(reader(successor, [(1, "successor")]))
    successor.publish(publication(1))
    assert case.place.rows() == [("1", "successor")]


@every_mode
def test_a_target_may_be_closed_twice(case: Case) -> None:
    target = case.place.open()
    target.schema()
    target.close()
    target.close()


CHILD = textwrap.dedent(
    """
    import importlib.util, json, os, signal, sys
    from pathlib import Path
    told = json.loads(sys.argv[1])
    spec = importlib.util.spec_from_file_location("suite", told["suite"])
    suite = importlib.util.module_from_spec(spec)
    sys.modules["suite"] = suite
    spec.loader.exec_module(suite)

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    kind = next(kind for kind in suite.KINDS if kind.name == told["kind"])
    place = suite.Place(kind, told["url"], Path(told["file"]), told["table"])
    if told["s3"]:
        place.s3 = suite.server_of(told["s3"])
    case = suite.Case(place, told["mode"])
    session = case.begin(suite.a_load("b" * 32))
    if told["when"] == "begun":
        die()
    rows = case.many(2000)
    session.write(
        suite.reader(session, rows, batch_rows=500, then=die if told["when"] == "writing" else None)
    )
    if told["when"] == "written":
        die()
    session.publish(suite.publication(len(rows)))
    die()
    """
)


def kill_while(case: Case, when: str) -> None:
    """Run a load in a process of its own that kills itself."""
    told = {
        "suite": cases.__file__,
        "kind": case.place.kind.name,
        "url": case.place.url,
        "file": str(case.place.file),
        "table": case.place.table,
        "s3": None if case.place.s3 is None else asdict(case.place.s3),
        "mode": case.mode,
        "when": when,
    }
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(told)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@every_mode
@pytest.mark.parametrize("when", ["begun", "writing", "written", "published"])
def test_a_killed_load_runs_again_to_exactly_one_clean_load(case: Case, when: str) -> None:
    case.load(a_load("a" * 32), [(5000, "before")])
    kill_while(case, when)
    survived = when == "published"
    assert case.place.open().ledger()[-1].load_id[0] == ("b" if survived else "a")
    if not survived:
        assert case.place.rows() == [("5000", "before")]
    again = case.load(a_load("b" * 32), case.many(2000))
    assert (again is None) is survived
    rows = case.place.rows() or []
    assert len(rows) == (2000 if case.mode == "replace" else 2001)
    assert len(set(rows)) == len(rows)
    assert [entry.load_id[0] for entry in case.place.open().ledger()] == ["a", "b"]
    assert case.place.leftovers() == []
