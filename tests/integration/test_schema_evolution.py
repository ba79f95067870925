"""What `schema_evolution` makes of a source that is not as agreed, on targets of every kind."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.engines.targets.postgres import parse_postgres_uri
from airflow_etl_provider.exceptions import (
    EtlError,
    SchemaDriftError,
    SpecificationError,
    TargetChangedError,
    TargetSchemaError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.engines.batch import Progress


class Shop:
    """Files in a folder, and a database that they are loaded into."""

    def __init__(self, folder: Path, connection: Connection, query: Callable[..., Any]) -> None:
        self.folder = folder
        self.connection = connection
        self.sql = query

    def csv(self, text: str) -> None:
        (self.folder / "a.csv").write_text(text)

    def parquet(self, **columns: Any) -> None:
        pq.write_table(pa.table(columns), self.folder / "a.parquet")

    def load(
        self,
        policy: str | None = None,
        *,
        file: str = "a.csv",
        target: Any = None,
        progress: Callable[[Progress], None] | None = None,
        **more: Any,
    ) -> RunReport:
        written: dict[str, Any] = {
            "pipeline": "p",
            "source": {"location": str(self.folder / file)},
            "target": {"connection": "w", "table": "t"} | (target or {}),
            "quarantine": str(self.folder / "quarantine"),
        }
        if policy is not None:
            written["schema_evolution"] = policy
        return run_pipeline(
            Pipeline.model_validate(written | more),
            connections=lambda _: self.connection,
            run_id="run",
            base=self.folder,
            options=EngineOptions(threads=2),
            clock=lambda: datetime.now(timezone.utc),
            progress=progress,
        )

    def rows(self, columns: str = "*") -> list[Any]:
        return self.sql(f"SELECT {columns} FROM t ORDER BY 1, 2")


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def shop(request: Any, tmp_path: Path) -> Shop:
    if request.param == "postgres":
        uri = request.getfixturevalue("postgres_server")

        def ask(query: str) -> Any:
            connection = psycopg2.connect(uri)
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute(query)
                    return cursor.fetchall() if cursor.description else []
            finally:
                connection.close()

        return Shop(tmp_path, parse_postgres_uri(uri), ask)
    path = tmp_path / "w.duckdb"

    def ask_file(query: str) -> Any:
        with duckdb.connect(str(path)) as connection:
            return connection.execute(query).fetchall()

    return Shop(tmp_path, Connection("w", "duckdb", host=str(path)), ask_file)


def changes(report: RunReport) -> list[tuple[str, ...]]:
    return [
        (change.change, change.name, change.type, *([change.was] if change.was else []))
        for change in report.schema_changes
    ]


def contract(fields: dict[str, str], columns: dict[str, Any], **target: str) -> dict[str, Any]:
    return {
        "contract": "c",
        "source": {"fields": fields},
        "target": {"fields": target},
        "columns": columns,
    }


ID = {"from": "id", "convert": "cast"}
NAME = {"from": "name"}
TWO = contract(
    {"id": "string", "name": "string"}, {"id": ID, "name": NAME}, id="int64", name="string"
)


SOON = {"lock_timeout": 3}
"""Whoever waits for itself fails before the test's patience is over."""


# --- by name


@pytest.mark.parametrize("policy", [None, "discard"])
def test_by_name_new_fields_are_left_out_and_told(shop: Shop, policy: str | None) -> None:
    shop.sql("CREATE TABLE t (id bigint, name text)")
    shop.csv("id,phone,name\n1,030,Ada\n")
    report = shop.load(policy)
    assert (report.unmapped, report.schema_changes) == (("phone",), ())
    assert shop.rows() == [(1, "Ada")]


