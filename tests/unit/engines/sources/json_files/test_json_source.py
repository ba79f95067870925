"""JSON sources: which fields there are, what is unfolded, and how files are told apart."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from airflow_etl_provider.contracts.pipeline import SourceSpec
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.sources import open_source
from airflow_etl_provider.engines.sources.json_files import source as sources
from airflow_etl_provider.exceptions import SourceFormatError

if TYPE_CHECKING:
    from pathlib import Path


def open_(path: Path, data: bytes, *, expected: Any = None, **spec: Any) -> Any:
    path.write_bytes(data)
    written = SourceSpec(location=str(path), **spec)
    return open_source(written, connections=lambda _: None, base=None, expected=expected)


def read(source: Any) -> tuple[list[Any], list[Any], Any]:
    scan = source.scan(source.inputs[0])
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT * FROM {scan.relation(connection)}").fetchall()
        account = scan.account(rows_seen=len(rows))
        assert account.balanced
        rejects = list(scan.rejects())
        assert account.records == len(rows) + len(rejects)
        scan.close()
    return rows, rejects, account


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.json"


NESTED = b"""[
  {"id": 1, "tags": ["x"],
   "customer": {"name": "Ada", "address": {"city": "Berlin", "zip": "01067"}}},
  {"id": 2, "customer": {"name": null, "address": null}, "tags": []},
  {"id": 3, "customer": null},
  {"id": 4, "customer": {}}
]"""


def test_nested_objects_stay_json_unless_asked_for(path: Path) -> None:
    source = open_(path, NESTED)
    assert [(field.name, str(field.type)) for field in source.schema] == [
        ("id", "string"),
        ("tags", "json"),
        ("customer", "json"),
    ]
    assert read(source)[0][2] == ("3", None, None)


def test_nested_objects_become_fields_with_dots(path: Path) -> None:
    source = open_(path, NESTED, flatten=True)
    assert [(field.name, str(field.type)) for field in source.schema] == [
        ("id", "string"),
        ("tags", "json"),
        ("customer.name", "string"),
        ("customer.address.city", "string"),
        ("customer.address.zip", "string"),
    ]
    rows, rejects, account = read(source)
    assert rows == [
        ("1", '["x"]', "Ada", "Berlin", "01067"),
        ("2", "[]", None, None, None),
        ("3", None, None, None, None),
        ("4", None, None, None, None),
    ]
    assert (rejects, account.notes) == ([], ())


def test_so_many_levels_are_unfolded(path: Path) -> None:
    source = open_(path, NESTED, flatten=1)
    assert source.schema.names == ("id", "tags", "customer.name", "customer.address")
    assert read(source)[0][0][3] == '{"city": "Berlin", "zip": "01067"}'


def test_a_field_that_is_a_value_here_and_an_object_there_is_two_fields(path: Path) -> None:
    source = open_(path, b'[{"a": 1}, {"a": {"b": 2}}, {"a": null}]', flatten=True)
    assert source.schema.names == ("a", "a.b")
    assert read(source)[0] == [("1", None), (None, "2"), (None, None)]


@pytest.mark.parametrize(
    "other", [b'{"a.b": 2}', b'{"a": {"b": 1}, "a.b": 2}', b'{"a.b": 2, "a": {"b": 1}}']
)
def test_two_things_of_one_name_are_never_mixed(path: Path, other: bytes, monkeypatch: Any) -> None:
    for sample in (2**20, 20):
        monkeypatch.setattr(sources, "SAMPLE", sample)
        source = open_(path, b'[{"a": {"b": 1}}, ' + other + b"]", flatten=True)
        rows, (reject,), _ = read(source)
        assert rows == [("1",)]
        assert (reject.record, reject.raw) == (2, other)
        assert "one name" in reject.reasons[0].message


def test_keys_with_dots_are_names_like_any_other(path: Path) -> None:
    source = open_(path, b'[{"a.b": 1, "c": {"d.e": 2}}]', flatten=True)
    assert source.schema.names == ("a.b", "c.d.e")


def test_json_lines_are_unfolded_too(tmp_path: Path) -> None:
    source = open_(tmp_path / "a.jsonl", b'{"a": {"b": 1}}\n', flatten=True)
    assert source.schema.names == ("a.b",)


def test_numbers_keep_their_digits(path: Path) -> None:
    rows, _, _ = read(open_(path, b'[{"a": 123456789012345678901234567890.10, "b": [1e400]}]'))
    assert rows == [("123456789012345678901234567890.10", "[1e400]")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("text", ['[{"a": "ü 北"},\n {"a": 2}]', '{"a": "ü 北"}\n{"a": 2}\n'])
def test_the_encoding_is_told_by_marks_and_zeros(path: Path, encoding: str, text: str) -> None:
    assert read(open_(path, text.encode(encoding)))[0] == [("ü 北",), ("2",)]


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_another_encoding_can_be_written(path: Path, format: str) -> None:
    source = open_(path, '{"a": "ü"}\n'.encode("cp1252"), format=format, encoding="cp1252")
    assert read(source)[0] == [("ü",)]


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_what_the_encoding_does_not_know_is_rejected_alone(path: Path, format: str) -> None:
    lines = [
        '{"a": 1}\n'.encode("utf-16-le"),
        b"\x00\xd8{\x00\n\x00",
        '{"a": 2}\n'.encode("utf-16-le"),
    ]
    rows, rejects, _ = read(open_(path, b"".join(lines), format=format, encoding="utf-16-le"))
    assert rows == [("1",), ("2",)]
    assert [reject.record for reject in rejects] == [2]


def test_one_object_is_one_record_and_a_note_says_where_others_may_be(path: Path) -> None:
    _, _, account = read(open_(path, b'{"n": 1, "items": [{"a": 1}, {"a": 2}]}'))
    assert account.records == 1
    assert "`$.items`" in account.notes[0]


def test_of_many_files_each_may_be_one_record(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(f'{{"id": {number}, "lines": [{{"a": 1}}]}}')
    spec = SourceSpec(location=str(tmp_path / "*.json"))
    source = open_source(spec, connections=lambda _: None, base=None)
    assert len(source.inputs) == 3
    assert read(source)[2].notes == ()


def test_commas_without_a_record_are_noted(path: Path) -> None:
    assert "2 commas" in read(open_(path, b'[{"a": 1},,{"a": 2},]'))[2].notes[0]


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.json", b'[{"a": 1}]', "json"),
        ("a.json", b'{"a": 1}', "json"),
        ("a.json", b'{"a": 1}\n{"a": 2}\n', "jsonl"),
        ("a.json", b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}', "jsonl"),
        ("a.json", b'{"a": 1}{"a": 2}\n', "json"),
        ("a.json", b'{\n"a": 1}\n', "json"),
        ("a.json", b'{"a": {}\n, "b": 1}\n', "json"),
        ("a.json.gz", gzip.compress(b'[{"a": 1}]'), "json"),
        ("a.dat", b'[{"a": 1}]', "json"),
        ("a.dat", b'[\n  {\n    "a": 1}]', "json"),
        ("a.dat", b'{"a": 1}\n', "jsonl"),
        ("a.dat", '{"a": 1}\n{"a": 2}\n'.encode("utf-16"), "jsonl"),
        ("a.json", b'{"a": "' + b"x" * 70_000 + b'"}\n{"a": 1}', "json"),
    ],
)
def test_documents_and_lines_are_told_apart(
    tmp_path: Path, name: str, data: bytes, kind: str
) -> None:
    source = open_(tmp_path / name, data)
    assert source.kind == kind


def test_lines_and_documents_among_the_files_of_a_source_are_all_documents(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text("[]")
    (tmp_path / "2.json").write_text('{"a": 1}\n{"a": 2}\n')
    (tmp_path / "3.json").write_text("")
    spec = SourceSpec(location=str(tmp_path / "*.json"))
    source = open_source(spec, connections=lambda _: None, base=None)
    assert (source.kind, source.schema.names) == ("json", ("a",))


@pytest.mark.parametrize("data", [b"", b"[]", b"[1, 2]", b'"text"', b"[{}]"])
def test_a_document_without_keys_is_refused_unless_they_are_expected(
    path: Path, data: bytes
) -> None:
    with pytest.raises(SourceFormatError, match="no JSON object with a key"):
        open_(path, data)
    expected = Schema((Field("a", parse_type("string")), Field("b", parse_type("json"))))
    source = open_(path, data, expected=expected)
    assert source.schema == expected
    rows, rejects, _ = read(source)
    assert (len(rows), len(rejects)) == {b"[1, 2]": (0, 2), b'"text"': (0, 1), b"[{}]": (1, 0)}.get(
        data, (0, 0)
    )


def test_a_field_without_a_value_has_the_type_that_is_expected(path: Path) -> None:
    expected = Schema((Field("a", parse_type("json")), Field("b", parse_type("json"))))
    source = open_(path, b'[{"a": null, "b": 1}]', expected=expected)
    assert [str(field.type) for field in source.schema] == ["json", "string"]


def test_a_file_that_is_cut_off_says_so_when_it_is_opened(path: Path) -> None:
    with pytest.raises(SourceFormatError, match=r"data\.json ends inside of its array"):
        open_(path, b'[{"a": 1},')


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_a_first_record_that_is_larger_than_the_sample_has_its_keys_looked_at(
    path: Path, format: str
) -> None:
    large = b"x" * (sources.SAMPLE + 1)
    data = b'{"id": 1, "text": "' + large + b'", "all": ["' + large + b'"]}\n'
    source = open_(path, data, format=format)
    kinds = [("id", "int64"), ("text", "string"), ("all", "json")]
    assert [(field.name, str(field.type)) for field in source.suggested] == kinds
    rows, rejects, _ = read(source)
    assert (rows, rejects) == ([("1", large.decode(), f'["{large.decode()}"]')], [])
