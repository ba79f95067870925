"""Whatever arrives, breaks and overlaps: an incremental pipeline loads every record once."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_etl_provider.contracts.load import InputIdentity, Load, window_after
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.targets.base import Publication, WriteSpec
from airflow_etl_provider.exceptions import PositionMovedError
from tests.conformance.targets.cases import reader
from tests.integration.incremental import MERGE, NEW_FILES, Arrivals, Row, at_the_publication

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_etl_provider.contracts.pipeline import Pipeline


class _CrashError(Exception):
    pass


def crash() -> None:
    raise _CrashError


@contextmanager
def a_folder() -> Iterator[Path]:
    """A folder of its own for every example."""
    folder = Path(tempfile.mkdtemp(prefix="etl-incremental-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


RUNS = st.sampled_from(["run", "crash before", "crash after", "overtaken"])


def run_somehow(
    arrivals: Arrivals, pipeline: Pipeline, how: str, *, meanwhile: Callable[[], Any]
) -> None:
    """One run that ends well, dies, or is overtaken after more has arrived."""
    disturbances: dict[str, dict[str, Callable[[], Any]]] = {
        "run": {},
        "crash before": {"before": crash},
        "crash after": {"after": crash},
        "overtaken": {"before": lambda: (meanwhile(), arrivals.run(pipeline))},
    }
    with at_the_publication(**disturbances[how]), suppress(_CrashError, PositionMovedError):
        arrivals.run(pipeline)


@settings(max_examples=10, deadline=None)
@given(
    target=st.sampled_from([{}, MERGE]),
    most=st.sampled_from([None, 1, 2]),
    steps=st.lists(st.tuples(st.integers(0, 2), RUNS), min_size=1, max_size=5),
)
def test_every_record_of_new_files_is_loaded_once(
    target: dict[str, Any], most: int | None, steps: list[tuple[int, str]]
) -> None:
    with a_folder() as folder:
        arrivals = Arrivals(folder)
        pipeline = arrivals.pipeline(NEW_FILES | {"max_files": most}, target=target)
        arrived: list[int] = []

        def arrive() -> None:
            number = len(arrived)
            arrivals.write(f"{number}.csv", (number, "2024-01-01 10:00:00"))
            arrived.append(number)

        arrive()
        for files, how in steps:
            for _ in range(files):
                arrive()
            run_somehow(arrivals, pipeline, how, meanwhile=arrive)
        arrivals.drain(pipeline)
        assert arrivals.ids() == arrived


@settings(max_examples=10, deadline=None)
@given(
    target=st.sampled_from([{}, MERGE]),
    steps=st.lists(
        st.tuples(st.lists(st.integers(0, 1), max_size=3), RUNS), min_size=1, max_size=5
    ),
)
def test_every_record_of_a_growing_file_is_loaded_once(
    target: dict[str, Any], steps: list[tuple[list[int], str]]
) -> None:
    """Days never go back, but several records may come late with the highest one."""
    with a_folder() as folder:
        arrivals = Arrivals(folder)
        by_at = {"by": "column", "column": "at"}
        pipeline = arrivals.pipeline(by_at, target=target, at="date")
        rows: list[Row] = []

        def grow(*later: int) -> None:
            day = int(rows[-1][1][-2:]) if rows else 1
            for more in later:
                day = min(day + more, 28)
                rows.append((len(rows), f"2024-01-{day:02}"))
            arrivals.write("orders.csv", *reversed(rows))

        grow(0)
        for later, how in steps:
            grow(*later)
            run_somehow(arrivals, pipeline, how, meanwhile=partial(grow, 0))
        arrivals.drain(pipeline)
        assert arrivals.ids() == [number for number, _ in rows]


PLACES = [
    pytest.param("duckdb", id="duckdb"),
    pytest.param("postgres", id="postgres", marks=pytest.mark.postgres),
]


@pytest.fixture(params=PLACES)
def arrivals(request: pytest.FixtureRequest, tmp_path: Path) -> Arrivals:
    if request.param == "postgres":
        return Arrivals(tmp_path, server=request.getfixturevalue("postgres_server"))
    return Arrivals(tmp_path)


CHILD = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from unittest.mock import patch
    from tests.integration.incremental import MERGE, NEW_FILES, Arrivals

    folder, server, mode, when = sys.argv[1:]
    arrivals = Arrivals(Path(folder), server=server or None)
    pipeline = arrivals.pipeline(NEW_FILES, target=MERGE if mode == "merge" else {})
    from airflow_etl_provider.engines.targets.duckdb_file.session import DuckDbSession
    from airflow_etl_provider.engines.targets.postgres.session import PostgresSession

    Session = PostgresSession if server else DuckDbSession

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    publish = Session.publish

    def published(self, publication):
        done = publish(self, publication)
        die()

    if when == "drain":
        arrivals.drain(pipeline)
    else:
        with patch.object(Session, "publish", die if when == "before" else published):
            arrivals.run(pipeline)
    """
)


