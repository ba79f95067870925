from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from airflow_etl_provider.contracts.load import InputIdentity
from airflow_etl_provider.engines.targets.base import Publication, WriteSpec
from airflow_etl_provider.engines.targets.duckdb_file import DuckDbTarget, ledger
from airflow_etl_provider.exceptions import (
    TargetChangedError,
    TargetDataError,
    TargetError,
    TargetMissingError,
    TargetSchemaError,
    TargetUnavailableError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Child, Loader

APPEND = WriteSpec(mode="append")
ROW = {"id": [1], "name": ["one"]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.db"


def sql(file: Path, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(duckdb.connect(str(file))) as connection:
        return connection.execute(query, list(parameters)).fetchall()


# --- one writer --------------------------------------------------------------------------------

HOLD = """
    import duckdb
    connection = duckdb.connect(str(folder / "warehouse.db"))
    print("open", flush=True)
    sys.stdin.readline()
    connection.close()
"""


def test_a_file_that_stays_open_elsewhere_is_a_clear_error(
    file: Path, loader: Loader, child: Child
) -> None:
    target = DuckDbTarget(file, table="orders", wait_seconds=0.1)
    with child.start(HOLD) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(TargetUnavailableError, match=f"warehouse.db.*process {holder.pid}"):
            target.begin(
                load=loader.load(), schema=loader.schema(id="int64", name="string"), write=APPEND
            )
        holder.communicate("close\n")


def test_a_second_writer_waits_for_its_turn(file: Path, loader: Loader, child: Child) -> None:
    target = DuckDbTarget(file, table="orders")
    schema = loader.schema(id="int64", name="string")
    with child.start(HOLD) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        loading = threading.Thread(target=loader.run, args=(target, schema, ROW))
        loading.start()
        assert loading.is_alive()
        holder.communicate("close\n")
        loading.join()
    assert sql(file, "select * from orders") == [(1, "one")]


def test_a_load_that_is_being_written_keeps_no_one_out(
    file: Path, loader: Loader, child: Child
) -> None:
    target = DuckDbTarget(file, table="orders")
    with target.begin(
        load=loader.load(), schema=loader.schema(id="int64", name="string"), write=APPEND
    ) as session:
        loader.write(session, ROW)
        code = """
            import duckdb
            with duckdb.connect(str(folder / "warehouse.db")) as connection:
                print(json.dumps(connection.execute("select 42").fetchall()))
        """
        assert child.answer(code) == [[42]]
        session.publish(loader.publication(1))


def test_two_workers_with_one_load_id_make_one_load(
    file: Path, loader: Loader, child: Child
) -> None:
    code = """
        from airflow_etl_provider.engines.targets.duckdb_file import DuckDbTarget
        from airflow_etl_provider.exceptions import FencedError
        target = DuckDbTarget(folder / "warehouse.db", table="orders")
        sys.stdin.readline()
        schema = loader.schema(id="int64", name="string")
        write = files.WriteSpec(mode="append")
        for turn in range(5):
            columns = {"id": list(range(3000)), "name": ["x"] * 3000}
            load = loader.load(str(turn) * 32)
            with target.begin(load=load, schema=schema, write=write) as session:
                if session.already_loaded is None:
                    try:
                        session.publish(loader.publication(loader.write(session, columns)))
                    except FencedError:
                        pass
        print("done")
    """
    workers = [child.start(code) for _ in range(2)]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        assert "done" in worker.communicate()[0]
    assert sql(file, "select count(*), count(distinct load_id) from _etl_loads") == [(5, 5)]
    assert sql(file, "select count(*) from orders") == [(15_000,)]


def test_a_connection_that_this_process_has_open_is_no_obstacle(file: Path, loader: Loader) -> None:
    with closing(duckdb.connect(str(file))) as mine:
        mine.execute("create table other (id int)")
        loader.run(
            DuckDbTarget(file, table="orders"), loader.schema(id="int64", name="string"), ROW
        )
        assert mine.execute("select * from orders").fetchall() == [(1, "one")]


def test_a_connection_with_other_settings_in_this_process_is_a_clear_error(file: Path) -> None:
    with (
        closing(duckdb.connect(str(file), config={"threads": 1})),
        pytest.raises(TargetUnavailableError, match="this process, with other settings"),
    ):
        DuckDbTarget(file, table="orders", wait_seconds=0).schema()


# --- crashes and full disks --------------------------------------------------------------------


@pytest.mark.parametrize(
    "where", ["FileLedger.record", "DuckDbSession._merge", "DuckDbSession._register"]
)
def test_killed_inside_the_publishing_transaction_the_old_rows_are_there(
    file: Path, loader: Loader, child: Child, where: str
) -> None:
    target = DuckDbTarget(file, table="orders")
    schema = loader.schema(id="int64", name="string")
    loader.run(target, schema, ROW, load=loader.load("0" * 32))
    done = child.run(
        f"""
        from airflow_etl_provider.engines.targets.duckdb_file import DuckDbTarget
        from airflow_etl_provider.engines.targets.duckdb_file.ledger import FileLedger
        from airflow_etl_provider.engines.targets.duckdb_file.session import DuckDbSession
        {where} = die
        target = DuckDbTarget(folder / "warehouse.db", table="orders")
        schema = loader.schema(id="int64", name="string")
        columns = {{"id": list(range(300000)), "name": [str(n) for n in range(300000)]}}
        mode = "merge" if "_merge" in {where!r} else "replace"
        loader.run(target, schema, columns, mode=mode, key=("id",))
        """
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert target.schema() is not None
    assert [entry.load_id for entry in target.ledger()] == ["0" * 32]
    assert sql(file, "select * from orders") == [(1, "one")]
    assert loader.run(target, schema, {"id": [2], "name": ["two"]}).rows_loaded == 1
    assert sql(file, "select * from orders") == [(2, "two")]
    assert list(file.parent.glob(".*")) == []


@pytest.mark.parametrize("stage", ["staging", "publishing"])
def test_a_full_disk_publishes_nothing(
    file: Path, loader: Loader, child: Child, stage: str
) -> None:
    target = DuckDbTarget(file, table="orders")
    schema = loader.schema(id="int64", name="string")
    loader.run(target, schema, ROW, load=loader.load("0" * 32))
    answer = child.answer(
        f"""
        from airflow_etl_provider.engines.targets.duckdb_file import DuckDbTarget
        from airflow_etl_provider.exceptions import TargetError
        target = DuckDbTarget(folder / "warehouse.db", table="orders")
        schema = loader.schema(id="int64", name="string")
        names = [os.urandom(50).hex() for _ in range(60000)]
        columns = {{"id": list(range(60000)), "name": names}}
        write = files.WriteSpec(mode="replace")
        size = (folder / "warehouse.db").stat().st_size

        def fill():
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100_000, size + 100_000))

        try:
            with target.begin(load=loader.load(), schema=schema, write=write) as session:
                if {stage!r} == "staging":
                    fill()
                rows = loader.write(session, columns)
                fill()
                session.publish(loader.publication(rows))
        except TargetError as error:
            print(json.dumps([type(error).__name__, str(error)]))
        """
    )
    assert answer[0] == "TargetError"
    assert "warehouse.db" in answer[1]
    assert sql(file, "select * from orders") == [(1, "one")]
    assert list(file.parent.glob(".*")) == []


def test_a_table_that_was_dropped_is_loaded_again(file: Path, loader: Loader) -> None:
    target = DuckDbTarget(file, table="orders")
    schema = loader.schema(id="int64", name="string")
    loader.run(target, schema, ROW, mode="append")
    sql(file, "drop table orders")
    loader.run(target, schema, ROW, mode="append")
    assert sql(file, "select * from orders") == [(1, "one")]


# --- what does not fit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("id int not null check (id < 100), name varchar", 4711, "CHECK"),
        ("id tinyint, name varchar", 4711, "does not fit the type"),
        ("id int, name varchar not null", None, "NOT NULL"),
    ],
)
def test_rows_that_the_table_refuses_are_an_error_that_shows_no_value(
    file: Path, loader: Loader, column: str, value: int | None, told: str
) -> None:
    sql(file, f"create table orders ({column})")
    target = DuckDbTarget(file, table="orders")
    row: dict[str, list[Any]] = {"id": [value], "name": ["secret" if value else None]}
    with pytest.raises(TargetDataError, match=told) as caught:
        loader.run(target, loader.schema(id="int16", name="string"), row, mode="append")
    assert caught.value.__cause__ is None
    assert "4711" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert sql(file, "select count(*) from orders") == [(0,)]
    assert target.ledger() == []


def test_a_duplicate_of_a_primary_key_is_an_error_that_shows_no_value(
    file: Path, loader: Loader
) -> None:
    sql(file, "create table orders (id varchar primary key)")
    target = DuckDbTarget(file, table="orders")
    with pytest.raises(TargetDataError, match="PRIMARY KEY") as caught:
        loader.run(target, loader.schema(id="string"), {"id": ["secret", "secret"]}, mode="append")
    assert "secret" not in str(caught.value)
    assert sql(file, "select count(*) from orders") == [(0,)]


def test_a_table_with_a_primary_key_can_be_replaced_and_merged(file: Path, loader: Loader) -> None:
    sql(file, "create table orders (id int primary key, name varchar unique)")
    target = DuckDbTarget(file, table="orders")
    schema = loader.schema(id="int32", name="string")
    for number, mode in enumerate(["replace", "replace", "merge", "merge"]):
        columns = {"id": [1, 2], "name": [f"a{number}", f"b{number}"]}
        load = loader.load(str(number) * 32)
        loader.run(target, schema, columns, load=load, mode=mode, key=("id",))
    assert sql(file, "select * from orders order by id") == [(1, "a3"), (2, "b3")]


@pytest.mark.parametrize(
    ("ids", "told"), [([1, None], "no value in the key"), ([1, 1], "more than once in the load")]
)
def test_merge_refuses_keys_that_are_none(
    file: Path, loader: Loader, ids: list[int | None], told: str
) -> None:
    target = DuckDbTarget(file, table="orders")
    columns = {"id": ids, "name": ["a", "b"]}
    with pytest.raises(TargetDataError, match=told):
        loader.run(
            target, loader.schema(id="int64", name="string"), columns, mode="merge", key=("id",)
        )
    assert target.schema() is None


def test_merge_refuses_a_key_that_the_table_repeats(file: Path, loader: Loader) -> None:
    sql(file, "create table orders as select 1::bigint as id, 'a' as name from range(2)")
    target = DuckDbTarget(file, table="orders")
    with pytest.raises(TargetSchemaError, match="more than once"):
        loader.run(target, loader.schema(id="int64", name="string"), ROW, mode="merge", key=("id",))
    assert sql(file, "select name from orders") == [("a",), ("a",)]


def test_columns_that_change_under_a_running_load_stop_it(file: Path, loader: Loader) -> None:
    sql(file, "create table orders (id int, name varchar)")
    target = DuckDbTarget(file, table="orders")
    schema = loader.schema(id="int32", name="string")
    with target.begin(load=loader.load(), schema=schema, write=APPEND) as session:
        loader.write(session, ROW)
        sql(file, "alter table orders alter id type varchar")
        with pytest.raises(TargetChangedError, match="changed while the load was running"):
            session.publish(loader.publication(1))
    assert sql(file, "select * from orders") == []


def test_a_column_that_must_be_given_is_asked_for_at_once(file: Path, loader: Loader) -> None:
    sql(file, "create table orders (id bigint, name varchar, amount int not null)")
    with pytest.raises(TargetSchemaError, match="'amount'"):
        DuckDbTarget(file, table="orders").begin(
            load=loader.load(), schema=loader.schema(id="int64", name="string"), write=APPEND
        )


def test_columns_that_differ_only_in_case_are_refused(file: Path, loader: Loader) -> None:
    with pytest.raises(TargetSchemaError, match="differ only in case"):
        DuckDbTarget(file, table="orders").begin(
            load=loader.load(), schema=loader.schema(id="int64", ID="string"), write=APPEND
        )


# --- names and types ---------------------------------------------------------------------------


@pytest.mark.parametrize("stem", ["main", "temp", "system", "orders", "select", "a b", 'q"uote'])
def test_the_name_of_the_file_does_not_matter(tmp_path: Path, loader: Loader, stem: str) -> None:
    file = tmp_path / f"{stem}.db"
    target = DuckDbTarget(file, table="orders")
    schema = loader.schema(id="int64", name="string")
    loader.run(target, schema, ROW, mode="merge", key=("id",))
    assert target.schema() == schema.__class__(
        tuple(type(f)(f.name, f.type, nullable=f.name != "id") for f in schema)
    )
    assert sql(file, "select * from main.orders") == [(1, "one")]


def test_a_table_may_live_in_a_schema_that_exists(file: Path, loader: Loader) -> None:
    sql(file, "create schema sales")
    target = DuckDbTarget(file, table="sales.orders")
    loader.run(target, loader.schema(id="int64", name="string"), ROW)
    assert sql(file, "select * from sales.orders") == [(1, "one")]
    with pytest.raises(TargetMissingError, match="'nope'"):
        DuckDbTarget(file, table="nope.orders").schema()


def test_a_view_is_no_target(file: Path) -> None:
    sql(file, "create view orders as select 1 as id")
    with pytest.raises(TargetSchemaError, match="is a view"):
        DuckDbTarget(file, table="orders").schema()


def test_types_of_duckdbs_own_are_written_through_the_nearest_of_ours(
    file: Path, loader: Loader
) -> None:
    sql(
        file,
        "create table orders (tiny tinyint, huge hugeint, ub ubigint, mood enum('sad', 'glad'), "
        'ns timestamp_ns, span interval, list integer[], pair struct(a int, "b c" varchar), '
        "counts map(varchar, int), bits bit)",
    )
    target = DuckDbTarget(file, table="orders")
    schema = target.schema()
    assert schema is not None
    assert {f.name: str(f.type) for f in schema} == {
        "tiny": "int16",
        "huge": "decimal(38,0)",
        "ub": "decimal(20,0)",
        "mood": "string",
        "ns": "timestamp",
        "span": "duration",
        "list": "array<int32>",
        "pair": "struct<a: int32, b c: string>",
        "counts": "string",
        "bits": "string",
    }
    row = {
        "tiny": [-128],
        "huge": [10**37],
        "ub": [2**64 - 1],
        "mood": ["glad"],
        "ns": [0],
        "span": [(1, 2, 3_000_000_000)],
        "list": [[1, None]],
        "pair": [{"a": 1, "b c": "x"}],
        "counts": ["{a=1}"],
        "bits": ["0101"],
    }
    loader.run(target, schema, row, mode="append")
    query = (
        "select tiny, huge, ub, mood, ns::varchar, span::varchar, list, pair, counts, "
        "bits::varchar from orders"
    )
    assert sql(file, query) == [
        (
            -128,
            10**37,
            2**64 - 1,
            "glad",
            "1970-01-01 00:00:00",
            "1 month 2 days 00:00:03",
            [1, None],
            {"a": 1, "b c": "x"},
            {"a": 1},
            "0101",
        )
    ]


# --- what is not there -------------------------------------------------------------------------


def test_looking_creates_nothing(file: Path) -> None:
    target = DuckDbTarget(file, table="orders")
    assert target.schema() is None
    assert target.ledger() == []
    assert not file.exists()


def test_a_file_that_is_no_database_is_left_alone(file: Path) -> None:
    file.write_bytes(b"hello" * 1000)
    with pytest.raises(TargetError, match="is no DuckDB file"):
        DuckDbTarget(file, table="orders").schema()
    assert file.read_bytes() == b"hello" * 1000


def test_a_missing_folder_is_not_created(tmp_path: Path, loader: Loader) -> None:
    target = DuckDbTarget(tmp_path / "gone" / "w.db", table="orders")
    with pytest.raises(TargetMissingError, match="gone"):
        target.begin(load=loader.load(), schema=loader.schema(id="int64"), write=APPEND)
    assert not (tmp_path / "gone").exists()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="is a folder"):
        DuckDbTarget(tmp_path, table="orders").schema()


def test_quarantines_lie_beside_the_file(file: Path) -> None:
    assert DuckDbTarget(file, table="orders").quarantine_home == f"{file}.quarantine"
    assert str(os.getpid()) not in DuckDbTarget(file, table="orders").name


# --- the ledger --------------------------------------------------------------------------------

OLD_LEDGER = """
    CREATE TABLE main._etl_loads (
        target VARCHAR NOT NULL, load_id VARCHAR NOT NULL, publication BIGINT NOT NULL,
        pipeline VARCHAR NOT NULL, "window" VARCHAR NOT NULL, mode VARCHAR NOT NULL,
        epoch BIGINT NOT NULL, input_hash VARCHAR NOT NULL, contract_hash VARCHAR NOT NULL,
        run_id VARCHAR NOT NULL, published_at VARCHAR NOT NULL, rows_read BIGINT NOT NULL,
        rows_loaded BIGINT NOT NULL, rows_quarantined BIGINT NOT NULL,
        rows_filtered BIGINT NOT NULL, rows_deduplicated BIGINT NOT NULL,
        rows_deleted BIGINT NOT NULL, quarantine VARCHAR, quarantine_checksum VARCHAR,
        positions VARCHAR NOT NULL
    );
    CREATE TABLE main._etl_epochs (
        target VARCHAR NOT NULL, load_id VARCHAR NOT NULL, epoch BIGINT NOT NULL
    );
    CREATE TABLE orders (id BIGINT, name VARCHAR);
    INSERT INTO main._etl_loads VALUES (
        'main.orders', 'old', 1, 'orders', 'input:x', 'append', 1, 'i', 'c', 'r',
        '2026-01-01T00:00:00+00:00', 1, 1, 0, 0, 0, 0, NULL, NULL,
        '{"inputs": [{"name": "a.csv", "size": 3, "version": "v"}]}'
    )
"""
"""As the first version made it."""


def test_a_ledger_of_an_earlier_version_goes_on(file: Path, loader: Loader) -> None:
    sql(file, OLD_LEDGER)
    target = DuckDbTarget(file, table="orders")
    found = target.position("orders", with_inputs=True)
    assert (found.token, list(found.inputs)) == ("old/1", ["a.csv"])
    loader.run(target, loader.schema(id="int64", name="string"), ROW)
    assert [(entry.load_id == "old", entry.created) for entry in target.ledger()] == [
        (True, False),
        (False, False),
    ]


def test_positions_of_loads_that_are_not_asked_for_are_not_read(file: Path, loader: Loader) -> None:
    """They may be large, and there is one more with every load."""
    target, schema = DuckDbTarget(file, table="orders"), loader.schema(id="int64", name="string")
    for load_id in ("a", "b"):
        loader.run(target, schema, ROW, load=loader.load(load_id), mode="append")
    sql(file, "UPDATE main._etl_loads SET positions = 'unreadable' WHERE load_id = 'a'")
    found = target.position("orders", with_inputs=False)
    assert (found.token, found.last and found.last.positions) == ("b/1", {})
    loader.run(target, schema, ROW, load=loader.load("c", follows=found.token), mode="append")
    with target.begin(load=loader.load("b"), schema=schema, write=APPEND) as session:
        assert session.already_loaded is not None


@pytest.mark.parametrize("at_once", [ledger.PARSED_BYTES, 1])
def test_inputs_are_those_of_the_newest_load_that_took_them(
    file: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(ledger, "PARSED_BYTES", at_once)
    target, schema = DuckDbTarget(file, table="orders"), loader.schema(id="int64", name="string")
    taken: dict[str, tuple[dict[str, object], ...]] = {
        "input:1": ({"name": "a", "size": 1, "version": "1"}, {"name": "b", "size": 1}),
        "after:2": ({"name": "a", "size": 2, "version": None}, {"name": 'c"\n', "size": None}),
        "2026-11-01": ({"name": "a", "size": 9, "version": "9"},),
        "input:3": (),
    }
    for number, (window, inputs) in enumerate(taken.items()):
        load = loader.load(str(number), window=window)
        with target.begin(load=load, schema=schema, write=APPEND) as session:
            rows = loader.write(session, ROW)
            positions = {"inputs": list(inputs)} if inputs else {}
            session.publish(Publication(rows, 0, 0, 0, positions=positions))
    assert dict(target.position("orders", with_inputs=True).inputs) == {
        "a": InputIdentity("a", 2, None),
        "b": InputIdentity("b", 1, None),
        'c"\n': InputIdentity('c"\n', None, None),
    }
