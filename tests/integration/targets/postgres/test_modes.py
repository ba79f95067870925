"""Append, replace and merge, into created and existing tables."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from airflow_etl_provider.engines.targets.base import WriteSpec
from airflow_etl_provider.exceptions import (
    LoadConflictError,
    NotSupportedYetError,
    SpecificationError,
    TargetDataError,
    TargetSchemaError,
)

pytestmark = pytest.mark.postgres


def orders(*rows: tuple[int | None, str | None], at: int | list[int] = 0) -> pa.Table:
    ages = at if isinstance(at, list) else [at] * len(rows)
    return pa.table(
        {
            "id": pa.array([row[0] for row in rows], pa.int64()),
            "name": pa.array([row[1] for row in rows], pa.string()),
            "at": pa.array(ages, pa.timestamp("us", tz="UTC")),
        }
    )


OLD, NEW = orders((1, "a"), (2, "b"), (3, None)), orders((3, "c"), (4, "d"))
PAIRS = "SELECT id, name FROM t ORDER BY id, name"


def test_an_appended_load_creates_its_table_with_the_contracts_types(warehouse) -> None:
    schema = warehouse.fields(
        id="int64 not null", name="string(5)", at="timestamptz", amount="decimal(12,2)"
    )
    rows = OLD.append_column("amount", pa.array([None] * 3, pa.decimal128(12, 2)))
    published = warehouse.run("t", rows, schema=schema)
    assert (published.rows_loaded, published.rows_deduplicated) == (3, 0)
    assert warehouse.target("t").schema() == schema
    assert warehouse.sql(PAIRS) == [(1, "a"), (2, "b"), (3, None)]


def test_append_adds_to_what_is_there(warehouse) -> None:
    warehouse.run("t", OLD)
    warehouse.run("t", NEW, load=warehouse.load_id("b"))
    assert warehouse.sql("SELECT count(*) FROM t") == [(5,)]


def test_columns_may_come_in_another_order_and_be_fewer(warehouse) -> None:
    warehouse.sql("CREATE TABLE t (n serial, name text, spare int DEFAULT 7 NOT NULL, id bigint)")
    warehouse.run(
        "t", OLD.select(["id", "name"]), schema=warehouse.fields(id="int64", name="string")
    )
    assert warehouse.sql("SELECT n, name, spare, id FROM t WHERE id = 2") == [(2, "b", 7, 2)]


def test_a_not_null_column_with_a_default_need_not_be_mapped(warehouse) -> None:
    warehouse.sql("CREATE TABLE t (id serial, a int NOT NULL, b int NOT NULL DEFAULT 1, c int)")
    schema = warehouse.target("t").schema()
    assert [field.name for field in schema if field.required] == ["a"]
    assert [field.name for field in schema if field.nullable] == ["c"]


@pytest.mark.parametrize("existing", [True, False])
def test_replace_leaves_the_new_rows_only(warehouse, existing: bool) -> None:
    if existing:
        warehouse.run("t", OLD)
    published = warehouse.run("t", NEW, mode="replace", load=warehouse.load_id("b"))
    assert published.rows_loaded == 2
    assert warehouse.sql(PAIRS) == [(3, "c"), (4, "d")]


def test_replace_by_nothing_empties_the_table(warehouse) -> None:
    warehouse.run("t", OLD)
    assert (
        warehouse.run("t", NEW.slice(0, 0), mode="replace", load=warehouse.load_id("b")).rows_loaded
        == 0
    )
    assert warehouse.sql(PAIRS) == []


def test_replace_keeps_grants_views_keys_and_foreign_keys(warehouse) -> None:
    warehouse.sql(
        "CREATE TABLE t (id bigint PRIMARY KEY, name text, at timestamptz); "
        "CREATE VIEW v AS SELECT id FROM t; GRANT SELECT ON t TO public; "
        "CREATE TABLE child (id bigint REFERENCES t DEFERRABLE INITIALLY DEFERRED); "
        "INSERT INTO t VALUES (3, 'x', now()); INSERT INTO child VALUES (3)"
    )
    warehouse.run("t", NEW, mode="replace")
    assert warehouse.sql("SELECT id FROM v ORDER BY id") == [(3,), (4,)]
    assert warehouse.sql("SELECT has_table_privilege('public', 't', 'SELECT')") == [(True,)]
    with pytest.raises(TargetDataError, match="23503") as caught:
        warehouse.run("t", NEW.slice(1), mode="replace", load=warehouse.load_id("b"))
    assert "(3)" not in str(caught.value)
    assert warehouse.sql("SELECT id FROM v ORDER BY id") == [(3,), (4,)]


def test_replace_does_not_delete_rows_of_other_tables(warehouse) -> None:
    warehouse.sql(
        "CREATE TABLE t (id bigint PRIMARY KEY, name text, at timestamptz); "
        "CREATE TABLE child (id bigint REFERENCES t ON DELETE CASCADE)"
    )
    with pytest.raises(TargetSchemaError, match="CASCADE"):
        warehouse.run("t", NEW, mode="replace")


@pytest.mark.parametrize("existing", [True, False])
def test_merge_inserts_and_updates_by_key(warehouse, existing: bool) -> None:
    if existing:
        warehouse.sql("CREATE TABLE t (name text, at timestamptz, id bigint UNIQUE NOT NULL)")
    warehouse.run("t", OLD, mode="merge", key=("id",))
    published = warehouse.run("t", NEW, mode="merge", key=("id",), load=warehouse.load_id("b"))
    assert (published.rows_loaded, published.rows_deduplicated) == (2, 0)
    assert warehouse.sql(PAIRS) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]


def test_a_created_merge_target_gets_its_key_as_primary_key(warehouse) -> None:
    warehouse.run("t", OLD.slice(0, 2), mode="merge", key=("name", "id"))
    assert warehouse.sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 't'::regclass AND contype = 'p'"
    ) == [("PRIMARY KEY (name, id)",)]


def test_merge_never_overwrites_newer_with_older(warehouse) -> None:
    held = orders((1, "held"), (2, "held"), (3, "held"), at=[10, 10, 10])
    coming = orders((1, "older"), (2, "same age"), (3, "newer"), (4, "new"), at=[9, 10, 11, 1])
    write = {"mode": "merge", "key": ("id",), "latest_by": "at"}
    warehouse.run("t", held, **write)
    published = warehouse.run("t", coming, load=warehouse.load_id("b"), **write)
    assert (published.rows_loaded, published.rows_deduplicated) == (3, 1)
    assert warehouse.sql(PAIRS) == [(1, "held"), (2, "same age"), (3, "newer"), (4, "new")]
    entry = warehouse.target("t").ledger()[-1]
    assert (entry.rows_read, entry.rows_loaded, entry.rows_deduplicated) == (4, 3, 1)


def test_a_row_without_age_gives_way_and_does_not_overwrite(warehouse) -> None:
    warehouse.sql(
        "CREATE TABLE t (id bigint PRIMARY KEY, name text, at timestamptz); "
        "INSERT INTO t VALUES (1, 'ageless', NULL), (2, 'held', now())"
    )
    coming = orders((1, "new"), (2, "ageless")).set_column(
        2, "at", pa.array([0, None], pa.timestamp("us", tz="UTC"))
    )
    published = warehouse.run("t", coming, mode="merge", key=("id",), latest_by="at")
    assert (published.rows_loaded, published.rows_deduplicated) == (1, 1)
    assert warehouse.sql(PAIRS) == [(1, "new"), (2, "held")]


def test_merge_where_every_column_is_key(warehouse) -> None:
    rows = pa.table({"id": pa.array([1, 2], pa.int64())})
    warehouse.run("t", rows, mode="merge", key=("id",))
    assert (
        warehouse.run("t", rows, mode="merge", key=("id",), load=warehouse.load_id("b")).rows_loaded
        == 2
    )
    assert warehouse.sql("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


@pytest.mark.parametrize(
    "definition",
    [
        "id bigint, name text, at timestamptz",
        "id bigint, name text, at timestamptz, PRIMARY KEY (id, name)",
        "id bigint, name text, at timestamptz, UNIQUE (id) DEFERRABLE",
    ],
)
def test_merge_refuses_a_table_without_a_unique_index_on_the_key(
    warehouse, definition: str
) -> None:
    warehouse.sql(f"CREATE TABLE t ({definition}); CREATE UNIQUE INDEX ON t (id) WHERE id > 5")
    with pytest.raises(TargetSchemaError, match=r"no unique index on exactly \(id\)"):
        warehouse.run("t", OLD, mode="merge", key=("id",))


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("rows", [orders((1, "x"), (1, "y")), orders((None, "x"))])
def test_merge_refuses_missing_and_double_keys(warehouse, existing: bool, rows: pa.Table) -> None:
    if existing:
        warehouse.sql("CREATE TABLE t (id bigint UNIQUE, name text, at timestamptz)")
    with pytest.raises(TargetDataError):
        warehouse.run("t", rows, mode="merge", key=("id",))
    assert warehouse.sql("SELECT count(*) FROM _etl_loads WHERE status = 'published'") == [(0,)]
    there = warehouse.sql("SELECT to_regclass('t') IS NOT NULL") == [(True,)]
    assert there is existing


def test_a_failed_load_leaves_no_table_and_no_entry(warehouse) -> None:
    with pytest.raises(TargetDataError, match="column 'name'"):
        warehouse.run(
            "t",
            orders((1, "too long")),
            schema=warehouse.fields(id="int64", name="string(3)", at="timestamptz"),
        )
    assert warehouse.sql("SELECT to_regclass('t')") == [(None,)]
    assert warehouse.target("t").ledger() == []


def test_the_same_load_twice_is_done_already(warehouse) -> None:
    warehouse.run("t", OLD)
    target = warehouse.target("t")
    with target.begin(
        load=warehouse.load_id(run_id="run 2"), schema=target.schema(), write=WriteSpec("append")
    ) as session:
        assert session.already_loaded == target.ledger()[0]
        assert session.already_loaded.run_id == "run 1"
    assert warehouse.sql("SELECT count(*) FROM t") == [(3,)]


def test_a_table_that_was_dropped_is_loaded_again(warehouse) -> None:
    warehouse.run("t", OLD)
    warehouse.sql("DROP TABLE t")
    assert warehouse.run("t", OLD).rows_loaded == 3


def test_other_input_for_an_appended_window_stops(warehouse) -> None:
    warehouse.run("t", OLD)
    with pytest.raises(LoadConflictError):
        warehouse.run("t", NEW, load=warehouse.load_id(input_hash="input 2"))
    assert warehouse.sql("SELECT epoch FROM _etl_loads") == [(1,)]


@pytest.mark.parametrize("mode", ["replace", "merge"])
def test_other_input_for_a_window_loads_anew(warehouse, mode: str) -> None:
    write = {"mode": mode, "key": ("id",)}
    warehouse.run("t", OLD, **write)
    warehouse.run("t", NEW, load=warehouse.load_id(input_hash="input 2"), **write)
    (entry,) = warehouse.target("t").ledger()
    assert (entry.epoch, entry.input_hash, entry.rows_loaded) == (2, "input 2", 2)


def test_a_retry_does_not_put_old_rows_over_a_later_replace(warehouse) -> None:
    warehouse.run("t", OLD, mode="replace")
    warehouse.run("t", NEW, mode="replace", load=warehouse.load_id("b"))
    target = warehouse.target("t")
    retry = {"schema": target.schema(), "write": WriteSpec("replace")}
    with target.begin(load=warehouse.load_id(), **retry) as session:
        assert session.already_loaded is not None
    with target.begin(load=warehouse.load_id(run_id="run 2"), **retry) as session:
        assert session.already_loaded is None


def test_replace_load_takes_the_earlier_load_out_in_the_same_transaction(warehouse) -> None:
    write = {"load_columns": True}
    warehouse.run("t", OLD, **write)
    warehouse.run("t", orders((9, "other")), load=warehouse.load_id("b"), **write)
    again = warehouse.load_id(input_hash="input 2", on_reload="replace_load")
    warehouse.run("t", NEW, load=again, **write)
    assert warehouse.sql(PAIRS) == [(3, "c"), (4, "d"), (9, "other")]


def test_replace_load_stops_where_the_earlier_rows_carry_no_load_id(warehouse) -> None:
    warehouse.run("t", OLD)
    warehouse.sql("ALTER TABLE t ADD _etl_load_id text, ADD _etl_loaded_at timestamptz")
    again = warehouse.load_id(input_hash="input 2", on_reload="replace_load")
    with pytest.raises(LoadConflictError, match="carries its id"):
        warehouse.run("t", NEW, load=again, load_columns=True)
    assert warehouse.sql("SELECT count(*) FROM t") == [(3,)]


@pytest.mark.parametrize("mode", ["append", "replace", "merge"])
def test_load_columns_say_which_load_brought_a_row_and_when(warehouse, mode: str) -> None:
    write = {"mode": mode, "key": ("id",), "load_columns": True}
    warehouse.run("t", OLD, **write)
    warehouse.run("t", NEW, load=warehouse.load_id("b"), **write)
    rows = warehouse.sql(
        "SELECT DISTINCT _etl_load_id, now() - _etl_loaded_at < '1 hour' FROM t ORDER BY 1"
    )
    assert ("b", True) in rows
    assert all(recent for _, recent in rows)
    assert warehouse.target("t").schema().names == ("id", "name", "at")


def test_load_columns_that_are_missing_are_named(warehouse) -> None:
    warehouse.run("t", OLD)
    with pytest.raises(TargetSchemaError, match="_etl_load_id text, _etl_loaded_at timestamptz"):
        warehouse.run("t", NEW, load=warehouse.load_id("b"), load_columns=True)


def test_replace_load_without_load_columns_is_refused(warehouse) -> None:
    with pytest.raises(SpecificationError, match="load_columns"):
        warehouse.run("t", OLD, load=warehouse.load_id(on_reload="replace_load"))


@pytest.mark.parametrize("mode", ["append", "replace", "merge"])
def test_partitioned_tables_take_rows_into_their_partitions(warehouse, mode: str) -> None:
    warehouse.sql(
        "CREATE TABLE t (id bigint PRIMARY KEY, name text, at timestamptz) "
        "PARTITION BY RANGE (id); "
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (3); "
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (3) TO (9)"
    )
    assert warehouse.run("t", OLD, mode=mode, key=("id",)).rows_loaded == 3
    assert warehouse.sql("SELECT count(*) FROM t2") == [(1,)]
    with pytest.raises(TargetDataError, match="no partition"):
        warehouse.run("t", orders((99, "z")), mode=mode, key=("id",), load=warehouse.load_id("b"))


@pytest.mark.parametrize("mode", ["append", "replace", "merge"])
def test_rows_that_a_trigger_swallows_are_not_counted_as_loaded(warehouse, mode: str) -> None:
    warehouse.sql(
        "CREATE TABLE t (id bigint PRIMARY KEY, name text, at timestamptz); "
        "CREATE FUNCTION drop_two() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN IF new.id = 2 THEN RETURN NULL; END IF; RETURN new; END'; "
        "CREATE TRIGGER d BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION drop_two()"
    )
    with pytest.raises(TargetDataError, match="took 2 of 3 rows"):
        warehouse.run("t", OLD, mode=mode, key=("id",))
    assert warehouse.sql("SELECT count(*) FROM t") == [(0,)]


def test_rows_that_a_trigger_swallows_are_not_taken_for_older_ones(warehouse) -> None:
    write = {"mode": "merge", "key": ("id",), "latest_by": "at"}
    warehouse.run("t", orders((1, "held"), at=10), **write)
    warehouse.sql(
        "CREATE FUNCTION drop_two() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN IF new.id = 2 THEN RETURN NULL; END IF; RETURN new; END'; "
        "CREATE TRIGGER d BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION drop_two()"
    )
    coming = orders((1, "older"), (2, "swallowed"), (3, "new"), at=9)
    with pytest.raises(TargetDataError, match=r"took 1 of 3 rows \(1 of them older .* trigger"):
        warehouse.run("t", coming, load=warehouse.load_id("b"), **write)
    assert warehouse.sql(PAIRS) == [(1, "held")]


def test_rows_whose_age_a_trigger_sets_are_all_taken(warehouse) -> None:
    write = {"mode": "merge", "key": ("id",), "latest_by": "at"}
    warehouse.run("t", orders((1, "held"), at=10), **write)
    warehouse.sql(
        "CREATE FUNCTION renew() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN new.at := now(); RETURN new; END'; "
        "CREATE TRIGGER d BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION renew()"
    )
    coming = orders((1, "renewed"), (2, "new"), at=9)
    published = warehouse.run("t", coming, load=warehouse.load_id("b"), **write)
    assert (published.rows_loaded, published.rows_deduplicated) == (2, 0)


def test_keys_and_ages_that_only_a_cast_writes_are_compared_as_their_types(warehouse) -> None:
    warehouse.sql(
        "CREATE TABLE t (id inet PRIMARY KEY, at inet, name text); "
        "INSERT INTO t VALUES ('10.0.0.1', '10.0.0.9', 'held'), ('10.0.0.2', NULL, 'held')"
    )
    rows = pa.table(
        {
            "id": ["10.0.0.1/32", "10.0.0.2", "10.0.0.3"],
            "at": ["10.0.0.10", None, None],
            "name": ["newer", "ageless", "new"],
        }
    )
    write = {"mode": "merge", "key": ("id",), "latest_by": "at"}
    assert warehouse.run("t", rows, **write).rows_deduplicated == 0
    older = rows.set_column(1, "at", pa.array(["10.0.0.9", None, None]))
    published = warehouse.run("t", older, load=warehouse.load_id("b"), **write)
    assert (published.rows_loaded, published.rows_deduplicated) == (2, 1)


def test_what_a_trigger_changes_is_loaded(warehouse) -> None:
    warehouse.sql(
        "CREATE TABLE t (id bigint, name text, at timestamptz); "
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN new.name := upper(new.name); RETURN new; END'; "
        "CREATE TRIGGER d BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION shout()"
    )
    assert warehouse.run("t", OLD).rows_loaded == 3
    assert warehouse.sql("SELECT name FROM t WHERE id = 1") == [("A",)]


def test_the_ledger_row_holds_the_whole_proof(warehouse) -> None:
    before = dt.datetime.now(dt.timezone.utc) - dt.timedelta(minutes=5)
    warehouse.run("t", OLD)
    (entry,) = warehouse.target("t").ledger()
    assert entry.target == "public.t"
    assert (entry.pipeline, entry.window, entry.mode) == ("orders", "2026-11-01", "append")
    assert (entry.input_hash, entry.contract_hash, entry.run_id) == (
        "input 1",
        "contract 1",
        "run 1",
    )
    assert (entry.quarantine, entry.quarantine_checksum) == ("s3://lake/q/1", "c0ffee")
    assert entry.positions == {"inputs": [{"name": "a.csv"}]}
    assert dt.datetime.fromisoformat(entry.published_at) > before


def test_two_tables_of_one_load_id_have_a_ledger_row_each(warehouse) -> None:
    warehouse.run("t", OLD)
    warehouse.run("u", OLD)
    assert [entry.target for entry in warehouse.target("u").ledger()] == ["public.u"]


def test_a_load_without_the_right_to_temporary_tables_stages_in_the_schema(warehouse) -> None:
    warehouse.sql(
        "CREATE ROLE loader LOGIN PASSWORD 'pw'; CREATE SCHEMA s AUTHORIZATION loader; "
        f"REVOKE TEMPORARY ON DATABASE {warehouse.uri.rsplit('/')[-1]} FROM public"
    )
    own = type(warehouse)(warehouse.uri.replace("postgres:correct%20horse", "loader:pw"))
    try:
        own.run("s.t", OLD, mode="merge", key=("id",))
        own.run("s.t", NEW, mode="merge", key=("id",), load=own.load_id("b"))
        assert own.sql("SELECT count(*) FROM s.t") == [(4,)]
        assert own.sql(
            "SELECT relname FROM pg_class "
            "WHERE relnamespace = 's'::regnamespace AND relkind = 'r' ORDER BY 1"
        ) == [("_etl_loads",), ("t",)]
    finally:
        warehouse.sql("DROP OWNED BY loader; DROP ROLE loader")


@pytest.mark.parametrize("mode", ["scd2", "snapshot"])
def test_modes_that_are_planned_say_so(warehouse, mode: str) -> None:
    with pytest.raises(NotSupportedYetError, match=mode):
        warehouse.run("t", OLD, mode=mode)
