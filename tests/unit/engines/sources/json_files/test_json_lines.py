"""JSON lines: no digit, no line and no key is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from airflow_etl_provider.contracts.pipeline import SourceSpec
from airflow_etl_provider.engines.sources import open_source
from airflow_etl_provider.engines.sources.json_files import (
    reading,
)
from airflow_etl_provider.engines.sources.json_files import (
    scan as scanning,
)
from airflow_etl_provider.engines.sources.json_files import (
    source as sources,
)
from airflow_etl_provider.engines.sources.json_files.values import NotAnObjectError, read_object
from airflow_etl_provider.exceptions import SourceFormatError

if TYPE_CHECKING:
    from pathlib import Path


def open_(path: Path, data: bytes, **options: Any) -> Any:
    path.write_bytes(data)
    spec = SourceSpec(location=str(path))
    return open_source(spec, connections=lambda _: None, base=None, **options)


def read(source: Any) -> Any:
    scan = source.scan(source.inputs[0])
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT * FROM {scan.relation(connection)}").fetchall()
        account = scan.account(rows_seen=len(rows))
        assert account.balanced
        rejects = [(r.record, r.line, r.raw, r.reasons[0].code) for r in scan.rejects()]
        assert account.records == len(rows) + len(rejects)
        scan.close()
    return rows, rejects, account


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.jsonl"


def test_numbers_keep_their_digits(path: Path) -> None:
    data = b'{"a": 123456789012345678901234567890, "b": 0.10, "c": 1e400, "d": -0}\n'
    rows, _, _ = read(open_(path, data))
    assert rows == [("123456789012345678901234567890", "0.10", "1e400", "-0")]


def test_nested_values_are_json_with_their_digits(path: Path) -> None:
    source = open_(path, b'{"a": {"x": 1.10, "y": ["\xc3\xa9", null, true]}, "b": [1]}\n')
    assert [str(field.type) for field in source.schema] == ["json", "json"]
    assert [str(field.type) for field in source.suggested] == ["json", "json"]
    rows, _, _ = read(source)
    assert rows == [('{"x": 1.10, "y": ["é", null, true]}', "[1]")]


def test_a_text_in_a_field_of_json_is_json_too(path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sources, "SAMPLE", 10)
    rows, _, _ = read(open_(path, b'{"a": {}}\n{"a": "x\\"y"}\n{"a": true}\n{"a": null}\n'))
    assert rows == [("{}",), ('"x\\"y"',), ("true",), (None,)]


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b"[1]",
        b'"text"',
        b"null",
        b'{"a": 1',
        b'{"a": 1} {"a": 2}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 01}',
        b'{"a": "\xff"}',
        b'{"a": "x\\u0000y"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\x00"}',
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(NotAnObjectError):
        read_object(line)


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert read_object(rb'{"a": "\ud83d\ude00"}') == {"a": "😀"}


def test_a_refused_line_keeps_number_line_and_bytes(path: Path) -> None:
    data = b'\xef\xbb\xbf{"a": 1}\r\n\n  \nbroken\r\n{"a": 2}\n{"a": 1, "a": 2}'
    rows, rejects, account = read(open_(path, data))
    assert rows == [("1",), ("2",)]
    assert rejects == [(2, 4, b"broken", "not_json"), (4, 6, b'{"a": 1, "a": 2}', "not_json")]
    assert account.records == 4


def test_a_line_that_is_too_long_is_refused_and_the_next_one_read(
    path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(reading, "MAX_RECORD", 50)
    long = b'{"a": "' + b"x" * 200 + b'"}\n'
    rows, rejects, _ = read(open_(path, b'{"a": 1}\n' + long + b'{"a": 2}\n'))
    assert rows == [("1",), ("2",)]
    assert [(record, code) for record, _, _, code in rejects] == [(2, "too_long")]


def test_keys_after_the_sample_are_counted_and_noted(path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sources, "SAMPLE", 10)
    _, _, account = read(open_(path, b'{"a": 1}\n' + b'{"a": 2, "late": 3}\n' * 7))
    (note,) = account.notes
    assert "7 records" in note
    assert "'late'" in note


def test_ever_new_keys_do_not_fill_the_memory(path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sources, "SAMPLE", 10)
    lines = b"".join(b'{"a": 1, "k%d": 1}\n' % number for number in range(300))
    _, _, account = read(open_(path, b'{"a": 1}\n' + lines))
    assert len(account.notes) == scanning.MOST_LATE_KEYS + 1
    assert "200 values" in account.notes[-1]


def test_sparse_records_come_in_batches_of_so_many_cells(path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(scanning, "BATCH_CELLS", 100)
    lines = b"".join(b'{"k%d": %d}\n' % (number % 20, number) for number in range(52))
    source = open_(path, lines)
    assert {str(field.type) for field in source.suggested} == {"int64"}
    scan = source.scan(source.inputs[0])
    assert {batch.num_rows for batch in scan._batches()} == {5, 2}
    rows, _, _ = read(source)
    assert [row[number % 20] for number, row in enumerate(rows)] == [str(n) for n in range(52)]


def test_values_written_as_keys_are_refused_with_their_number(path: Path) -> None:
    lines = [b'{"k%d": 1}\n' % number for number in range(2_500)]
    with pytest.raises(SourceFormatError, match="2500 different keys; at most 2000"):
        open_(path, b"".join(lines))
    assert len(open_(path, b"".join(lines[:2_000])).schema) == 2_000


def test_keys_that_differ_in_case_only_are_refused(path: Path) -> None:
    with pytest.raises(SourceFormatError, match="differ in case"):
        open_(path, b'{"a": 1, "A": 2}\n')


def test_types_are_suggested_from_values_unless_all_is_text(path: Path) -> None:
    data = b'{"i": 1, "d": 1.5, "t": "2024-01-01", "b": true, "z": "007", "o": [1]}\n'
    suggested = [str(field.type) for field in open_(path, data).suggested]
    assert suggested == ["int64", "decimal(13,1)", "date", "bool", "string", "json"]
    assert {str(field.type) for field in open_(path, data, all_text=True).suggested} == {"string"}
