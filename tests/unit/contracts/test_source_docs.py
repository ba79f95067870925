"""The page about sources is true: keys, examples, file names, lines and types are tried."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_etl_provider.contracts.files import pipeline_from_text
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.source_spec import Dialect, Incremental, SourceSpec
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.sources import open_source
from airflow_etl_provider.engines.sources.compression import PACKED_SUFFIXES
from airflow_etl_provider.engines.sources.json_files.source import JsonSource
from airflow_etl_provider.exceptions import (
    ConnectionNotFoundError,
    EtlError,
    NotSupportedYetError,
    SourceError,
    SpecificationError,
)

if TYPE_CHECKING:
    from airflow_etl_provider.engines.sources import Source

PAGE = (Path(__file__).parents[3] / "docs" / "sources.md").read_text("utf-8")

EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

ENCODINGS = re.findall(r"`([^`]+)`", PAGE.split("any that Python knows:")[1].split("...")[0])

CONTENT = {
    "csv": b"id,note\n1,x\n2,y\n",
    "jsonl": b'{"id": 1, "note": "x"}\n',
    "json": b'[{"id": 1, "note": "x"}]',
}


def table(name: str) -> list[list[str]]:
    lines = PAGE.split(f"<!-- {name} -->\n")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def no_connections(name: str) -> Any:
    raise ConnectionNotFoundError(name)


def opened(folder: Path, location: str, **rest: Any) -> Source:
    spec = SourceSpec(location=location, **rest)
    return open_source(spec, connections=no_connections, base=folder)


def kind(source: Source) -> str:
    if isinstance(source, JsonSource):
        return source.kind
    return {"DelimitedSource": "csv", "ParquetSource": "parquet"}[type(source).__name__]


def test_every_key_stands_on_the_page() -> None:
    keys = {
        field.alias or name
        for model in (SourceSpec, Dialect, Incremental)
        for name, field in model.model_fields.items()
    }
    assert sorted(key for key in keys if f"`{key}`" not in PAGE) == []


def test_the_table_of_keys_has_no_key_that_is_none() -> None:
    keys = PAGE.split("## Keys\n\n")[1].split("\n\n")[0]
    written = {key for line in keys.splitlines()[2:] for key in spans(line.split(" | ")[0])}
    assert written == set(SourceSpec.model_fields)


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_what_the_page_says(text: str) -> None:
    whole = f"pipeline: p\ntarget: {{ location: a.parquet }}\n{text}"
    refused = re.match(r"# refused: (.*)\n", text)
    if refused is None:
        assert pipeline_from_text(whole, name="example")
        return
    with pytest.raises(SpecificationError) as error:
        pipeline_from_text(whole, name="example")
    assert refused[1] in str(error.value)


@pytest.mark.parametrize(
    ("suffix", "format"),
    [(suffix, spans(of)[0]) for names, of in table("formats") for suffix in spans(names)],
)
def test_the_format_is_told_by_the_end_of_the_name(
    tmp_path: Path, suffix: str, format: str
) -> None:
    if format == "parquet":
        pq.write_table(pa.table({"id": ["1"]}), tmp_path / f"data{suffix}")
        assert kind(opened(tmp_path, f"data{suffix}")) == format
        return
    (tmp_path / f"data{suffix}").write_bytes(CONTENT[format])
    assert kind(opened(tmp_path, f"data{suffix}")) == format
    for packed in PACKED_SUFFIXES:
        (tmp_path / f"packed{suffix}{packed}").write_bytes(gzip.compress(CONTENT[format]))
        assert kind(opened(tmp_path, f"packed{suffix}{packed}")) == format


def test_any_other_name_is_told_by_the_content(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1"]}), tmp_path / "parquet.dat")
    for format, content in CONTENT.items():
        (tmp_path / f"{format}.dat").write_bytes(content)
    for format in ("parquet", *CONTENT):
        assert kind(opened(tmp_path, f"{format}.dat")) == format
    for format in ("jsonl", "json"):
        (tmp_path / f"{format}.json").write_bytes(CONTENT[format] * 2)
        assert kind(opened(tmp_path, f"{format}.json")) == format


@pytest.mark.parametrize(
    ("name", "data", "error", "words"),
    [
        ("a.json", b'{"id": 1}]', SourceError, "closes or separates nothing"),
        ("a.json", b"[]", SourceError, "no JSON object"),
        ("a.csv", bz2.compress(CONTENT["csv"])[:-9], SourceError, "can't be unpacked as bzip2"),
        ("a.csv", lzma.compress(CONTENT["csv"])[:-9], SourceError, "can't be unpacked as xz"),
        ("a.csv", b"\x28\xb5\x2f\xfd rest", SourceError, "can't be unpacked as zstd"),
        ("a.csv", gzip.compress(CONTENT["csv"])[:-9], SourceError, "can't be unpacked"),
        ("a.csv", b"", SourceError, "is empty"),
        ("a.jsonl", b"[1]\n", SourceError, "no JSON object"),
        ("a.jsonl", b'{"id": 1, "ID": 2}\n', SourceError, "differ in case only"),
        ("a.parquet", b"PAR1 and no more", SourceError, "no readable Parquet file"),
    ],
)
def test_what_can_not_be_read_stops_the_run_in_words(
    tmp_path: Path, name: str, data: bytes, error: type[EtlError], words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=words):
        opened(tmp_path, name)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("exports", r"is a folder"),
        ("exports/*.txt", "No file matches"),
        ("gs://bucket/a.csv", "not supported yet"),
        ("https://example.org/a.csv", "not supported yet"),
    ],
)
def test_a_location_that_names_no_file_is_refused(
    tmp_path: Path, location: str, words: str
) -> None:
    (tmp_path / "exports").mkdir()
    with pytest.raises(EtlError, match=words):
        opened(tmp_path, location)


def test_files_come_in_the_order_of_their_names_and_hidden_ones_stay_out(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", ".c.csv", "deep/er/d.csv", "[a].csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(CONTENT["csv"])
    names = [input.name for input in opened(tmp_path, "**/*.csv").inputs]
    assert names == ["[a].csv", "a.csv", "b.csv", "deep/er/d.csv"]
    assert [input.name for input in opened(tmp_path, "[a].csv").inputs] == ["[a].csv"]


def test_each_file_of_an_archive_is_an_input(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for name in ("b.csv", "a.csv", ".hidden.csv", "__MACOSX/a.csv"):
            archive.writestr(name, CONTENT["csv"])
    inputs = opened(tmp_path, "archive.zip").inputs
    assert [input.name for input in inputs] == ["archive.zip!a.csv", "archive.zip!b.csv"]


def test_columns_of_several_files_may_have_another_order_and_no_other_names(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT["csv"])
    (tmp_path / "b.csv").write_bytes(b"note,id\nx,1\ny,2\n")
    (tmp_path / "c.csv").write_bytes(b"")
    assert opened(tmp_path, "*.csv").schema.names == ("id", "note")
    (tmp_path / "d.csv").write_bytes(b"id,comment\n1,x\n2,y\n")
    with pytest.raises(SourceError, match="without 'note' and with 'comment'"):
        opened(tmp_path, "*.csv")


@pytest.mark.parametrize(("line", "becomes"), table("json lines"))
def test_a_json_line_becomes_what_the_page_says(tmp_path: Path, line: str, becomes: str) -> None:
    text = line.strip("`")
    (tmp_path / "a.jsonl").write_text('{"id": 0, "note": "first"}\n\n' + text + "\n")
    source = opened(tmp_path, "a.jsonl")
    scan = source.scan(source.inputs[0])
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT * FROM {scan.relation(connection)}").fetchall()
        assert scan.account(rows_seen=len(rows)).records == 2
        reasons = [reason for reject in scan.rejects() for reason in reject.reasons]
        scan.close()
    if becomes == "a record":
        assert (len(rows), reasons) == (2, [])
        return
    code, says = re.fullmatch(r"`(\w+)`: (.*)", becomes).groups()
    assert [reason.code for reason in reasons] == [code]
    assert says in reasons[0].message


def test_values_of_json_lines_are_text_as_they_stand(tmp_path: Path) -> None:
    lines = ('{"n": 1.50, "t": true, "z": null, "o": [1, 2.0]}', '{"t": "x"}')
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    source = opened(tmp_path, "a.jsonl")
    assert [str(field.type) for field in source.schema] == ["string", "string", "string", "json"]
    scan = source.scan(source.inputs[0])
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT * FROM {scan.relation(connection)}").fetchall()
        scan.close()
    assert rows == [("1.50", "true", None, "[1, 2.0]"), (None, "x", None, None)]


def counts(folder: Path, document: str, **spec: Any) -> tuple[int, int]:
    (folder / "a.json").write_text(document.strip("`"))
    expected = Schema((Field("id", parse_type("string")),))
    source = open_source(
        SourceSpec(location="a.json", format="json", **spec),
        connections=no_connections,
        base=folder,
        expected=expected,
    )
    scan = source.scan(source.inputs[0])
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT * FROM {scan.relation(connection)}").fetchall()
        records = scan.account(rows_seen=len(rows)).records
        scan.close()
    return len(rows), records - len(rows)


@pytest.mark.parametrize(("document", "path", "records"), table("json documents"))
def test_a_document_has_the_records_of_the_page(
    tmp_path: Path, document: str, path: str, records: str
) -> None:
    assert counts(tmp_path, document, records=path.strip("`")) == (int(records), 0)


@pytest.mark.parametrize(("document", "loaded", "rejected"), table("json records"))
def test_a_record_of_a_document_is_rejected_as_the_page_says(
    tmp_path: Path, document: str, loaded: str, rejected: str
) -> None:
    assert counts(tmp_path, document) == (int(loaded), int(rejected))


@pytest.mark.parametrize(("record", "flatten", "columns"), table("flatten"))
def test_nested_values_become_the_columns_of_the_page(
    tmp_path: Path, record: str, flatten: str, columns: str
) -> None:
    (tmp_path / "a.jsonl").write_text(record.strip("`"))
    asked = {"`false`": False, "`true`": True, "`1`": 1}[flatten]
    assert list(opened(tmp_path, "a.jsonl", flatten=asked).schema.names) == spans(columns)


def arrow_type(written: str) -> pa.DataType:
    """Read a type as pyarrow writes it: `int8`, `list_(string)`."""
    if written.isidentifier():
        return pa.type_for_alias(written)
    return eval(written, vars(pa) | {"string": pa.string(), "int64": pa.int64()})


@pytest.mark.parametrize(
    ("arrow", "becomes"),
    [(arrow, becomes) for given, becomes in table("parquet") for arrow in spans(given)],
)
def test_a_type_of_parquet_becomes_what_the_page_says(
    tmp_path: Path, arrow: str, becomes: str
) -> None:
    of = arrow_type(arrow)
    pq.write_table(pa.table({"c": pa.array([], of)}), tmp_path / "a.parquet")
    if becomes == "not supported yet":
        with pytest.raises(NotSupportedYetError, match="not supported yet"):
            opened(tmp_path, "a.parquet")
        return
    (field,) = opened(tmp_path, "a.parquet").schema
    assert str(field.type) == becomes.strip("`")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_is_read_in_the_encodings_of_the_page(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes("id,note\n1,x\n2,yz\n".encode(encoding))
    source = opened(tmp_path, "a.csv", encoding=encoding)
    scan = source.scan(source.inputs[0], careful=True)
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT * FROM {scan.relation(connection)}").fetchall()
        scan.close()
    assert rows == [("1", "x"), ("2", "yz")]


@pytest.mark.parametrize("format", ["json", "jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_tells_its_encoding(tmp_path: Path, format: str, encoding: str) -> None:
    (tmp_path / "a.dat").write_bytes(CONTENT[format].decode().encode(encoding))
    assert opened(tmp_path, "a.dat", format=format).schema.names == ("id", "note")
