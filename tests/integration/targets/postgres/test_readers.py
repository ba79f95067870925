"""What others see and wait for while a load runs."""

from __future__ import annotations

import threading

import psycopg2
import pyarrow as pa
import pytest

from airflow_etl_provider.engines.targets.base import WriteSpec

pytestmark = pytest.mark.postgres


def generation(number: int, rows: int = 2_000) -> pa.Table:
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "generation": pa.array([number] * rows, pa.int64()),
            "half": pa.array([n % 2 for n in range(rows)], pa.int32()),
        }
    )


def session_of(warehouse, rows: pa.Table, *, mode: str, load_id: str):
    target = warehouse.target("t")
    session = target.begin(
        load=warehouse.load_id(load_id),
        schema=target.schema(),
        write=WriteSpec(mode, key=("id",), partition_by=("half",)),
    )
    warehouse.write_all(session, rows.combine_chunks())
    return session


@pytest.fixture
def table(warehouse):
    warehouse.sql("CREATE TABLE t (id bigint PRIMARY KEY, generation bigint, half int)")
    warehouse.run("t", generation(0))
    return warehouse


@pytest.mark.parametrize("mode", ["replace", "replace_partition", "merge"])
def test_a_reader_sees_old_or_new_and_never_waits(table, mode: str) -> None:
    seen: list[tuple] = []
    done = threading.Event()

    def read() -> None:
        connection = psycopg2.connect(table.uri)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1ms'")
            connection.commit()
            while not done.is_set():
                cursor.execute("SELECT count(*), min(generation), max(generation) FROM t")
                seen.append(cursor.fetchone())
                connection.commit()
        connection.close()
        seen.append(("no reader waited",))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 8):
        table.run(
            "t",
            generation(number),
            mode=mode,
            key=("id",),
            partition_by=("half",),
            load=table.load_id(f"load {number}"),
        )
    done.set()
    reader.join()
    assert seen.pop() == ("no reader waited",)
    assert {count for count, _, _ in seen} == {2_000}
    assert all(low == high for _, low, high in seen)


def seen_by(cursor) -> tuple:
    cursor.execute("SELECT count(*), min(generation), max(generation) FROM t")
    return cursor.fetchone()


@pytest.mark.parametrize("mode", ["append", "replace", "replace_partition", "merge"])
def test_readers_are_not_kept_waiting_and_a_snapshot_keeps_its_rows(table, mode: str) -> None:
    """One reads in one transaction throughout (REPEATABLE READ), the other one as it is now."""
    old, new = (2_000, 0, 0), (2_000, 1, 1)
    rows = generation(1)
    if mode == "append":
        rows, new = rows.set_column(0, "id", pa.array(range(5_000, 7_000))), (4_000, 0, 1)
    steady, current = psycopg2.connect(table.uri), psycopg2.connect(table.uri)
    steady.set_session(isolation_level="REPEATABLE READ")
    current.set_session(isolation_level="READ COMMITTED")
    one, other = steady.cursor(), current.cursor()
    for cursor in (one, other):
        cursor.execute("SET lock_timeout = '1ms'")
        assert seen_by(cursor) == old
    # The transactions are open now, and no load waits for them.
    with session_of(table, rows, mode=mode, load_id="b") as session:
        assert (seen_by(one), seen_by(other)) == (old, old)
        session.publish(table.publication(2_000))
    assert (seen_by(one), seen_by(other)) == (old, new)
    steady.close()
    current.close()


@pytest.mark.parametrize("mode", ["append", "replace", "replace_partition", "merge"])
def test_other_writers_do_not_wait_until_the_publish(table, mode: str) -> None:
    rows = generation(1, rows=5).set_column(0, "id", pa.array(range(9_000, 9_005), pa.int64()))
    with session_of(table, rows, mode=mode, load_id="b") as session:
        table.sql(
            "SET lock_timeout = '1s'; UPDATE t SET generation = 7 WHERE id = 1; "
            "INSERT INTO t VALUES (-1, 7, 7)"
        )
        session.publish(table.publication(5))
    expected = {"replace": 5, "replace_partition": 6}.get(mode, 2_006)
    assert table.sql("SELECT count(*) FROM t") == [(expected,)]


def test_two_replaces_at_once_leave_one_of_them(table) -> None:
    first = session_of(table, generation(1), mode="replace", load_id="b")
    second = session_of(table, generation(2, rows=10), mode="replace", load_id="c")
    publishers = [
        threading.Thread(target=session.publish, args=(table.publication(rows),))
        for session, rows in ((first, 2_000), (second, 10))
    ]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    assert table.sql("SELECT count(*), max(generation) FROM t") in ([(2_000, 1)], [(10, 2)])


def test_two_merges_of_the_same_keys_in_other_orders_do_not_deadlock(table) -> None:
    up, down = generation(1), generation(2).sort_by([("id", "descending")])
    sessions = [
        session_of(table, rows, mode="merge", load_id=load_id)
        for rows, load_id in ((up, "b"), (down, "c"))
    ]
    publishers = [
        threading.Thread(target=session.publish, args=(table.publication(2_000),))
        for session in sessions
    ]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    assert len(table.target("t").ledger()) == 3
    assert table.sql("SELECT count(DISTINCT generation) FROM t") == [(1,)]