@pytest.mark.parametrize("policy", ["review", "freeze"])
def test_by_name_review_and_freeze_stop_at_any_difference(shop: Shop, policy: str) -> None:
    shop.sql("CREATE TABLE t (id bigint, name text, fax text, made timestamp DEFAULT now())")
    shop.csv("id,name,phone\n1,Ada,0301\n2,Bob,0302\n")
    with pytest.raises(SchemaDriftError) as error:
        shop.load(policy)
    message = str(error.value)
    assert "'phone' (string) is new (additive); 'fax' (string) is gone (breaking)" in message
    assert f"schema_evolution: {policy}" in message
    assert [change.name for change in error.value.changes] == ["phone", "fax"]
    assert shop.rows() == []
    shop.csv("name,id,fax\nAda,1,2\n")
    assert shop.load(policy).rows_loaded == 1


def test_by_name_evolve_adds_columns_with_the_types_of_their_values(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id bigint, name text)")
    shop.csv("id,name\n1,Ada\n")
    shop.load("evolve")
    shop.csv('id,"since when",name,"Points"\n2,2024-01-05,Bob,7\n3,,Cy,\n')
    report = shop.load("evolve")
    assert changes(report) == [
        ("column_added", "since when", "date"),
        ("column_added", "Points", "int64"),
    ]
    assert report.unmapped == ()
    assert shop.rows('id, name, CAST("since when" AS text), "Points"') == [
        (1, "Ada", None, None),
        (2, "Bob", "2024-01-05", 7),
        (3, "Cy", None, None),
    ]
    shop.csv('id,"since when",name,"Points"\n4,2024-01-06,Di,8\n')
    assert shop.load("evolve").schema_changes == ()


def test_by_name_evolve_leaves_what_is_missing_empty(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id bigint, name text, fax text, n integer DEFAULT 5)")
    shop.csv("id,name\n1,Ada\n")
    report = shop.load("evolve")
    assert changes(report) == [("field_missing", "fax", "string")]
    assert shop.rows() == [(1, "Ada", None, 5)]
    shop.sql("CREATE TABLE u (id bigint, name text NOT NULL)")
    shop.csv("id\n1\n")
    with pytest.raises(TargetSchemaError, match="needs a value in 'name'"):
        shop.load("evolve", target={"table": "u"})


def test_by_name_evolve_widens_columns_to_what_comes(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id integer, price numeric(6,2), name varchar(5), n smallint)")
    shop.sql("INSERT INTO t VALUES (1, 12.50, 'Ada', 3)")
    shop.parquet(
        id=pa.array([3_000_000_000], pa.int64()),
        price=pa.array([None], pa.decimal128(12, 4)),
        name=pa.array(["Bo"]),
        n=pa.array([4], pa.int16()),
    )
    report = shop.load("evolve", file="a.parquet")
    assert changes(report) == [
        ("column_widened", "id", "int64", "int32"),
        ("column_widened", "price", "decimal(12,4)", "decimal(6,2)"),
    ]
    assert [row[0] for row in shop.rows()] == [1, 3_000_000_000]


def test_by_name_whole_numbers_in_text_may_become_fractions(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id bigint, amount integer)")
    shop.csv("id,amount\n1,5\n")
    assert shop.load("evolve").schema_changes == ()
    shop.csv("id,amount\n2,5.25\n3,7.00\n")
    report = shop.load("evolve")
    assert [change[:2] for change in changes(report)] == [("column_widened", "amount")]
    assert [float(amount) for _, amount in shop.rows()] == [5, 5.25, 7]


def test_without_evolve_values_that_do_not_fit_are_rejected(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id bigint, amount integer)")
    shop.csv("id,amount\n1,5\n2,5.25\n")
    report = shop.load("discard")
    assert (report.rows_loaded, report.rows_quarantined) == (1, 1)


# --- by a written contract


@pytest.mark.parametrize("policy", [None, "review", "freeze"])
def test_a_source_that_is_not_as_the_contract_says_stops_before_anything_is_read(
    shop: Shop, policy: str | None
) -> None:
    mapping = contract(
        {"id": "string", "name": "string", "old": "string"},
        {"id": ID, "name": NAME},
        id="int64",
        name="string",
    )
    shop.csv("id,name,new\n1,Ada,x\n")
    with pytest.raises(SchemaDriftError, match=r"'old' \(string\) is gone \(breaking\)") as error:
        shop.load(policy, mapping=mapping)
    assert "'new' (string) is new (additive)" in str(error.value)
    assert "contract 'c' version 1" in str(error.value)
    assert not (shop.folder / "quarantine").exists()
    assert isinstance(error.value, SpecificationError)


