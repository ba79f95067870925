"""The schema for editors says of a file what reading it says."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from airflow_etl_provider.contracts.document import read_document
from airflow_etl_provider.contracts.files import contract_from_text, pipeline_from_text
from airflow_etl_provider.contracts.json_schema import contract_schema, pipeline_schema
from airflow_etl_provider.exceptions import SpecificationError

HEAD = "pipeline: p\nsource: { location: a.csv }\ntarget: { location: a.parquet }\n"
MERGE = "pipeline: p\nsource: { location: a.csv }\n"
KEYED = MERGE + "target: { connection: c, table: t, mode: merge, key: id, "
LAG = (
    "pipeline: p\nsource: { location: a, incremental: { by: column, column: at, lag: LAG } }\n"
    "target: { connection: c, table: t, mode: merge, key: id }\n"
)
CONTRACT = (
    "contract: c\ntarget: { fields: { x: int64 } }\ncolumns:\n  x: { from: a, convert: cast }\n"
)

SELECT = (
    "pipeline: p\ntarget: { location: a.parquet }\ninputs: { a: { location: a.csv } }\n"
    "select: select id from a\n"
)

VALID_PIPELINES = [
    SELECT,
    SELECT.replace("a: {", "Größe 2: { format: tsv, fields: { id: 'decimal(12,2)' },"),
    HEAD,
    HEAD + "mapping: by_name\nfilter: a > 1\ndescription: text\nengine: duckdb\nquarantine: q\n",
    HEAD + "mapping: a/b.YML\n",
    HEAD.replace("location: a.csv", "connection: c, table: t"),
    HEAD.replace("location: a.csv", "connection: c, query: select 1 as n"),
    HEAD + "max_rejected: 100\n",
    HEAD + "max_rejected: 1%\n",
    HEAD + "max_rejected: 0.5 %\n",
    HEAD + "max_rejected: none\n",
    HEAD + 'max_rejected: "100"\n',
    HEAD + "max_rejected: { records: 5, share: 2% }\n",
    HEAD + "rules: []\n",
    HEAD + "rules: { column: a, not_null: true }\n",
    HEAD + "rules: [{ column: a, in_set: x }, { column: a, in_set: [1, x, true] }]\n",
    HEAD + "rules: [{ column: a, between: [0, null], severity: fail, name: n }]\n",
    HEAD + "rules: [{ column: a, matches: email }, { column: a, matches: '[a-z]+' }]\n",
    HEAD + "rules: [{ column: a, length: [1, 2] }, { column: a, length: { min: 1 } }]\n",
    HEAD + "rules: [{ columns: [a, b], unique: true }]\n",
    HEAD + "rules: [{ column: a, references: b.c }, { column: a, references: s.b.c }]\n",
    HEAD + "rules: [{ column: a, references: { table: s.b, column: c }, unique: true }]\n",
    HEAD + "rules: [{ columns: [a, b], references: { table: t, columns: [x, y] } }]\n",
    HEAD + "rules: [{ column: a, max_null_share: 5% }, { column: a, max_null_share: 0.1 }]\n",
    HEAD + "rules: [{ rows: a > b, severity: warn }, { load: rows > 1 }]\n",
    HEAD + "rules: [{ load: rows > 1, severity: warn }]\n",
    HEAD.replace("a.csv }", "a.csv, format: tsv, header_rows: 0, null_values: NA }"),
    HEAD.replace("a.csv }", "a.csv, dialect: { delimiter: ';', quote: '', skip_rows: 2 } }"),
    HEAD.replace("a.csv }", "a.csv, encoding: latin-1, null_values: ['', NA] }"),
    HEAD.replace("a.csv }", "a.csv, connection: c, format: null }"),
    HEAD.replace("a.csv }", "a, incremental: { by: data_interval, column: at } }"),
    HEAD.replace("a.csv }", "a.json, format: json, records: '$.data.items', flatten: true }"),
    HEAD.replace("a.csv }", "a, flatten: 2 }"),
    HEAD.replace("a.csv }", "a, incremental: { by: new_files, max_files: 100 } }"),
    HEAD.replace("a.csv }", "a, incremental: { by: column, column: at, start: 2024-01-01 } }"),
    HEAD.replace("a.csv }", "a, incremental: { by: column, column: id, start: 7, lag: null } }"),
    LAG.replace("LAG", "1 hour, start: 2024-01-31T06:00:00Z"),
    LAG.replace("LAG", "100, start: null"),
    MERGE.replace("a.csv }", "a, incremental: { by: new_files } }")
    + "target: { connection: c, table: t, mode: replace_partition, partition_by: day }\n",
    MERGE + "target: { connection: c, table: s.t, mode: merge, key: id, latest_by: at }\n",
    MERGE + "target: { connection: c, table: t, mode: merge, key: [a, b] }\n",
    MERGE + "target: { connection: c, table: t, load_columns: true, on_reload: replace_load }\n",
    MERGE + "target: { location: 'duckdb:///a.db', table: t, mode: replace }\n",
    KEYED + "deletes: { when: op = 'D' } }\n",
    KEYED + "lock_timeout: 10 minutes, statement_timeout: 3600 }\n",
    KEYED + "deletes: { when: op = 'D', how: soft, column: deleted_at } }\n",
    HEAD
    + "mapping: { contract: c, target: { fields: { x: int64 } }, columns: { x: { from: a } } }\n",
]

INVALID_PIPELINES = [
    SELECT + "source: { location: a.csv }\n",
    HEAD + "select: select 1\n",
    HEAD + "inputs: { a: { location: a.csv } }\n",
    SELECT.replace("select: select id from a\n", ""),
    SELECT.replace("{ a: { location: a.csv } }", "{}"),
    SELECT.replace("a: {", "'a:b': {"),
    SELECT.replace("a: {", "' a': {"),
    SELECT.replace("location: a.csv", "format: csv"),
    SELECT.replace("a.csv }", "a.csv, fields: { id: integer } }"),
    SELECT.replace("a.csv }", "a.csv, incremental: { by: data_interval, column: at } }"),
    SELECT.replace("a.csv }", "a.jsonl, format: jsonl, header_rows: 1 }"),
    "source: { location: a.csv }\ntarget: { location: a.parquet }\n",
    HEAD + "filtr: a\n",
    HEAD + "filter: ''\n",
    HEAD + "engine: spark\n",
    HEAD + "schema_evolution: automatic\n",
    HEAD + "on_error: other\n",
    HEAD + "mapping: propose\n",
    HEAD + "mapping: by_nam\n",
    HEAD + "max_rejected: -1\n",
    HEAD + "max_rejected: 0.5\n",
    HEAD + "max_rejected: 101%\n",
    HEAD + "max_rejected: few\n",
    HEAD + "max_rejected: null\n",
    HEAD + "rules: [{ column: a }]\n",
    HEAD + "rules: [{ not_null: true }]\n",
    HEAD + "rules: [{ column: a, rows: b, not_null: true }]\n",
    HEAD + "rules: [{ column: a, not_null: yes }]\n",
    HEAD + "rules: [{ column: a, references: b }]\n",
    HEAD + "rules: [{ column: a, references: { column: c } }]\n",
    HEAD + "rules: [{ column: a, references: { table: b, column: c, columns: [d] } }]\n",
    HEAD
    + "rules: [{ columns: [a, b], references: { table: t, columns: [x, y] }, length: [1, 2] }]\n",
    HEAD + "rules: [{ rows: a > b, references: b.c }]\n",
    HEAD + "rules: [{ column: a, in_set: [] }]\n",
    HEAD + "rules: [{ column: a, in_set: [null] }]\n",
    HEAD + "rules: [{ column: a, between: [1] }]\n",
    HEAD + "rules: [{ column: a, between: [null, null] }]\n",
    HEAD + "rules: [{ column: a, matches: emial }]\n",
    HEAD + "rules: [{ column: a, length: 3 }]\n",
    HEAD + "rules: [{ column: a, length: {} }]\n",
    HEAD + "rules: [{ column: a, length: [-1, 2] }]\n",
    HEAD + "rules: [{ column: a, max_null_share: 5 }]\n",
    HEAD + "rules: [{ column: a, max_null_share: 0.1, not_null: true }]\n",
    HEAD + "rules: [{ column: a, not_null: true, severity: wrn }]\n",
    HEAD + "rules: [{ columns: [a, b] }]\n",
    HEAD + "rules: [{ columns: [a, a], unique: true }]\n",
    HEAD + "rules: [{ columns: [a, b], unique: true, not_null: true }]\n",
    HEAD + "rules: [{ rows: a > b, unique: true }]\n",
    HEAD + "rules: [{ load: rows > 1, severity: quarantine }]\n",
    HEAD + "rules: [{ column: a, max_null_share: 0.1, severity: quarantine }]\n",
    HEAD.replace("location: a.csv", "table: t"),
    HEAD.replace("location: a.csv", "topic: t"),
    HEAD.replace("location: a.csv", "location: a.csv, query: q"),
    HEAD.replace("location: a.csv", "connection: c, table: t, query: q"),
    HEAD.replace("location: a.csv", "query: q"),
    HEAD.replace("a.csv }", "a.csv, format: xml }"),
    HEAD.replace("a.csv }", "a.csv, header_rows: -1 }"),
    HEAD.replace("a.csv }", "a.csv, header_rows: '1' }"),
    HEAD.replace("a.csv }", "a.csv, null_values: [-9] }"),
    HEAD.replace("a.csv }", "a.csv, dialect: { quote: ab } }"),
    HEAD.replace("a.csv }", "a.csv, dialect: { delimiter: '' } }"),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: new_file } }"),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: new_files, column: at } }"),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: new_files, max_files: 0 } }"),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: column } }"),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: column, column: a, max_files: 1 } }"),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: column, column: a, start: true } }"),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: column, column: a, lag: 1 hour } }"),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: new_files } }").replace(
        "parquet }", "parquet, mode: replace }"
    ),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: column, column: a } }").replace(
        "parquet }", "parquet, mode: replace_partition, partition_by: a }"
    ),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: new_files } }").replace(
        "parquet }", "parquet, load_columns: true, on_reload: replace_load }"
    ),
    LAG.replace("LAG", "1 fortnight"),
    LAG.replace("LAG", "0"),
    LAG.replace("LAG", "1 hour, start: 7"),
    LAG.replace("LAG", "100, start: 2024-01-01"),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: data_interval } }"),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: data_interval, column: a, start: 7 } }"),
    HEAD.replace("a.csv }", "a.csv, incremental: { by: data_interval, column: a, lag: 1 hour } }"),
    HEAD.replace("a.csv }", "a.jsonl, format: jsonl, header_rows: 1 }"),
    HEAD.replace("a.csv }", "a.parquet, format: parquet, encoding: utf-8 }"),
    MERGE + "target: { table: t }\n",
    MERGE + "target: { connection: c }\n",
    MERGE + "target: {}\n",
    MERGE + "target: { location: a, mode: merge }\n",
    MERGE + "target: { location: a, mode: scd2, key: a }\n",
    MERGE + "target: { location: a, latest_by: at }\n",
    MERGE + "target: { location: a, mode: replace, latest_by: at }\n",
    MERGE + "target: { location: a, on_reload: replace_load }\n",
    MERGE + "target: { location: a, load_columns: 1 }\n",
    MERGE + "target: { location: a, deletes: { when: op = 'D' } }\n",
    KEYED + "deletes: { how: hard } }\n",
    KEYED + "lock_timeout: ten minutes }\n",
    KEYED + "lock_timeout: 0 }\n",
    KEYED + "deletes: { when: op = 'D', how: soft } }\n",
    KEYED + "deletes: { when: op = 'D', column: deleted_at } }\n",
    KEYED + "deletes: { when: op = 'D', how: gentle } }\n",
]

VALID_CONTRACTS = [
    CONTRACT,
    CONTRACT + "version: 2\nstatus: proposed\n",
    CONTRACT + "approved: { by: dana, at: 2026-11-20T09:14:00Z }\n",
    CONTRACT + "approved: { by: dana, at: 2026-11-20 09:14:00+01:00 }\n",
    CONTRACT + "unmapped: { source: b, target: [] }\n",
    CONTRACT.replace("convert: cast", "convert: [trim, { nullif: '-' }, cast], when: b > 1"),
    CONTRACT.replace("convert: cast", "convert: { parse_decimal: { decimal: ',' } }"),
    CONTRACT.replace("from: a, convert: cast", "convert: { constant: 1 }"),
    CONTRACT.replace("from: a, convert: cast", "from: [a, b], convert: { sql: a - b }"),
    CONTRACT.replace("convert: cast", "on_failure: null"),
    CONTRACT.replace("convert: cast", "on_failure: default, default: 0"),
    CONTRACT.replace("convert: cast", "confidence: 1, evidence: why, status: edited"),
    CONTRACT.replace("int64", "'decimal( 12, 2 )'"),
    CONTRACT.replace("int64", "'array<struct<a: int64, b: string(3)>>'"),
]

INVALID_CONTRACTS = [
    "contract: c\n",
    CONTRACT + "verson: 2\n",
    CONTRACT + "version: 0\n",
    CONTRACT + "status: aproved\n",
    CONTRACT + "approved: { by: dana }\n",
    CONTRACT + "approved: { by: dana, at: 2026-11-20T09:14:00 }\n",
    CONTRACT + "approved: { by: dana, at: 5 }\n",
    CONTRACT + "unmapped: { sources: b }\n",
    CONTRACT.replace("from: a, convert: cast", ""),
    CONTRACT.replace("from: a", "form: a"),
    CONTRACT.replace("from: a", "from_: a"),
    CONTRACT.replace("from: a", "from: [a, a]"),
    CONTRACT.replace("convert: cast", "convert: casst"),
    CONTRACT.replace("convert: cast", "convert: constant"),
    CONTRACT.replace("convert: cast", "convert: { parse_decimal: { decmal: ',' } }"),
    CONTRACT.replace("convert: cast", "convert: { cast: {}, trim: {} }"),
    CONTRACT.replace("convert: cast", "on_failure: ignore"),
    CONTRACT.replace("convert: cast", "on_failure: default"),
    CONTRACT.replace("convert: cast", "default: 0"),
    CONTRACT.replace("convert: cast", "confidence: 2"),
    CONTRACT.replace("convert: cast", "confidence: '1'"),
    CONTRACT.replace("int64", "integer"),
    CONTRACT.replace("int64", "7"),
    "contract: c\ntarget: { fields: { x: int64 } }\ncolumns: {}\n",
]

PIPELINES = Draft202012Validator(pipeline_schema())
CONTRACTS = Draft202012Validator(contract_schema())


def value_of(text: str) -> Any:
    return read_document(text, name="x.yaml").value


def test_both_are_valid_schemas_of_the_draft_they_name():
    for schema in (pipeline_schema(), contract_schema()):
        Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("text", VALID_PIPELINES)
def test_a_pipeline_that_reads_is_accepted(text):
    pipeline_from_text(text, name="x.yaml")
    assert [error.message for error in PIPELINES.iter_errors(value_of(text))] == []


@pytest.mark.parametrize("text", INVALID_PIPELINES)
def test_a_pipeline_that_does_not_read_is_refused(text):
    with pytest.raises(SpecificationError):
        pipeline_from_text(text, name="x.yaml")
    assert not PIPELINES.is_valid(value_of(text))


@pytest.mark.parametrize("text", VALID_CONTRACTS)
def test_a_contract_that_reads_is_accepted(text):
    contract_from_text(text, name="x.yaml")
    assert [error.message for error in CONTRACTS.iter_errors(value_of(text))] == []


@pytest.mark.parametrize("text", INVALID_CONTRACTS)
def test_a_contract_that_does_not_read_is_refused(text):
    with pytest.raises(SpecificationError):
        contract_from_text(text, name="x.yaml")
    assert not CONTRACTS.is_valid(value_of(text))


def keys_of(schema: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, part in schema.get("properties", {}).items():
        found.append((f"{path}.{name}", part))
        found += keys_of(part, f"{path}.{name}")
    return found


@pytest.mark.parametrize(
    "schema", [pipeline_schema(), contract_schema()], ids=["pipeline", "contract"]
)
def test_every_key_has_a_tooltip(schema):
    parts = {"": schema} | schema["$defs"]
    silent = [
        f"{part}{key}"
        for part, of in parts.items()
        for key, described in keys_of(of, "")
        if not described.get("description")
    ]
    assert silent == []
