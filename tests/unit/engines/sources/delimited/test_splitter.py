from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_etl_provider.engines.sources.delimited import splitter
from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect
from airflow_etl_provider.engines.sources.delimited.splitter import (
    Broken,
    Record,
    split_batches,
    split_records,
)
from tests.reference.slow_reader import physical_lines, read

PLAIN = ResolvedDialect(
    encoding="utf-8", bom=0, delimiter=",", quote='"', escape="", comment="", newline="\n",
    skip_rows=0, header_rows=0, columns=("a", "b", "c"),
)  # fmt: skip


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def split(data: bytes, dialect: ResolvedDialect = PLAIN, **limits: int) -> list[Record | Broken]:
    return list(split_records(iter(pieces(data, 7)), dialect, **limits))


def fields(data: bytes, dialect: ResolvedDialect = PLAIN) -> list[list[str | None] | str]:
    """What each record became: its fields, or the code of the reject."""
    return [r.code if isinstance(r, Broken) else list(r.fields) for r in split(data, dialect)]


dialects = st.builds(
    replace,
    st.just(PLAIN),
    delimiter=st.sampled_from([",", ";", "||", ", ", " ", "\t"]),
    quote=st.sampled_from(['"', '"', "'", ""]),
    escape=st.sampled_from(["", "", "\\"]),
    comment=st.sampled_from(["", "", "#"]),
    newline=st.sampled_from(["\n", "\r\n", "mixed", "\r"]),
    skip_rows=st.integers(0, 2),
    header_rows=st.integers(0, 2),
    columns=st.sampled_from([("a", "b", "c"), ("a", "b"), ("a",)]),
    null_values=st.sampled_from([("",), (), ("", "NA")]),
    skip_blanks=st.booleans(),
    pad_short_rows=st.booleans(),
    trailing_delimiter=st.booleans(),
    bare_quotes=st.booleans(),
    repeated_header=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8", "cp1252", "utf-16-le", "shift_jis"]),
)

words = ["a", "bc", "NA", "é", "表", "#", "\\", '\\"', "\0"]
delimiters = [",", ";", "|", "||", ", ", " ", "\t"]
quotes = ['"', '"', '""', "'", "''", '","', ',"', '",', '"\n']
ends = ["\n", "\n", "\n", "\r\n", "\r"]
whole_lines = ["a,b,c\n", '"a","b","c"\n', "a,b\n"]
tokens = st.sampled_from(words + delimiters + quotes + ends + whole_lines)
texts = st.lists(tokens, max_size=40).map("".join)
invalid = st.sampled_from([b"", b"", b"", b"\xff", b"\x81", b"\xe3\x81", b"\x00"])


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, ResolvedDialect]:
    dialect = draw(dialects)
    parts = draw(st.lists(st.tuples(texts, invalid), max_size=4))
    data = b"".join(t.encode(dialect.encoding, errors="ignore") + bad for t, bad in parts)
    return data, dialect


def assert_same(data: bytes, dialect: ResolvedDialect, *, size: int) -> None:
    wanted = [
        (p.number, p.start, p.end, p.fields, p.code)
        for p in read(data, dialect)
        if p.kind in ("record", "rejected")
    ]
    found = []
    for got in split_records(iter(pieces(data, size)), dialect):
        if isinstance(got, Record):
            end = got.offset + len(got.raw)
            found.append((got.number, got.offset, end, list(got.fields), None))
        else:
            found.append((got.number, got.offset, got.offset + got.size, None, got.code))
        assert data[got.offset : got.offset + len(got.raw)] == got.raw
    assert found == wanted


@settings(max_examples=300, deadline=None)
@given(files(), st.integers(1, 9))
@example((b'"a","b\n"c","d"\n', replace(PLAIN, columns=("a", "b"))), 3)
@example((b'a,"b\r\n",c\r', replace(PLAIN, newline="mixed")), 1)
def test_the_splitter_reads_what_the_slow_reader_reads(
    case: tuple[bytes, ResolvedDialect], size: int
) -> None:
    assert_same(*case, size=size)


@settings(max_examples=300, deadline=None)
@given(files(), st.integers(1, 9), st.integers(1, 20), st.integers(1, 3))
def test_it_makes_no_difference_where_blocks_end(
    case: tuple[bytes, ResolvedDialect], size: int, block: int, step: int
) -> None:
    with (
        patch.object(splitter, "BLOCK_BYTES", block),
        patch.object(splitter, "MOST_BLOCK_BYTES", 2 * block),
        patch.object(splitter, "STEP_LINES", step),
    ):
        assert_same(*case, size=size)