def test_a_type_that_changed_stops_review(shop: Shop) -> None:
    mapping = contract(
        {"id": "int32", "name": "string"}, {"id": ID, "name": NAME}, id="int64", name="string"
    )
    shop.parquet(id=pa.array([1], pa.int64()), name=pa.array(["Ada"]))
    with pytest.raises(SchemaDriftError, match=r"'id' was int32 and is int64 \(compatible\)"):
        shop.load(mapping=mapping, file="a.parquet")


def test_fields_that_are_left_out_knowingly_are_no_drift(shop: Shop) -> None:
    fields = {"id": "string", "name": "string", "legacy": "string"}
    mapping = TWO | {"source": {"fields": fields}, "unmapped": {"source": ["legacy"]}}
    shop.csv("id,name,legacy\n1,Ada,x\n")
    assert shop.load("freeze", mapping=mapping).rows_loaded == 1
    shop.csv("id,name,legacy\n2,Bob,x\n")
    report = shop.load("evolve", mapping=mapping)
    assert (report.schema_changes, report.unmapped) == ((), ())


def test_a_fingerprint_alone_tells_that_something_changed(shop: Shop) -> None:
    mapping = TWO | {"source": {"fingerprint": "0" * 64}}
    shop.csv("id,name\n1,Ada\n")
    with pytest.raises(SchemaDriftError, match="the fingerprint was 000000000000"):
        shop.load(mapping=mapping)
    assert shop.load("discard", mapping=mapping).rows_loaded == 1


def test_a_contract_without_fields_is_reviewed_by_what_it_uses_alone(shop: Shop) -> None:
    mapping = {key: value for key, value in TWO.items() if key != "source"}
    shop.csv("id,name,new\n1,Ada,x\n")
    assert shop.load(mapping=mapping).unmapped == ("new",)
    for policy in ("evolve", "freeze"):
        with pytest.raises(SpecificationError, match="and it lists none"):
            shop.load(policy, mapping=mapping)


def test_freeze_stops_where_the_table_differs_from_the_contract(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id integer, name text, extra text)")
    shop.csv("id,name\n1,Ada\n")
    with pytest.raises(SchemaDriftError) as error:
        shop.load("freeze", mapping=TWO)
    assert "'id' was int64 and is int32 (compatible); 'extra' (string) is new" in str(error.value)
    assert shop.load("review", mapping=TWO).rows_loaded == 1


def test_discard_loads_what_the_contract_knows(shop: Shop) -> None:
    shop.csv("id,new,name\n1,x,Ada\n")
    report = shop.load("discard", mapping=TWO)
    assert (report.rows_loaded, report.unmapped) == (1, ("new",))
    shop.csv("id\n1\n")
    with pytest.raises(SpecificationError, match="'name', which the source does not have"):
        shop.load("discard", mapping=TWO)


def test_evolve_takes_new_fields_of_the_source_into_the_table(shop: Shop) -> None:
    shop.csv("id,name\n1,Ada\n")
    shop.load("evolve", mapping=TWO)
    shop.csv("id,name,score\n2,Bob,1.5\n")
    report = shop.load("evolve", mapping=TWO)
    assert [change[:2] for change in changes(report)] == [("column_added", "score")]
    # The contract still does not know it; the table has the column by now.
    shop.csv("id,name,score\n3,Cy,2.5\n4,Di,many\n")
    report = shop.load("evolve", mapping=TWO)
    assert (report.schema_changes, report.rows_quarantined) == ((), 1)
    assert [(row[0], row[2] and float(row[2])) for row in shop.rows()] == [
        (1, None),
        (2, 1.5),
        (3, 2.5),
    ]


