"""Several attempts at one load: killed, fenced, at the same time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pyarrow as pa
import pytest

from airflow_etl_provider.engines.targets.base import START, WriteSpec
from airflow_etl_provider.exceptions import (
    CancelledError,
    EtlError,
    FencedError,
    PositionMovedError,
    TargetDataError,
    TargetError,
    TargetPermissionError,
    TargetUnavailableError,
)

pytestmark = pytest.mark.postgres

CHILD = Path(__file__).with_name("child.py")
ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "v": pa.array(["a", "b", "c"])})
ROADS = pytest.mark.parametrize(
    ("mode", "existing"),
    [("append", True), ("append", False), ("replace", True), ("merge", True)],
    ids=["append", "create", "replace", "merge"],
)


class Child:
    """An attempt in a process of its own."""

    def __init__(self, warehouse, *, mode: str, stop_at: str = "-", run_id: str = "run") -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), warehouse.uri, "t", mode, stop_at, run_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def until(self, place: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == place:
                return
        raise AssertionError(f"the child ended before it was {place}")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def finish(self) -> list[str]:
        return self.process.communicate("\n", timeout=120)[0].split()


def prepare(warehouse, *, existing: bool) -> int:
    """Make the table, where it is to be there, with one row; returns the rows that append keeps."""
    if existing:
        warehouse.sql(
            "CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t VALUES (-1, 'x')"
        )
    return int(existing)


def rows_of(warehouse) -> list[tuple]:
    return warehouse.sql("SELECT v, count(*) FROM t GROUP BY v ORDER BY v")


def expected(mode: str, *, kept: int, run_id: str) -> list[tuple]:
    return [(run_id, 50_000)] + ([("x", 1)] if kept and mode != "replace" else [])


@pytest.mark.slow
@ROADS
@pytest.mark.parametrize("stop_at", ["copying", "written", "published"])
def test_a_killed_load_is_whole_or_not_there_and_runs_again(
    warehouse, mode: str, stop_at: str, existing: bool
) -> None:
    kept = prepare(warehouse, existing=existing)
    first = Child(warehouse, mode=mode, stop_at=stop_at, run_id="first")
    first.until(stop_at)
    first.kill()
    if stop_at == "published":
        assert rows_of(warehouse) == expected(mode, kept=kept, run_id="first")
    elif existing:
        assert rows_of(warehouse) == [("x", 1)]
    else:
        assert warehouse.sql("SELECT to_regclass('t')") == [(None,)]
    told = Child(warehouse, mode=mode, run_id="second").finish()
    winner = "second" if stop_at != "published" else "first"
    assert told[-1] == ("published" if winner == "second" else "already_loaded")
    assert rows_of(warehouse) == expected(mode, kept=kept, run_id=winner)
    assert warehouse.sql("SELECT run_id, epoch FROM _etl_loads") == [
        (winner, 2 if winner == "second" else 1)
    ]
    assert warehouse.sql(
        "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_etl\\_staging%'"
    ) == [(0,)]


@pytest.mark.slow
@ROADS
@pytest.mark.parametrize("stop_at", ["begun", "copying", "written"])
def test_a_zombie_that_wakes_up_publishes_nothing(
    warehouse, mode: str, stop_at: str, existing: bool
) -> None:
    kept = prepare(warehouse, existing=existing)
    zombie = Child(warehouse, mode=mode, stop_at=stop_at, run_id="zombie")
    zombie.until(stop_at)
    assert Child(warehouse, mode=mode, run_id="second").finish()[-1] == "published"
    assert zombie.finish()[-1] in ("fenced", "target_unavailable")
    assert rows_of(warehouse) == expected(mode, kept=kept, run_id="second")


@pytest.mark.slow
@ROADS
def test_of_two_processes_with_one_load_id_exactly_one_publishes(
    warehouse, mode: str, existing: bool
) -> None:
    kept = prepare(warehouse, existing=existing)
    children = [Child(warehouse, mode=mode, run_id=f"run{n}") for n in range(3)]
    ends = [child.finish()[-1] for child in children]
    assert ends.count("published") == 1
    assert set(ends) <= {"published", "already_loaded", "fenced", "target_unavailable"}
    assert rows_of(warehouse) == expected(mode, kept=kept, run_id=f"run{ends.index('published')}")


def test_different_loads_create_one_table_together(warehouse) -> None:
    schema = warehouse.fields(id="int64 not null", v="string")
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            warehouse.run("t", ROWS, schema=schema, load=warehouse.load_id(f"load {number}"))
        except EtlError as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert warehouse.sql("SELECT count(*) FROM t") == [(18,)]
    assert len(warehouse.target("t").ledger()) == 6


def begin(warehouse, **load):
    return warehouse.target("t").begin(
        load=warehouse.load_id(**load),
        schema=warehouse.fields(id="int64 not null", v="string"),
        write=WriteSpec("append"),
    )


def test_an_older_attempt_is_fenced_at_the_publish(warehouse) -> None:
    with begin(warehouse) as older:
        warehouse.write_all(older, ROWS)
        warehouse.sql("UPDATE _etl_loads SET epoch = epoch + 1")
        with pytest.raises(FencedError, match="epoch 1, the ledger epoch 2"):
            older.publish(warehouse.publication(3))
    assert warehouse.sql("SELECT to_regclass('t')") == [(None,)]


def test_an_older_attempt_does_not_even_start_to_write(warehouse) -> None:
    with begin(warehouse) as older, begin(warehouse, run_id="run 2") as newer:
        assert (older.epoch, newer.epoch) == (1, 2)
        with pytest.raises(FencedError):
            warehouse.write_all(older, ROWS)
        warehouse.write_all(newer, ROWS)
        newer.publish(warehouse.publication(3))
    assert warehouse.sql("SELECT count(*) FROM t") == [(3,)]


def test_a_newer_attempt_does_not_wait_for_locks_of_the_older(warehouse) -> None:
    with begin(warehouse) as older:
        warehouse.write_all(older, ROWS)  # holds the table it created
        with begin(warehouse, run_id="run 2") as newer:
            warehouse.write_all(newer, ROWS)
            newer.publish(warehouse.publication(3))
        with pytest.raises(TargetUnavailableError):
            older.publish(warehouse.publication(3))
    assert warehouse.sql("SELECT run_id FROM _etl_loads") == [("run 2",)]


@pytest.mark.parametrize("moment", ["begun", "written", "published", "twice"])
def test_abort_is_allowed_at_any_time(warehouse, moment: str) -> None:
    session = begin(warehouse)
    if moment != "begun":
        warehouse.write_all(session, ROWS)
    if moment == "published":
        session.publish(warehouse.publication(3))
    session.abort()
    if moment == "twice":
        session.abort()
    there = warehouse.sql("SELECT to_regclass('t') IS NOT NULL") == [(True,)]
    assert there is (moment == "published")
    # The ledger's row is free at once.
    warehouse.sql("SET lock_timeout = '1s'; SELECT * FROM _etl_loads FOR UPDATE")


def test_what_the_reader_raises_comes_out_as_it_was(warehouse) -> None:
    schema = pa.schema([("id", pa.int64()), ("v", pa.string())])

    def batches():
        yield pa.record_batch(ROWS.columns[0].chunks + ROWS.columns[1].chunks, schema=schema)
        raise CancelledError("told to stop")

    with begin(warehouse) as session, pytest.raises(CancelledError, match="told to stop"):
        session.write(pa.RecordBatchReader.from_batches(schema, batches()))
    assert warehouse.sql("SELECT to_regclass('t')") == [(None,)]


def test_abort_from_another_thread_stops_a_running_copy(warehouse) -> None:
    schema = pa.schema([("id", pa.int64()), ("v", pa.string())])
    flowing = threading.Event()
    batch = pa.record_batch(ROWS.columns[0].chunks + ROWS.columns[1].chunks, schema=schema)

    def endless():
        while True:
            yield batch
            flowing.set()

    session, ends = begin(warehouse), []

    def write() -> None:
        try:
            session.write(pa.RecordBatchReader.from_batches(schema, endless()))
        except EtlError as error:
            ends.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    assert flowing.wait(60)
    session.abort()
    writer.join(60)
    assert [type(error) for error in ends] == [CancelledError]
    assert warehouse.sql("SELECT to_regclass('t')") == [(None,)]


def test_a_merge_leaves_out_what_another_writer_makes_newer_meanwhile(warehouse) -> None:
    held = pa.table({"id": pa.array([1, 2], pa.int64()), "at": pa.array([10, 10], pa.int64())})
    write = {"mode": "merge", "key": ("id",), "latest_by": "at"}
    warehouse.run("t", held, **write)
    other = psycopg2.connect(warehouse.uri)
    other.cursor().execute("UPDATE t SET at = 30 WHERE id = 1")

    def commit_once_the_merge_waits() -> None:
        for _ in range(200):
            if warehouse.sql("SELECT 1 FROM pg_locks WHERE NOT granted"):
                break
            time.sleep(0.05)
        other.commit()

    committer = threading.Thread(target=commit_once_the_merge_waits)
    committer.start()
    coming = held.set_column(1, "at", pa.array([20, 20], pa.int64()))
    published = warehouse.run("t", coming, load=warehouse.load_id("b"), **write)
    committer.join()
    other.close()
    assert (published.rows_loaded, published.rows_deduplicated) == (1, 1)
    assert warehouse.sql("SELECT id, at FROM t ORDER BY id") == [(1, 30), (2, 20)]


def test_abort_from_another_thread_stops_a_publish_that_waits_for_a_lock(warehouse) -> None:
    warehouse.sql("CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    blocker = psycopg2.connect(warehouse.uri)
    blocker.cursor().execute("LOCK TABLE t IN SHARE MODE")
    target, ends = warehouse.target("t"), []
    session = target.begin(
        load=warehouse.load_id(), schema=target.schema(), write=WriteSpec("replace")
    )
    warehouse.write_all(session, ROWS)

    def publish() -> None:
        try:
            session.publish(warehouse.publication(3))
        except EtlError as error:
            ends.append(error)

    publisher = threading.Thread(target=publish)
    publisher.start()
    session.abort()
    publisher.join(60)
    blocker.close()
    assert len(ends) == 1
    assert isinstance(ends[0], (TargetError, CancelledError))
    assert warehouse.sql("SELECT count(*) FROM t") == [(0,)]
    assert target.ledger() == []


def test_a_lost_connection_is_an_error_of_ours_and_the_rerun_is_clean(warehouse) -> None:
    with begin(warehouse) as session:
        warehouse.write_all(session, ROWS)
        warehouse.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'etl %'"
        )
        with pytest.raises(TargetUnavailableError, match="connection"):
            session.publish(warehouse.publication(3))
    warehouse.run("t", ROWS)
    assert warehouse.sql("SELECT count(*) FROM t") == [(3,)]


@pytest.mark.parametrize("took_place", [True, False])
def test_a_commit_whose_answer_was_lost_is_looked_up(
    warehouse, monkeypatch, took_place: bool
) -> None:
    with begin(warehouse) as session:
        warehouse.write_all(session, ROWS)
        commit = session._client.commit

        def break_off() -> None:
            if took_place:
                commit()
            session._client.close()
            raise TargetUnavailableError("the connection broke")

        monkeypatch.setattr(session._client, "commit", break_off)
        if took_place:
            assert session.publish(warehouse.publication(3)).rows_loaded == 3
        else:
            with pytest.raises(TargetUnavailableError, match="broke"):
                session.publish(warehouse.publication(3))
    assert len(warehouse.target("t").ledger()) == int(took_place)


def test_a_session_is_used_in_order(warehouse) -> None:
    with begin(warehouse) as session, pytest.raises(RuntimeError):
        session.publish(warehouse.publication(0))
    with pytest.raises(CancelledError):
        warehouse.write_all(session, ROWS)


def test_an_undo_ends_an_attempt_that_holds_the_rows_and_does_not_wait_for_it(warehouse) -> None:
    schema = warehouse.fields(id="int64 not null", v="string")
    warehouse.run("t", ROWS, schema=schema, load_columns=True)
    target = warehouse.target("t")
    again = warehouse.load_id(input_hash="input 2", on_reload="replace_load")
    write = WriteSpec("append", load_columns=True)
    with target.begin(load=again, schema=schema, write=write) as session:
        warehouse.write_all(session, ROWS)  # has deleted the earlier rows, and holds them
        assert target.undo("a" * 32).rows_deleted == 3
        with pytest.raises((FencedError, TargetUnavailableError)):
            session.publish(warehouse.publication(3))
    assert warehouse.sql("SELECT count(*) FROM t") == [(0,)]
    assert warehouse.sql("SELECT status, epoch FROM _etl_loads") == [("undone", 3)]
    assert target.ledger() == []


def test_rows_that_others_refer_to_can_not_be_undone(warehouse) -> None:
    warehouse.sql(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text, _etl_load_id text, "
        "_etl_loaded_at timestamptz); CREATE TABLE child (id bigint REFERENCES t)"
    )
    warehouse.run("t", ROWS, load_columns=True)
    warehouse.sql("INSERT INTO child VALUES (2)")
    with pytest.raises(TargetError, match="23503"):
        warehouse.target("t").undo("a" * 32)
    assert warehouse.sql("SELECT count(*) FROM t") == [(3,)]
    assert len(warehouse.target("t").ledger()) == 1


def following(warehouse, run_id: str):
    return warehouse.target("t").begin(
        load=warehouse.load_id(follows=START, run_id=run_id),
        schema=warehouse.schema_of(ROWS),
        write=WriteSpec("append"),
    )


def test_a_run_whose_rows_another_one_publishes_meanwhile_tells_that_the_position_moved(
    warehouse,
) -> None:
    """It waits for the other's rows in the table's index, and is refused by it."""
    warehouse.sql("CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    with following(warehouse, "run 1") as first, following(warehouse, "run 2") as second:
        warehouse.write_all(first, ROWS)

        def batches():
            first.publish(warehouse.publication(3))
            yield from ROWS.cast(second.arrow_schema).to_batches()

        with pytest.raises(PositionMovedError):
            second.write(pa.RecordBatchReader.from_batches(second.arrow_schema, batches()))
    assert warehouse.sql("SELECT count(*) FROM t") == [(3,)]


def test_rows_that_the_table_refuses_are_told_where_the_position_is_the_same(warehouse) -> None:
    warehouse.sql("CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    warehouse.sql("INSERT INTO t VALUES (2, 'theirs')")
    with following(warehouse, "run 1") as session, pytest.raises(TargetDataError):
        warehouse.write_all(session, ROWS)


OLD_LEDGER = """
CREATE TABLE _etl_loads (
  load_id text NOT NULL, target text NOT NULL, epoch bigint NOT NULL, status text NOT NULL,
  pipeline text NOT NULL, "window" text NOT NULL, mode text, published_epoch bigint,
  input_hash text, contract_hash text, run_id text, published_at timestamptz, rows_read bigint,
  rows_loaded bigint, rows_quarantined bigint, rows_filtered bigint, rows_deduplicated bigint,
  rows_deleted bigint, quarantine text, quarantine_checksum text, positions jsonb,
  PRIMARY KEY (load_id, target)
);
CREATE TABLE t (id bigint, v text);
INSERT INTO t VALUES (9, 'old');
INSERT INTO _etl_loads VALUES (
  'old', 'public.t', 1, 'published', 'orders', 'input:x', 'append', 1, 'i', 'c', 'r', now(),
  1, 1, 0, 0, 0, 0, NULL, NULL, '{"inputs": [{"name": "a.csv", "size": 3, "version": "v"}]}'
)
"""
"""As the first version made it."""


def test_a_ledger_of_an_earlier_version_goes_on(warehouse) -> None:
    warehouse.sql(OLD_LEDGER)
    target = warehouse.target("t")
    assert [entry.load_id for entry in target.ledger()] == ["old"]
    found = target.position("orders", with_inputs=True)
    assert (found.token, list(found.inputs)) == ("old/1", ["a.csv"])
    warehouse.run("t", ROWS, load=warehouse.load_id(follows=found.token))
    assert [(entry.load_id, entry.created) for entry in target.ledger()] == [
        ("old", False),
        ("a" * 32, False),
    ]


def test_only_its_owner_brings_a_ledger_of_an_earlier_version_up_to_date(warehouse) -> None:
    warehouse.sql(OLD_LEDGER)
    warehouse.sql(
        "DROP ROLE IF EXISTS etl_upgrader; CREATE ROLE etl_upgrader LOGIN PASSWORD 'x';"
        "GRANT SELECT, INSERT, UPDATE ON t, _etl_loads TO etl_upgrader"
    )
    try:
        place = urlsplit(warehouse.uri)
        netloc = f"etl_upgrader:x@{place.netloc.rpartition('@')[2]}"
        limited = type(warehouse)(urlunsplit(place._replace(netloc=netloc)))
        with pytest.raises(TargetPermissionError, match=r'ALTER TABLE "public"\."_etl_loads" ADD'):
            limited.run("t", ROWS)
        assert [entry.load_id for entry in warehouse.target("t").ledger()] == ["old"]
    finally:
        warehouse.sql("DROP OWNED BY etl_upgrader; DROP ROLE etl_upgrader")