def start(arrivals: Arrivals, mode: str, when: str) -> subprocess.Popen[bytes]:
    told = [str(arrivals.folder), arrivals.server or "", mode, when]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *told],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_killed_run_neither_loses_nor_doubles_a_file(arrivals: Arrivals, mode: str) -> None:
    pipeline = arrivals.pipeline(NEW_FILES, target=MERGE if mode == "merge" else {})
    for number, when in enumerate(["before", "after"]):
        arrivals.write(f"{number}.csv", (number, "2024-01-01 10:00:00"))
        child = start(arrivals, mode, when)
        child.communicate()
        assert child.returncode == -signal.SIGKILL
    arrivals.write("2.csv", (2, "2024-01-01 10:00:00"))
    arrivals.drain(pipeline)
    assert arrivals.ids() == [0, 1, 2]


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_processes_that_load_at_once_load_each_file_once(arrivals: Arrivals, mode: str) -> None:
    for number in range(10):
        arrivals.write(f"{number}.csv", (number, "2024-01-01 10:00:00"))
    children = [start(arrivals, mode, "drain") for _ in range(3)]
    for number in range(10, 20):
        path = arrivals.write(f"{number}.tmp", (number, "2024-01-01 10:00:00"))
        path.rename(path.with_suffix(".csv"))
    for child in children:
        _, errors = child.communicate()
        assert child.returncode == 0, errors.decode()
    arrivals.drain(arrivals.pipeline(NEW_FILES, target=MERGE if mode == "merge" else {}))
    assert Counter(arrivals.ids()) == Counter(range(20))


def test_a_load_that_was_undone_is_new_again(arrivals: Arrivals) -> None:
    pipeline = arrivals.pipeline(NEW_FILES, target={"load_columns": True})
    arrivals.write("a.csv", (1, "2024-01-01 10:00:00"))
    arrivals.run(pipeline)
    arrivals.write("b.csv", (2, "2024-01-01 10:00:00"))
    report = arrivals.run(pipeline)
    arrivals.target(pipeline).undo(str(report.load_id))
    assert arrivals.ids() == [1]
    again = arrivals.run(pipeline)
    assert [found.input for found in again.inputs] == ["b.csv"]
    assert arrivals.ids() == [1, 2]


def test_a_hundred_thousand_known_files_are_found_again(arrivals: Arrivals) -> None:
    target = arrivals.target(arrivals.pipeline(NEW_FILES))
    schema = Schema((Field("id", parse_type("int64")),))
    for number in range(4):
        token = target.position("orders", with_inputs=False).token
        inputs = [
            {"name": f"in/{number}/{at}.csv", "size": at, "version": f"v{at}"}
            for at in range(25_000)
        ]
        load = Load(f"{number:032}", "orders", window_after(token), "i", "c", "r", follows=token)
        with target.begin(load=load, schema=schema, write=WriteSpec(mode="append")) as session:
            session.write(reader(session, [(number,)]))
            session.publish(Publication(1, 0, 0, 0, positions={"inputs": inputs}))
    known = target.position("orders", with_inputs=True).inputs
    assert len(known) == 100_000
    assert known["in/3/42.csv"] == InputIdentity("in/3/42.csv", 42, "v42")