def test_evolve_puts_null_where_a_field_is_lost(shop: Shop) -> None:
    columns = {
        "id": ID,
        "name": NAME,
        "both": {"from": ["name", "city"], "convert": {"concat": {"skip_null": True}}},
    }
    mapping = contract(
        {"id": "string", "name": "string", "city": "string"},
        columns,
        id="int64",
        name="string",
        both="string",
    )
    shop.csv("id,city\n1,Bonn\n2,Rom\n")
    report = shop.load("evolve", mapping=mapping)
    assert changes(report) == [("field_missing", "name", "string")]
    assert shop.rows() == [(1, None, "Bonn"), (2, None, "Rom")]


def test_rejected_records_of_a_source_that_lost_a_field_keep_their_bytes(shop: Shop) -> None:
    shop.csv("id\n1\nx\n")
    report = shop.load("evolve", mapping=TWO)
    assert report.quarantine is not None
    (reject,) = read_quarantine(report.quarantine)
    assert (reject.raw, reject.record) == (b"x", 2)


@pytest.mark.parametrize("needed", ["key", "not null"])
def test_evolve_stops_where_a_lost_field_fills_what_needs_a_value(shop: Shop, needed: str) -> None:
    constraint = "NOT NULL" if needed == "not null" else ""
    shop.sql(f"CREATE TABLE t (id bigint PRIMARY KEY, name text {constraint})")
    shop.csv("name\nAda\n" if needed == "key" else "id\n1\n")
    target = {"mode": "merge", "key": ["id"]}
    with pytest.raises(SchemaDriftError, match="of the target needs a value"):
        shop.load("evolve", mapping=TWO, target=target)


LOST = contract(
    {"id": "string", "name": "string", "op": "string", "changed": "string"},
    {"id": ID, "name": NAME, "seen": {"from": "changed", "convert": "cast"}},
    id="int64",
    name="string",
    seen="timestamp",
)


@pytest.mark.parametrize(
    ("header", "pipeline", "told"),
    [
        ("id,name,op", {"target": {"latest_by": "seen"}}, "'seen' of the target needs a value"),
        ("id,name,changed", {"target": {"deletes": {"when": "OP = 'D'"}}}, "`deletes.when`"),
        ("id,name,changed", {"filter": "op is distinct from 'X'"}, "`filter`"),
        (
            "id,name,changed",
            {
                "mapping": LOST
                | {"columns": LOST["columns"] | {"name": NAME | {"when": "op = 'X'"}}}
            },
            "`when` of column 'name'",
        ),
        (
            "id,name,op",
            {"source": {"incremental": {"by": "column", "column": "seen"}}},
            "'seen' of the target needs a value",
        ),
        (
            "id,name,changed",
            {"source": {"incremental": {"by": "column", "column": "op"}}},
            "`incremental` goes by it",
        ),
    ],
)
def test_evolve_stops_where_a_lost_field_decides_over_records(
    shop: Shop, header: str, pipeline: dict[str, Any], told: str
) -> None:
    shop.sql("CREATE TABLE t (id bigint PRIMARY KEY, name text, seen timestamp)")
    shop.sql("INSERT INTO t VALUES (1, 'Ada', TIMESTAMP '2024-01-01')")
    shop.csv(f"{header}\n1,Bob,{'2025-01-01' if 'changed' in header else 'U'}\n")
    target = {"mode": "merge", "key": ["id"]} | pipeline.get("target", {})
    source = {"location": str(shop.folder / "a.csv")} | pipeline.get("source", {})
    with pytest.raises(SchemaDriftError) as error:
        shop.load("evolve", **({"mapping": LOST} | pipeline | {"target": target, "source": source}))
    assert told in str(error.value)
    assert [change.name for change in error.value.changes] == [
        "changed" if "op" in header else "op"
    ]


def test_evolve_goes_on_where_a_conversion_fills_latest_by(shop: Shop) -> None:
    columns = LOST["columns"] | {
        "seen": {"from": "changed", "convert": ["cast", {"default": "2025-01-01T00:00:00"}]}
    }
    shop.csv("id,name,op\n1,Bob,U\n")
    target = {"mode": "merge", "key": ["id"], "latest_by": "seen"}
    shop.load("evolve", mapping=LOST | {"columns": columns}, target=target)
    assert shop.rows("id, name") == [(1, "Bob")]


