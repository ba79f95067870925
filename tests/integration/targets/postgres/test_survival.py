"""What belongs to a table survives every mode: a load changes rows and nothing else."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from airflow_etl_provider.engines.targets.base import Deletes
from airflow_etl_provider.exceptions import TargetDataError

pytestmark = pytest.mark.postgres

WRITES: dict[str, dict[str, Any]] = {
    "append": {"mode": "append"},
    "replace": {"mode": "replace"},
    "replace_partition": {"mode": "replace_partition", "partition_by": ("part",)},
    "merge": {"mode": "merge", "key": ("id",)},
    "hard": {"mode": "merge", "key": ("id",), "deletes": Deletes()},
    "soft": {"mode": "merge", "key": ("id",), "deletes": Deletes("gone_at")},
}

TABLES = """
CREATE TABLE shop (id int PRIMARY KEY); INSERT INTO shop VALUES (1), (2);
CREATE TABLE t (
  id bigint PRIMARY KEY, part int NOT NULL REFERENCES shop, name text CHECK (name <> ''),
  note text DEFAULT 'n', gone_at timestamptz,
  upper_name text GENERATED ALWAYS AS (upper(name)) STORED
);
CREATE INDEX by_part ON t (part) WHERE name IS NOT NULL;
CREATE INDEX by_name ON t (lower(name));
CREATE STATISTICS of_t (dependencies) ON part, name FROM t;
COMMENT ON TABLE t IS 'kept'; COMMENT ON COLUMN t.name IS 'kept too';
CREATE VIEW v AS SELECT part, count(*) AS rows FROM t GROUP BY part;
CREATE MATERIALIZED VIEW m AS SELECT id FROM t;
CREATE TABLE child (id bigint REFERENCES t DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION noop();
GRANT SELECT ON t TO public; GRANT SELECT (id), UPDATE (name) ON t TO pg_monitor;
ALTER TABLE t SET (fillfactor = 70, autovacuum_enabled = false);
ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE t CLUSTER ON t_pkey;
CREATE PUBLICATION p FOR TABLE t;
INSERT INTO t (id, part, name) VALUES (1, 1, 'old'), (2, 2, 'old'); INSERT INTO child VALUES (2);
"""

ALL_OF_IT = """
SELECT c.oid, c.relacl::text, c.reloptions::text, c.relreplident, c.relhastriggers, c.relowner,
  (SELECT array_agg(a.attname || coalesce(a.attacl::text, '') || format_type(atttypid, atttypmod)
                    || attnotnull || coalesce(pg_get_expr(d.adbin, d.adrelid), '') ORDER BY attnum)
   FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
   WHERE attrelid = c.oid AND attnum > 0),
  (SELECT array_agg(indexrelid::text || pg_get_indexdef(indexrelid) || indisclustered || indisvalid
                    ORDER BY indexrelid) FROM pg_index WHERE indrelid = c.oid),
  (SELECT array_agg(conname || pg_get_constraintdef(oid) || convalidated ORDER BY conname)
   FROM pg_constraint WHERE conrelid = c.oid OR confrelid = c.oid),
  (SELECT array_agg(pg_get_triggerdef(oid) || tgenabled::text ORDER BY oid)
   FROM pg_trigger WHERE tgrelid = c.oid),
  (SELECT array_agg(description ORDER BY objsubid) FROM pg_description WHERE objoid = c.oid),
  (SELECT array_agg(stxname::text) FROM pg_statistic_ext WHERE stxrelid = c.oid),
  (SELECT array_agg(prpubid) FROM pg_publication_rel WHERE prrelid = c.oid),
  pg_get_viewdef('v'::regclass), pg_get_viewdef('m'::regclass)
FROM pg_class c WHERE c.oid = 't'::regclass
"""


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_everything_around_the_rows_is_as_it_was(warehouse, write: dict[str, Any]) -> None:
    warehouse.sql(TABLES)
    before = warehouse.sql(ALL_OF_IT)
    rows = pa.table(
        {
            "id": pa.array([2, 3], pa.int64()),
            "part": pa.array([2, 2], pa.int32()),
            "name": pa.array(["new", "new"]),
        }
    )
    if write["mode"] == "append":
        rows = rows.set_column(0, "id", pa.array([3, 4], pa.int64()))
    if "deletes" in write:
        rows = rows.append_column("_etl_delete", pa.array([False, True]))
    schema = warehouse.fields(id="int64 not null", part="int32 not null", name="string")
    published = warehouse.run("t", rows, schema=schema, **write)
    assert published.rows_loaded + published.rows_deleted == 2
    assert warehouse.sql(ALL_OF_IT) == before
    expected = {
        "append": [(1, 1), (2, 3)],
        "replace": [(2, 2)],
        "replace_partition": [(1, 1), (2, 2)],
        "merge": [(1, 1), (2, 1 if "deletes" in write else 2)],
    }[write["mode"]]
    assert warehouse.sql("SELECT * FROM v ORDER BY part") == expected
    assert warehouse.sql("SELECT count(*) FROM t WHERE upper_name = 'NEW'")[0][0] >= 1


@pytest.mark.parametrize("mode", ["replace", "replace_partition", "hard"])
def test_rows_that_others_refer_to_can_not_go(warehouse, mode: str) -> None:
    warehouse.sql(TABLES)
    rows = pa.table(
        {
            "id": pa.array([9 if mode != "hard" else 2], pa.int64()),
            "part": pa.array([2], pa.int32()),
            "name": pa.array(["new"]),
        }
    )
    if mode == "hard":
        rows = rows.append_column("_etl_delete", pa.array([True]))
    schema = warehouse.fields(id="int64 not null", part="int32 not null", name="string")
    with pytest.raises(TargetDataError, match="child"):
        warehouse.run("t", rows, schema=schema, **WRITES[mode])
    assert warehouse.sql("SELECT id, name FROM t ORDER BY id") == [(1, "old"), (2, "old")]
    assert warehouse.target("t").ledger() == []


@pytest.mark.parametrize("how", ["hard", "soft"])
def test_rows_that_a_trigger_keeps_from_being_deleted_fail_the_load(warehouse, how: str) -> None:
    warehouse.sql(TABLES)
    warehouse.sql(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
        "CREATE TRIGGER k BEFORE UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep()"
    )
    rows = pa.table(
        {
            "id": pa.array([1], pa.int64()),
            "part": pa.array([1], pa.int32()),
            "name": pa.array([None], pa.string()),
            "_etl_delete": pa.array([True]),
        }
    )
    schema = warehouse.fields(id="int64 not null", part="int32 not null", name="string")
    with pytest.raises(TargetDataError, match="kept 1 rows"):
        warehouse.run("t", rows, schema=schema, **WRITES[how])
    assert warehouse.sql("SELECT id, gone_at FROM t ORDER BY id") == [(1, None), (2, None)]


def test_a_hard_delete_takes_along_what_cascades(warehouse) -> None:
    warehouse.sql(
        "CREATE TABLE t (id bigint PRIMARY KEY, name text); "
        "CREATE TABLE child (id bigint REFERENCES t ON DELETE CASCADE); "
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO child VALUES (1), (2)"
    )
    rows = pa.table(
        {
            "id": pa.array([1], pa.int64()),
            "name": pa.array([None], pa.string()),
            "_etl_delete": pa.array([True]),
        }
    )
    schema = warehouse.fields(id="int64 not null", name="string")
    warehouse.run("t", rows, schema=schema, **WRITES["hard"])
    assert warehouse.sql("SELECT id FROM child") == [(2,)]
