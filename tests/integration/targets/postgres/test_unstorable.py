"""Values that a type has and PostgreSQL can't hold reject their record, and no other."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.engines.targets.postgres import parse_postgres_uri

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.report import RunReport

pytestmark = pytest.mark.postgres


def load(warehouse, source: Path, *, fields: dict[str, str], **columns: Any) -> RunReport:
    mapped = {name: {"from": name} | columns.get(name, {}) for name in fields}
    pipeline = Pipeline.model_validate(
        {
            "pipeline": "p",
            "source": {"location": str(source)},
            "target": {"connection": "warehouse", "table": "t"},
            "mapping": {"contract": "c", "target": {"fields": fields}, "columns": mapped},
            "quarantine": str(source.parent / "quarantine"),
        }
    )
    return run_pipeline(
        pipeline,
        connections=lambda name: parse_postgres_uri(warehouse.uri, name=name),
        run_id="run",
        options=EngineOptions(),
        clock=lambda: datetime.now(timezone.utc),
    )


def rejected(report: RunReport) -> list[tuple[int, list[str]]]:
    return [
        (reject.record, [f"{r.code}:{r.column}" for r in reject.reasons])
        for reject in read_quarantine(report.quarantine or "")
    ]


DOCUMENTS = [
    # What jsonb holds, though it looks like what it does not.
    (True, r'{"a": "\\u0000"}'),
    (True, r'{"a": "C:\\\\u0000"}'),
    (True, r'{"a": "\u0001 \ud83d\ude00 e99999999"}'),
    (True, r'{"a\"1e99999999": "\"1e99999999"}'),
    (True, '{"a": 1e99999, "b": 1e-15999, "c": 1E+5, "d": -0.00000e00000000012}'),
    (True, '{"a": ' + "1" * 131_072 + "}"),
    (True, '{"a": 0.' + "1" * 16_383 + "}"),
    (True, '{"a": "' + "1" * 200_000 + '"}'),
    (True, "null"),
    # What it does not hold.
    (False, r'{"a": "x\u0000"}'),
    (False, r'{"a": [{"b": ["\u0000"]}]}'),
    (False, r'{"\u0000": 1}'),
    (False, r'{"a": "\\\u0000"}'),
    (False, '{"a": 1e400000}'),
    (False, '{"a": [1E+131072]}'),
    (False, '{"a": 1.5e-16384}'),
    (False, '{"a": -1e-99999999999}'),
    (False, '{"a": ' + "1" * 131_073 + "}"),
    (False, '{"a": 0.' + "1" * 16_385 + "}"),
]


@pytest.mark.parametrize("existing", [True, False])
def test_json_that_jsonb_refuses_rejects_its_record(
    warehouse, tmp_path: Path, existing: bool
) -> None:
    if existing:
        warehouse.sql("CREATE TABLE t (id bigint, doc jsonb)")
    source = tmp_path / "docs.parquet"
    documents = [doc for _, doc in DOCUMENTS]
    rows = pa.table({"id": pa.array(range(len(documents)), pa.int64()), "doc": documents})
    pq.write_table(rows, source)
    report = load(
        warehouse,
        source,
        fields={"id": "int64", "doc": "json"},
        doc={"convert": "json_parse"},
    )
    expected = [n for n, (holds, _) in enumerate(DOCUMENTS) if holds]
    assert [row[0] for row in warehouse.sql("SELECT id FROM t ORDER BY id")] == expected
    bad = [n + 1 for n, (holds, _) in enumerate(DOCUMENTS) if not holds]
    assert rejected(report) == [(n, ["out_of_range:doc"]) for n in bad]


def test_a_column_of_type_json_takes_what_it_can_hold(warehouse, tmp_path: Path) -> None:
    warehouse.sql("CREATE TABLE t (id bigint, doc json)")
    source = tmp_path / "docs.jsonl"
    source.write_text('{"id": 1, "doc": {"a": "\\u0000", "b": 1e400000}}\n')
    report = load(warehouse, source, fields={"id": "int64", "doc": "json"}, id={"convert": "cast"})
    assert (report.rows_loaded, report.rows_quarantined) == (1, 0)
    assert warehouse.sql("SELECT doc::text FROM t") == [('{"a": "\\u0000", "b": 1e400000}',)] or (
        json.loads(warehouse.sql("SELECT doc::text FROM t")[0][0])["a"] == "\0"
    )


def test_a_lone_surrogate_in_json_rejects_its_record(warehouse, tmp_path: Path) -> None:
    source = tmp_path / "docs.jsonl"
    source.write_text('{"id": 1, "doc": {"a": "\\ud800"}}\n{"id": 2, "doc": {"a": "x"}}\n')
    report = load(warehouse, source, fields={"id": "int64", "doc": "json"}, id={"convert": "cast"})
    assert (report.rows_loaded, report.rows_quarantined) == (1, 1)


def test_a_nul_in_text_rejects_its_record_whatever_it_came_from(warehouse, tmp_path: Path) -> None:
    lines = tmp_path / "names.jsonl"
    lines.write_text('{"id": 2, "name": "a"}\n{"id": 1, "name": "a\\u0000b"}\n')
    fields = {"id": "int64", "name": "string"}
    report = load(warehouse, lines, fields=fields, id={"convert": "cast"})
    assert report.rows_quarantined == 1
    columns = tmp_path / "names.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT 3::BIGINT AS id, 'a' || chr(0) AS name UNION ALL SELECT 4, 'b') "
            f"TO '{columns}' (FORMAT parquet)"
        )
    assert rejected(load(warehouse, columns, fields=fields)) == [(1, ["out_of_range:name"])]
    text = tmp_path / "names.csv"
    text.write_bytes(b"id,name\n5,a\0b\n6,c\n")
    report = load(warehouse, text, fields=fields, id={"convert": "cast"})
    assert rejected(report) == [(1, ["bad_encoding:None"])]
    assert warehouse.sql("SELECT id FROM t ORDER BY id") == [(2,), (4,), (6,)]


def test_a_nul_that_a_conversion_makes_rejects_its_record(warehouse, tmp_path: Path) -> None:
    source = tmp_path / "docs.csv"
    source.write_text('id,doc\n1,"{""a"": ""x\\u0000""}"\n2,"{""a"": ""y""}"\n')
    report = load(
        warehouse,
        source,
        fields={"id": "int64", "doc": "string"},
        id={"convert": "cast"},
        doc={"convert": ["json_parse", {"json_path": {"path": "$.a"}}]},
    )
    assert rejected(report) == [(1, ["out_of_range:doc"])]
    assert warehouse.sql("SELECT id, doc FROM t") == [(2, "y")]


def test_lists_of_text_are_looked_into(warehouse, tmp_path: Path) -> None:
    source = tmp_path / "lists.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT 1::BIGINT AS id, ['a', NULL, 'b' || chr(0)] AS v UNION ALL "
            f"SELECT 2, ['a', NULL] UNION ALL SELECT 3, NULL) TO '{source}' (FORMAT parquet)"
        )
    report = load(warehouse, source, fields={"id": "int64", "v": "array<string>"})
    assert rejected(report) == [(1, ["out_of_range:v"])]
    assert warehouse.sql("SELECT id, v FROM t ORDER BY id") == [(2, ["a", None]), (3, None)]


@pytest.mark.parametrize(
    ("kind", "bad", "good"),
    [
        ("date", ["4714-11-23 (BC)", "5874898-01-01"], ["4714-11-24 (BC)", "5874897-12-31"]),
        ("timestamp", ["4714-11-23 (BC) 23:59:59"], ["4714-11-24 (BC) 00:00:00"]),
        ("timestamptz", ["4714-11-23 (BC) 23:59:59+00"], ["4714-11-24 (BC) 00:00:00+00"]),
    ],
)
def test_dates_and_times_beyond_the_calendar_reject_their_record(
    warehouse, tmp_path: Path, kind: str, bad: list[str], good: list[str]
) -> None:
    values = [*bad, *good, "infinity", "-infinity"]
    source = tmp_path / "times.db"
    warehouse.sql(f"CREATE TABLE t (id bigint, v {kind})")
    source = tmp_path / "times.csv"
    source.write_text("id,v\n" + "".join(f"{n},{v}\n" for n, v in enumerate(values)))
    report = load(
        warehouse,
        source,
        fields={"id": "int64", "v": kind},
        id={"convert": "cast"},
        v={"convert": {"sql": f"cast(v as {kind})"}},
    )
    codes = [(n, ["out_of_range:v"]) for n in range(1, len(bad) + 1)]
    assert rejected(report) == codes
    assert len(warehouse.sql("SELECT v::text FROM t")) == len(good) + 2
    assert warehouse.sql("SELECT count(*) FROM t WHERE NOT isfinite(v)") == [(2,)]


def test_the_other_targets_hold_a_nul(tmp_path: Path) -> None:
    source = tmp_path / "names.parquet"
    pq.write_table(pa.table({"name": ["a\0b"]}), source)
    file = tmp_path / "names.duckdb"
    report = run_pipeline(
        Pipeline.model_validate(
            {
                "pipeline": "p",
                "source": {"location": str(source)},
                "target": {"location": f"duckdb:///{file}", "table": "t"},
            }
        ),
        connections=lambda name: parse_postgres_uri("postgresql://none", name=name),
        run_id="run",
        options=EngineOptions(),
        clock=lambda: datetime.now(timezone.utc),
    )
    assert report.rows_loaded == 1
    with duckdb.connect(str(file)) as connection:
        assert connection.execute("SELECT name FROM t").fetchall() == [("a\0b",)]