@pytest.mark.parametrize(
    ("column", "there"), [("code", "id bigint"), ("code", "id bigint, code integer")]
)
def test_unique_looks_for_keys_of_a_column_that_evolve_adds_or_widens(
    shop: Shop, column: str, there: str
) -> None:
    shop.sql(f"CREATE TABLE t ({there})")
    shop.sql(f"INSERT INTO t SELECT {'1' if there == 'id bigint' else '1, 5'}")
    mapping = contract(
        {"id": "string", "code": "string"},
        {"id": ID, "code": {"from": "code", "convert": "cast"}},
        id="int64",
        code="int64",
    )
    shop.csv("id,code\n2,5\n3,30000000000\n3,30000000000\n")
    report = shop.load(
        "evolve", mapping=mapping, target=SOON, rules=[{"column": column, "unique": True}]
    )
    known = int("code" in there)
    assert (report.rows_loaded, report.rows_quarantined) == (2 - known, 1 + known)
    assert len(shop.rows()) == 3 - known


def test_evolve_goes_with_rules_that_look_keys_up(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id bigint, boss bigint)")
    shop.sql("INSERT INTO t VALUES (1, NULL), (2, 1)")
    shop.csv("id,boss,phone\n1,2,0301\n3,2,0302\n4,9,0303\n")
    rules = [{"column": "id", "unique": True}, {"column": "boss", "references": "t.id"}]
    report = shop.load("evolve", target=SOON, rules=rules)
    assert changes(report) == [("column_added", "phone", "string")]
    assert shop.rows("id, boss, phone") == [(1, None, None), (2, 1, None), (3, 2, "0302")]


def test_evolve_gives_the_table_what_the_contract_says(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id integer, name varchar(3))")
    mapping = contract(
        {"id": "string", "name": "string", "on": "string"},
        {"id": ID, "name": NAME, "on": {"from": "on", "convert": "cast"}},
        id="int64",
        name="string(40)",
        on="date",
    )
    shop.csv("id,name,on\n3000000000,Adalbert,2024-01-05\n")
    report = shop.load("evolve", mapping=mapping)
    # A DuckDB file keeps no length of texts.
    texts = [("column_widened", "name", "string(40)", "string(3)")]
    assert changes(report) == [
        ("column_added", "on", "date"),
        ("column_widened", "id", "int64", "int32"),
        *(texts if shop.connection.kind == "postgres" else []),
    ]
    assert [row[:2] for row in shop.rows()] == [(3_000_000_000, "Adalbert")]
    shop.sql("CREATE TABLE u (id integer)")
    with pytest.raises(TargetSchemaError, match="does not have"):
        shop.load("review", mapping=mapping, target={"table": "u"})


@pytest.mark.parametrize("mode", ["append", "replace", "merge"])
def test_every_mode_evolves(shop: Shop, mode: str) -> None:
    shop.sql("CREATE TABLE t (id bigint PRIMARY KEY, name text)")
    shop.sql("INSERT INTO t VALUES (1, 'Ada'), (2, 'Bob')")
    rows = "3,Cy,x\n" if mode == "append" else "2,Bert,y\n3,Cy,x\n"
    shop.csv(f"id,name,extra\n{rows}")
    target = {"mode": mode, "key": ["id"] if mode == "merge" else [], "load_columns": False}
    report = shop.load("evolve", target=target)
    assert changes(report) == [("column_added", "extra", "string")]
    kept = {
        "append": [(1, "Ada", None), (2, "Bob", None)],
        "merge": [(1, "Ada", None)],
        "replace": [],
    }
    new = [(3, "Cy", "x")] if mode == "append" else [(2, "Bert", "y"), (3, "Cy", "x")]
    assert shop.rows() == kept[mode] + new