@settings(max_examples=200, deadline=None)
@given(files())
def test_every_byte_belongs_to_exactly_one_part(case: tuple[bytes, ResolvedDialect]) -> None:
    data, dialect = case
    at = 0
    for part in read(data, dialect):
        assert part.start == at
        at = part.end
    assert at == len(data)


@settings(max_examples=200, deadline=None)
@given(files(), st.integers(1, 4))
def test_batches_hold_the_rows_and_rejects_of_the_records(
    case: tuple[bytes, ResolvedDialect], rows: int
) -> None:
    data, dialect = case
    records = list(split_records(iter([data]), dialect))
    batches = list(split_batches(iter([data]), dialect, rows=rows))
    found = [
        (number, list(row.values()))
        for one in batches
        for number, row in zip(one.numbers, one.batch.to_pylist(), strict=True)
    ]
    assert found == [(r.number, list(r.fields)) for r in records if isinstance(r, Record)]
    assert [b for one in batches for b in one.broken] == [
        r for r in records if isinstance(r, Broken)
    ]
    assert all(one.batch.num_rows <= rows for one in batches)


def test_a_quoted_empty_field_is_text_and_an_unquoted_one_null() -> None:
    assert fields(b'1,"",\n') == [["1", "", None]]


def test_a_quoted_null_word_is_text() -> None:
    assert fields(b'NA,"NA",x\n', replace(PLAIN, null_values=("NA",))) == [[None, "NA", "x"]]


def test_blanks_around_quotes_are_no_part_of_the_field() -> None:
    assert fields(b'1, "x,y" ,3\n') == [["1", "x,y", "3"]]


def test_a_quote_inside_an_unquoted_field_is_text() -> None:
    assert fields(b'1,5" wide,3\n') == [["1", '5" wide', "3"]]


def test_an_unterminated_quote_costs_its_own_line_only() -> None:
    assert fields(b'1,2,3\n4,"5,6\n7,8,9\n1,"x",3\n') == [
        ["1", "2", "3"],
        "broken_quote",
        ["7", "8", "9"],
        ["1", "x", "3"],
    ]


def test_lines_up_to_the_next_that_fits_are_rejected_one_by_one() -> None:
    assert fields(b'1,"a"b,3\nfree text\n4,5\n7,8,9\n') == [
        "broken_quote",
        "broken_quote",
        "broken_quote",
        ["7", "8", "9"],
    ]


def test_a_field_of_several_lines_is_not_torn_when_the_number_of_fields_is_wrong() -> None:
    assert fields(b'1,"some\ntext\nhere",3,4\n1,2,3\n') == ["wrong_field_count", ["1", "2", "3"]]


def test_records_that_a_stray_quote_swallowed_come_back() -> None:
    data = b'1,"2,3\n4,5,6\n7,8,9\n1,2,3"\n4,5,6\n'
    assert fields(data)[:3] == ["broken_quote", ["4", "5", "6"], ["7", "8", "9"]]


@pytest.mark.parametrize("bad", [b"1,\xff,3\n", b"1,\0,3\n"])
def test_bytes_that_are_no_text_reject_the_record_and_are_kept(bad: bytes) -> None:
    [first, second] = split(bad + b"4,5,6\n")
    assert isinstance(first, Broken)
    assert (first.code, first.raw) == ("bad_encoding", bad)
    assert isinstance(second, Record)


def test_a_line_over_the_limit_is_rejected_and_its_size_known() -> None:
    long = b"1,2," + b"x" * 5000 + b"\n"
    found = split(b"1,2,3\n" + long + b"4,5,6\n", max_record_bytes=1000)
    assert [type(r) for r in found] == [Record, Broken, Record]
    assert isinstance(found[1], Broken)
    assert (found[1].code, found[1].size, found[1].raw) == ("too_long", len(long), long[:1000])
    assert found[2].offset == 6 + len(long)


