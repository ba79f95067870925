"""JSON documents: found record by record, broken ones told apart, with bounded memory."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from airflow_etl_provider.engines.sources.json_files import reading
from airflow_etl_provider.engines.sources.json_files.document import DocumentReader
from airflow_etl_provider.exceptions import SourceFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = (1, 2, 3, 7, 10**6)


def read(data: bytes, *, size: int, path: tuple[str, ...] = ()) -> tuple[list[Any], DocumentReader]:
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    reader = DocumentReader(pieces, name="a.json", path=path)
    return [
        record if fault is None else (fault.line, fault.raw, fault.message)
        for record, _, fault in reader.records()
    ], reader


def records(data: bytes, *path: str) -> list[Any]:
    """What is read, the same however the bytes arrive."""
    results = [read(data, size=size, path=path)[0] for size in SIZES]
    assert all(result == results[0] for result in results)
    return results[0]


def good_and_raw(data: bytes, *path: str) -> tuple[list[Any], list[bytes]]:
    found = records(data, *path)
    good = [record for record in found if isinstance(record, dict)]
    return good, [fault[1] for fault in found if isinstance(fault, tuple)]


def fails(data: bytes, *path: str) -> str:
    words = set()
    for size in SIZES:
        with pytest.raises(SourceFormatError) as error:
            read(data, size=size, path=path)
        words.add(error.value.message)
    assert len(words) == 1
    return words.pop()


A, B = {"a": "1"}, {"a": "2"}


@pytest.mark.parametrize(
    "data",
    [
        b'[{"a":1},{"a":2}]',
        b'\xef\xbb\xbf [\r\n  {"a": 1},\r\n  {\r\n"a": 2\r\n}\r\n]\r\n',
        b'{"a":1}{"a":2}',
        b'{"a":1}\n{"a":2}\n',
        b'{\n  "a": 1\n}\n\n{\n  "a": 2\n}',
        b'\x1e{"a":1}\n\x1e{"a":2}\n',
        b'[{"a":1}]\n[{"a":2}]',
    ],
)
def test_records_stand_in_an_array_or_one_after_the_other(data: bytes) -> None:
    assert records(data) == [A, B]


@pytest.mark.parametrize("data", [b"", b" \n\t", b"[]", b" [ \n ] ", b"\xef\xbb\xbf"])
def test_an_empty_document_has_no_records(data: bytes) -> None:
    assert records(data) == []


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b'{"items": [{"a":1},{"a":2}]}', ("items",)),
        (
            b'{"x": {"items": [3]}, "d": {"n": 2, "items": [{"a":1},{"a":2}]}, "y": "]"}',
            ("d", "items"),
        ),
        (b'{"items": [{"a":1}], "next": "x"}\n{"items": [{"a":2}], "next": null}', ("items",)),
        (b'{"a key": {"b.c": [{"a":1},{"a":2}]}}', ("a key", "b.c")),
        (b'{"s": "\\"items\\": [{", "items": [{"a":1},{"a":2}]}', ("items",)),
        (b'{"\\u0069tems": [{"a":1},{"a":2}]}', ("items",)),
    ],
)
def test_records_are_found_by_the_keys_on_the_way(data: bytes, path: tuple[str, ...]) -> None:
    assert records(data, *path) == [A, B]


def test_one_object_where_the_array_should_be_is_one_record() -> None:
    assert records(b'{"items": {"a":1}, "n": 1}', "items") == [A]


def test_null_where_the_array_should_be_is_no_record() -> None:
    assert records(b'{"items": null, "n": 1}', "items") == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            b'{"n": 1, "m": {"items": []}}',
            "no key 'items' on the way to its records; the keys there: 'n', 'm'",
        ),
        (b'{"items": 3}', "neither an array nor an object where `source.records` leads to"),
        (b'{"items": [], "items": []}', "has the key 'items' twice"),
        (b'[{"items": []}]', "has no object that could hold the key 'items'"),
        (b'{"items": [{"a":1}]', "something that is no key"),
        (b'{"x": [1, "items": [{"a":1}]}', "breaks off or has broken quotes or brackets"),
        (b'{items: [{"a":1}]}', "something that is no key"),
    ],
)
def test_a_document_without_its_records_stops_the_reading(data: bytes, words: str) -> None:
    assert words in fails(data, "items")


@pytest.mark.parametrize(
    "bad",
    [
        b"7",
        b"null",
        b'"a, b] {"',
        b'[1, {"b": 2}]',
        b"junk",
        b'{"a": 01}',
        b'{"a": 1,}',
        b'{"a" 1}',
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": 1} {"a": 2}',
        b'{"a": 1}}',
        b'{"a": [1, 2}',
        b'{"a": "\xff"}',
        b'{"a": "\\u0000"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\x00"}',
        b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    ],
)
def test_a_broken_record_is_rejected_alone_with_its_bytes(bad: bytes) -> None:
    data = b'[{"a":1}, ' + bad + b' ,\n{"a":2}]'
    good, raw = read(data, size=10**6)[0], [bad]
    assert [good[0], good[2]] == [A, B]
    assert [good[1][1]] == raw
    if len(data) < 1_000:
        assert good_and_raw(data) == ([A, B], raw)


@pytest.mark.parametrize(
    ("data", "good", "raw"),
    [
        # The quote is missing: the rest would be inside and outside of strings the wrong way.
        (b'[\n{"a":"x},\n{"a":"1"},\n{"a":"2"}\n]', [A, B], [b'{"a":"x}']),
        (
            b'[\n  {\n    "a": "x,\n    "b": 1\n  },\n  {\n    "a": 1\n  },\n  {"a": 2}\n]',
            [A, B],
            [b'{\n    "a": "x,\n    "b": 1\n  }'],
        ),
        # A line break stands in a text as it is.
        (b'[\n{"a":"x\ny"},\n{"a":1},\n{"a":2}\n]', [A, B], [b'{"a":"x\ny"}']),
        # A bracket is missing.
        (b'[\n{"a":1},\n{"a":{"b":3},\n{"a":2}\n]', [A, B], [b'{"a":{"b":3}']),
        (b'[\n{"a":1},\n{"a":[{"b":3},\n{"a":2}\n]', [A], [b'{"a":[{"b":3},\n{"a":2}']),
        # Objects after each other.
        (b'{"a":1}\n{"a":"x}\n{"a":2}\n', [A, B], [b'{"a":"x}']),
        (b'{"a":1}\n{"a": \n{"a":8}\n{"a":2}\n', [A, B], [b'{"a": \n{"a":8}']),
        (b'junk\n{"a":1}\n7\n{"a":2}\nend', [A, B], [b"junk", b"7", b"end"]),
        (b'{"a":1}\n{"a":2}\n{"a":', [A, B], [b'{"a":']),
    ],
)
def test_after_broken_quotes_and_brackets_reading_goes_on_at_a_line_like_it(
    data: bytes, good: list[Any], raw: list[bytes]
) -> None:
    assert good_and_raw(data) == (good, raw)


def test_an_object_inside_of_a_broken_record_is_not_taken_for_a_record() -> None:
    data = b'[\n{"id":1,"l":[]},\n{"id":"x,"l":[\n{"b":1},\n{"b":2}\n]},\n{"id":3,"l":[]}\n]'
    good, raw = good_and_raw(data)
    assert [record["id"] for record in good] == ["1", "3"]
    assert len(raw) == 1


@pytest.mark.parametrize(
    ("data", "raw"),
    [
        (b'[{"a":1}, {"a":{"b":2}]', b'{"a":{"b":2}'),
        (b'[{"a":1}, {"a":"x}, {"a":"y"}]', b'{"a":"x}, {"a":"y"}'),
    ],
)
def test_what_is_not_closed_takes_all_that_follows_up_to_the_end_of_the_array(
    data: bytes, raw: bytes
) -> None:
    assert good_and_raw(data) == ([A], [raw])


@pytest.mark.parametrize(
    "data",
    [
        b'[{"a":1},{"a":2',
        b'[{"a":1},',
        b'[{"a":1}',
        b"[",
        b'[{"a":1},{"a":"x',
        b'[{"a":[1},{"a":2}',
    ],
)
def test_an_array_that_is_cut_off_stops_the_reading(data: bytes) -> None:
    fails(data)


@pytest.mark.parametrize("data", [b'[{"a":1}]]', b'[{"a":1}],{"a":2}', b'{"a":1}}'])
def test_brackets_and_commas_that_belong_to_nothing_stop_the_reading(data: bytes) -> None:
    assert "closes or separates nothing" in fails(data)


def test_commas_without_a_record_are_counted() -> None:
    found, reader = read(b'[,{"a":1},,{"a":2},]', size=3)
    assert (found, reader.gaps) == ([A, B], 3)


def test_lines_are_the_physical_ones() -> None:
    found = records(b'[\n{"a":1},\n\n7,\n{"a":\n2}, 8]')
    assert [fault[0] for fault in found if isinstance(fault, tuple)] == [4, 6]


def test_one_object_tells_which_of_its_keys_hold_tables() -> None:
    found, reader = read(b'{"n": 1, "items": [{"a":1}], "tags": ["x"]}', size=5)
    assert (len(found), reader.tables) == (1, ("items",))
    assert read(b'{"items": [{"a":1}]}{"items": []}', size=5)[1].tables == ()


def test_what_is_too_long_is_rejected_and_the_next_one_read(monkeypatch: Any) -> None:
    monkeypatch.setattr(reading, "MAX_RECORD", 60)
    long = b'{"a": "' + b"x" * 500 + b'", "b": {"c": [1]}}'
    for size in SIZES:
        found, _ = read(b'[{"a":1}, ' + long + b', {"a":2}]', size=size)
        assert [found[0], found[2]] == [A, B]
        assert found[1][1:] == (long[:60], "The record is longer than 60 characters.")


def test_a_document_that_is_one_huge_object_is_refused_with_what_to_write(monkeypatch: Any) -> None:
    monkeypatch.setattr(reading, "MAX_RECORD", 60)
    data = b'{"items": [' + b'{"a": 1}, ' * 20 + b'{"a": 1}]}'
    with pytest.raises(SourceFormatError, match=r"records: \$\.items"):
        read(data, size=10)
    assert len(read(data, size=10, path=("items",))[0]) == 21


def test_a_text_of_five_megabytes_is_read() -> None:
    text = 'x\\"ü' * 1_000_000
    data = f'[{{"a": "{text}"}}, {{"a": 2}}]'.encode()
    (first, second), _ = read(data, size=2**20)
    assert (first["a"], second) == (json.loads(f'"{text}"'), B)


def test_memory_does_not_grow_with_the_document() -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"skipped": ['
        yield from itertools.repeat(b'{"b": "' + b"y" * 100_000 + b'"}, ', 200)
        yield b'0], "items": ['
        yield from itertools.repeat(b'{"a": 1, "b": "' + b"x" * 1_000 + b'"}, ' * 1, 20_000)
        yield b'{"a": 1}]}'

    reader = DocumentReader(pieces(), name="a.json", path=("items",))
    tracemalloc.start()
    count = sum(1 for _ in reader.records())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_001
    assert peak < 4 * 2**20