@pytest.mark.parametrize("shop", ["duckdb"], indirect=True)
@pytest.mark.parametrize(
    ("policy", "somebody"),
    [
        (None, "ALTER TABLE t ALTER COLUMN name SET DATA TYPE bigint"),
        ("evolve", "ALTER TABLE t ADD COLUMN phone date"),
    ],
)
def test_columns_that_somebody_changes_meanwhile_let_the_load_run_again(
    shop: Shop, policy: str | None, somebody: str
) -> None:
    shop.sql("CREATE TABLE t (id bigint, name integer)")
    shop.csv("id,name,phone\n1,5,0301\n")

    def change(progress: Progress) -> None:
        if progress.stage == "publishing":
            shop.sql(somebody)

    with pytest.raises(TargetChangedError, match="Run again"):
        shop.load(policy, progress=change)
    assert shop.rows() == []


@pytest.mark.parametrize("shop", ["duckdb"], indirect=True)
@pytest.mark.parametrize(
    ("table", "because"),
    [
        ("CREATE TABLE t (id bigint, n integer); CREATE INDEX i ON t (n)", "the index i"),
        ("CREATE TABLE t (id bigint, n integer); CREATE INDEX i ON t (id)", "the index i"),
        ("CREATE TABLE t (id bigint, n integer UNIQUE)", "its UNIQUE constraint"),
        ("CREATE TABLE t (id bigint, n integer CHECK (n > 0))", "its CHECK constraint"),
        (
            "CREATE TABLE t (id int8 UNIQUE, n int4); CREATE TABLE c (x bigint REFERENCES t(id))",
            "a FOREIGN KEY of table c",
        ),
    ],
)
def test_what_duckdb_can_not_widen_stops_before_the_first_row(
    shop: Shop, table: str, because: str
) -> None:
    shop.sql(table)
    shop.csv("id,n\n1,1.5\n")
    stages: list[str] = []
    with pytest.raises(TargetSchemaError, match=because):
        shop.load("evolve", progress=lambda progress: stages.append(progress.stage))
    assert "publishing" not in stages
    shop.csv("id,n,new\n1,1,x\n")
    shop.load("evolve")
    assert shop.rows() == [(1, 1, "x")]


def test_a_load_that_fails_alters_nothing(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id bigint, name text)")
    shop.csv("id,name,extra\n1,Ada,x\nz,Bob,y\n")
    with pytest.raises(EtlError, match="more than max_rejected"):
        shop.load("evolve", max_rejected=0)
    shop.csv("id,name\n1,Ada\n")
    shop.load()
    assert shop.rows() == [(1, "Ada")]


def test_the_same_load_again_is_loaded_already(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id bigint, name text)")
    shop.csv("id,name,extra\n1,Ada,x\n")
    assert shop.load("evolve").status == "done"
    again = shop.load("evolve")
    assert (again.status, again.schema_changes) == ("already_loaded", ())


def test_views_of_the_table_go_on(shop: Shop) -> None:
    shop.sql("CREATE TABLE t (id bigint, name text)")
    shop.sql("CREATE VIEW v AS SELECT id, name FROM t")
    shop.csv("id,name,extra\n1,Ada,x\n")
    shop.load("evolve")
    assert shop.sql("SELECT * FROM v") == [(1, "Ada")]


# --- files


def test_a_whole_file_gets_new_columns_and_keeps_lost_ones_empty(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Connection("w", "fs"), lambda _: [])
    out = {
        "connection": None,
        "table": None,
        "location": str(tmp_path / "out.parquet"),
        "mode": "replace",
    }
    shop.csv("id,extra\n1,2024-01-05\n")
    report = shop.load("evolve", mapping=TWO, target=out)
    assert changes(report) == [
        ("column_added", "extra", "date"),
        ("field_missing", "name", "string"),
    ]
    table = pq.read_table(tmp_path / "out.parquet")
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "int64",
        "name": "string",
        "extra": "date32[day]",
    }
    assert table["name"].to_pylist() == [None]


def test_json_without_records_is_a_load_of_no_rows_by_a_contract(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Connection("w", "fs"), lambda _: [])
    out = {
        "connection": None,
        "table": None,
        "location": str(tmp_path / "out.parquet"),
        "mode": "replace",
    }
    for text in ("[]", json.dumps([{"id": 1, "name": None}])):
        (tmp_path / "a.json").write_text(text)
        report = shop.load(mapping=TWO, target=out, file="a.json")
        assert report.rows_loaded == text.count("id")