@pytest.mark.parametrize("newline", ["\n", "mixed"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_over_the_limit_may_end_anywhere(newline: str, end: bytes) -> None:
    dialect = replace(PLAIN, newline=newline)  # type: ignore[arg-type]
    data = b"x" * 3_000_000 + end + b"1,2,3" + end
    for size in (1 << 20, 1_000_001, 3_000_001):
        found = list(split_records(iter(pieces(data, size)), dialect, max_record_bytes=1000))
        assert isinstance(found[0], Broken)
        if end:
            assert found[0].size == 3_000_000 + len(end)
            assert found[1:] == [
                Record(2, 2, 3_000_000 + len(end), b"1,2,3" + end, ["1", "2", "3"])
            ]
        else:
            assert found[0].size == len(data)


def test_a_quote_left_open_for_longer_than_the_limit_costs_its_own_line_only() -> None:
    rows = b"".join(b"%d,b,c\n" % at for at in range(1000))
    found = split(b'1,"open,3\n' + rows, max_record_bytes=500)
    assert [r.code for r in found if isinstance(r, Broken)] == ["too_long"]
    assert len(found) == 1001


def test_a_field_of_many_megabytes_is_read() -> None:
    text = b'say ""hi""\n' * 500_000
    data = b'1,"' + text + b'",3\n4,5,6\n'
    found = list(split_records(iter(pieces(data, 1 << 16)), PLAIN))
    assert [type(r) for r in found] == [Record, Record]
    assert isinstance(found[0], Record)
    assert found[0].fields[1] == text.decode().replace('""', '"')


def test_memory_stays_bounded_when_a_quote_is_never_closed() -> None:
    import tracemalloc

    def chunks() -> object:
        yield b'1,"open,3\n'
        for _ in range(10):
            yield b"1,2,3\n" * 20_000

    tracemalloc.start()
    counts = {Record: 0, Broken: 0}
    for got in split_records(chunks(), PLAIN, max_record_bytes=2**18):  # type: ignore[arg-type]
        counts[type(got)] += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts == {Record: 200_000, Broken: 1}
    assert peak < 60 * 2**20


def test_a_short_row_is_padded_only_when_the_dialect_says_so() -> None:
    assert fields(b"1,2\n") == ["wrong_field_count"]
    assert fields(b"1,2\n", replace(PLAIN, pad_short_rows=True)) == [["1", "2", None]]


def test_a_delimiter_at_the_end_is_no_field_only_when_the_dialect_says_so() -> None:
    assert fields(b"1,2,3,\n") == ["wrong_field_count"]
    trailing = replace(PLAIN, trailing_delimiter=True)
    assert fields(b"1,2,3,\n1,2,3\n1,2,3,4\n", trailing) == [
        ["1", "2", "3"],
        ["1", "2", "3"],
        "wrong_field_count",
    ]


def test_a_repeated_header_is_rejected_where_the_dialect_expects_it() -> None:
    dialect = replace(PLAIN, header_rows=1, repeated_header=True)
    assert fields(b"a,b,c\n1,2,3\na,b,c\n4,5,6\n", dialect) == [
        ["1", "2", "3"],
        "repeated_header",
        ["4", "5", "6"],
    ]


def test_quotes_that_nobody_escaped_end_before_a_delimiter() -> None:
    dialect = replace(PLAIN, quote="'", bare_quotes=True)
    assert fields(b"1,'Kids' Fleece, Hooded','x'\n", dialect) == [
        ["1", "Kids' Fleece, Hooded", "x"]
    ]


def test_backslashes_escape_quotes_and_themselves_only() -> None:
    dialect = replace(PLAIN, escape="\\")
    assert fields(b'1,"8\\\'9\\" \\\\",3\n', dialect) == [["1", "8\\'9\" \\", "3"]]


def test_line_ends_of_all_kinds_end_records_in_a_mixed_file() -> None:
    dialect = replace(PLAIN, newline="mixed")
    assert fields(b'1,2,3\r4,5,6\r\n7,"8\r\n8",9\n1,2,3', dialect) == [
        ["1", "2", "3"],
        ["4", "5", "6"],
        ["7", "8\r\n8", "9"],
        ["1", "2", "3"],
    ]


def test_wide_characters_whose_bytes_look_like_line_feeds_end_no_line() -> None:
    dialect = replace(PLAIN, encoding="utf-16-le")
    assert fields("1,\u0a0a\u0a00\u000b,3\n4,5,6\n".encode("utf-16-le"), dialect) == [
        ["1", "\u0a0a\u0a00\u000b", "3"],
        ["4", "5", "6"],
    ]


def test_the_slow_reader_knows_lines_without_an_end() -> None:
    assert [(line.start, line.end) for line in physical_lines(b"a\nb", PLAIN)] == [(0, 2), (2, 3)]
