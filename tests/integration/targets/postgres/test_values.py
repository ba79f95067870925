"""From text in a file to values in PostgreSQL, for values that go wrong elsewhere."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.engines.targets.postgres import parse_postgres_uri

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres


def load(
    warehouse,
    folder: Path,
    values: list[str],
    *,
    kind: str,
    convert: Any = "cast",
    mode: str = "append",
    **more: Any,
) -> dict[int, str]:
    """Load `n,value` lines as they stand; gives the first code of each line that was rejected."""
    lines = "".join(f"{n},{value}\n" for n, value in enumerate(values))
    (folder / "values.csv").write_text(f"id,v\n{lines}", encoding="utf-8")
    pipeline = Pipeline.model_validate(
        {
            "pipeline": "p",
            "source": {"location": "values.csv", "format": "csv", "dialect": {"delimiter": ","}},
            "target": {"connection": "w", "table": "t", "mode": mode, "key": "id"},
            "mapping": {
                "contract": "c",
                "target": {"fields": {"id": "int64", "v": kind}},
                "columns": {
                    "id": {"from": "id", "convert": "cast"},
                    "v": {"from": "v", "convert": convert},
                },
            },
            "quarantine": str(folder / "quarantine"),
        }
        | more
    )
    report = run_pipeline(
        pipeline,
        connections=lambda name: parse_postgres_uri(warehouse.uri, name=name),
        run_id="run",
        base=folder,
        options=EngineOptions(),
        clock=lambda: datetime.now(timezone.utc),
    )
    assert report.accounted == report.rows_read == len(values)
    rejects = read_quarantine(report.quarantine) if report.quarantine else []
    return {int((r.fields or {})["id"]): r.reasons[0].code for r in rejects}


def column(warehouse, expression: str = "v") -> dict[int, Any]:
    return dict(warehouse.sql(f"SELECT id, {expression} FROM t ORDER BY id"))


MODES = pytest.mark.parametrize("mode", ["append", "merge"])


@MODES
def test_hours_that_a_change_of_clocks_skips_or_repeats(
    warehouse, tmp_path: Path, mode: str
) -> None:
    # Neither the role's zone nor the session's may have a say.
    warehouse.sql("ALTER ROLE postgres IN DATABASE " + warehouse.uri.rsplit("/")[-1]
                  + " SET timezone = 'Asia/Kolkata'")  # fmt: skip
    local = ["2026-03-29 01:59:59", "2026-03-29 02:30:00", "2026-03-29 03:00:00",
             "2026-10-25 02:30:00", "2026-10-25 03:00:00", "1893-04-01 00:00:00"]  # fmt: skip
    parse = {"parse_timestamp": {"formats": ["%Y-%m-%d %H:%M:%S"], "timezone": "Europe/Berlin"}}
    rejected = load(warehouse, tmp_path, local, kind="timestamptz", convert=parse, mode=mode)
    # The last one is in the six minutes that Berlin skipped when it left its local mean time.
    assert rejected == {1: "not_converted", 5: "not_converted"}
    found = column(warehouse, "to_char(v AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')")
    assert [found[n] for n in (0, 2, 3, 4)] == [
        "2026-03-29 00:59:59",
        "2026-03-29 01:00:00",
        "2026-10-25 00:30:00",
        "2026-10-25 02:00:00",
    ]


def test_instants_keep_their_offset_and_local_times_are_left_alone(
    warehouse, tmp_path: Path
) -> None:
    values = ["2026-07-01T12:00:00+05:30", "2026-07-01T12:00:00Z", "2026-07-01 12:00:00.123456-08"]
    assert load(warehouse, tmp_path, values, kind="timestamptz") == {}
    found = column(warehouse, "extract(epoch FROM v)::text")
    assert list(found.values()) == ["1782887400.000000", "1782907200.000000", "1782936000.123456"]
    warehouse.sql("DROP TABLE t")
    assert load(warehouse, tmp_path, ["2026-03-29 02:30:00"], kind="timestamp", pipeline="q") == {}
    assert column(warehouse, "v::text") == {0: "2026-03-29 02:30:00"}


def test_numbers_that_are_none_or_too_large(warehouse, tmp_path: Path) -> None:
    values = ["1.5", "NaN", "Infinity", "-inf", "1e308", "1e309", "-0.0", "1e-400"]
    rejected = load(warehouse, tmp_path, values, kind="float64")
    stored = column(warehouse, "v::text")
    assert set(stored) | set(rejected) == set(range(len(values)))
    assert (stored[0], stored[4]) == ("1.5", "1e+308")
    assert 5 in rejected
    # What is loaded is what was written: no number became another one on its way.
    for n in {1, 2, 3} & set(stored):
        assert stored[n] == {1: "NaN", 2: "Infinity", 3: "-Infinity"}[n]


@pytest.mark.parametrize(
    ("kind", "declared", "fits", "overflows"),
    [
        ("int16", "smallint", ["32767", "-32768"], ["32768", "-32769"]),
        ("int32", "integer", ["2147483647"], ["2147483648"]),
        ("int64", "bigint", ["9223372036854775807"], ["9223372036854775808"]),
        ("decimal(5,2)", "numeric(5,2)", ["999.99", "-999.99"], ["1000", "99999.999"]),
        ("decimal(38,10)", "numeric", ["0.0000000001", "9" * 20], ["9" * 39]),
        ("float32", "real", ["3.4e38"], ["3.5e38"]),
    ],
)
def test_overflow_rejects_its_record(
    warehouse, tmp_path: Path, kind: str, declared: str, fits: list[str], overflows: list[str]
) -> None:
    warehouse.sql(f"CREATE TABLE t (id bigint, v {declared})")
    rejected = load(warehouse, tmp_path, [*fits, *overflows, "NaN", "Infinity"], kind=kind)
    of_floats = set() if kind != "float32" else {len(fits) + 1, len(fits) + 2}
    assert set(rejected) - of_floats == set(range(len(fits), len(fits) + len(overflows) + 2)) - (
        of_floats
    )
    assert set(range(len(fits))) <= set(column(warehouse))


@MODES
def test_an_empty_text_is_not_null(warehouse, tmp_path: Path, mode: str) -> None:
    values = ['""', "", '" "', "NULL", '"null"', "\\N", "'"]
    assert load(warehouse, tmp_path, values, kind="string", mode=mode, convert=[]) == {}
    assert list(column(warehouse).values()) == ["", None, " ", "NULL", "null", "\\N", "'"]


@MODES
def test_documents_lists_labels_ids_and_bytes_come_back(
    warehouse, tmp_path: Path, mode: str
) -> None:
    warehouse.sql(
        "CREATE TYPE mood AS ENUM ('so so', 'größer, \"quoted\"', ''); "
        "CREATE TABLE t (id bigint PRIMARY KEY, v mood)"
    )
    labels = ['"größer, ""quoted"""', "so so", '""', ""]
    assert load(warehouse, tmp_path, labels, kind="string", mode=mode) == {}
    assert list(column(warehouse, "v::text").values()) == [
        'größer, "quoted"',
        "so so",
        "",
        None,
    ]
    documents = ['{"a": [1, null, {"b": "größe \\u00e9 \\n"}], "c": 1.10}', "[]", '"text"', "7"]
    written = ['"' + text.replace('"', '""') + '"' for text in documents]
    for number, (kind, declared) in enumerate([("json", "json"), ("json", "jsonb")]):
        warehouse.sql(f"DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, v {declared})")
        names = {"pipeline": f"doc{number}", "convert": "json_parse"}
        assert load(warehouse, tmp_path, [*written, "{"], kind=kind, mode=mode, **names) == {
            4: "not_converted"
        }
        found = column(warehouse, "v::text")
        assert [json.loads(found[n]) for n in range(4)] == [json.loads(d) for d in documents]
    warehouse.sql("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, v uuid)")
    ids = ["00000000-0000-0000-0000-000000000001", "FFFFFFFF-FFFF-4FFF-8FFF-FFFFFFFFFFFF", "no"]
    rejected = load(warehouse, tmp_path, ids, kind="uuid", mode=mode, pipeline="ids")
    assert rejected == {2: "not_converted"}
    assert list(column(warehouse, "v::text").values()) == [i.lower() for i in ids[:2]]
    warehouse.sql("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, v text[])")
    lists = ["a|b", "", '"|"', '"{x, ""y""}|NULL|\\"']
    split = {"array_split": {"separator": "|"}}
    assert (
        load(
            warehouse,
            tmp_path,
            lists,
            kind="array<string>",
            mode=mode,
            convert=split,
            pipeline="lists",
        )
        == {}
    )
    assert list(column(warehouse).values()) == [
        ["a", "b"],
        None,
        ["", ""],
        ['{x, "y"}', "NULL", "\\"],
    ]
