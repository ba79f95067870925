from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_etl_provider.contracts.pipeline import Dialect
from airflow_etl_provider.engines.sources.delimited.sniff import sniff_dialect
from airflow_etl_provider.engines.sources.delimited.splitter import Record, split_records
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect

ROWS = [
    ("1", "Smith, John", "12.50", "2024-01-05"),
    ("2", "Doe, Jane", "7.25", "2024-02-11"),
    ("3", "Roe, Richard", "103.00", "2024-03-29"),
    ("4", "Public, Quentin", "0.99", "2024-04-02"),
]
HEADER = ("id", "customer", "amount", "day")


def sniff(data: bytes | str, *, header_rows: int | None = None, **given: object) -> ResolvedDialect:
    raw = data.encode() if isinstance(data, str) else data
    return sniff_dialect(raw, given=Dialect(**given), header_rows=header_rows, whole=True)  # type: ignore[arg-type]


def rows_of(data: str, dialect: ResolvedDialect) -> list[list[str | None]]:
    records = split_records(iter([data.encode()]), dialect)
    return [list(r.fields) for r in records if isinstance(r, Record)]


def table(delimiter: str, *, quote: str = '"', end: str = "\n") -> str:
    return "".join(
        delimiter.join(f"{quote}{c}{quote}" if "," in c else c for c in row) + end
        for row in (HEADER, *ROWS)
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "~", "||", "::"])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_delimiter_and_quote_are_found(delimiter: str, quote: str) -> None:
    text = table(delimiter, quote=quote)
    found = sniff(text)
    assert (found.delimiter, found.quote, found.header_rows) == (delimiter, quote, 1)
    assert found.columns == HEADER
    assert rows_of(text, found) == [list(row) for row in ROWS]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_are_found(end: str) -> None:
    assert sniff(table(";", end=end)).newline == end


def test_line_ends_of_several_kinds_are_mixed() -> None:
    text = table(",").replace("\n", "\r\n", 2).replace("2024-02-11\n", "2024-02-11\r")
    found = sniff(text)
    assert found.newline == "mixed"
    assert rows_of(text, found) == [list(row) for row in ROWS]


def test_line_feeds_inside_quotes_are_no_other_kind_of_line_end() -> None:
    text = 'id,text\r\n1,"two\nlines"\r\n2,"one"\r\n'
    assert sniff(text).newline == "\r\n"


def test_a_file_without_quotes_is_taken_to_quote_as_everybody_does() -> None:
    assert sniff("a,b\n1,2\n").quote == '"'


def test_backslashes_before_quotes_are_escapes() -> None:
    text = "id,name,n\n" + "".join(f'{n},"a \\"big\\", one",{n}\n' for n in range(9))
    assert sniff(text).escape == "\\"
    assert rows_of(text, sniff(text))[0] == ["0", 'a "big", one', "0"]


def test_quotes_that_a_writer_never_escapes_are_recognised() -> None:
    names = ["Kids' wear, new" if n % 3 == 0 else "Hats" for n in range(30)]
    text = "id,name,n\n" + "".join(f"{n},'{name}',{n}\n" for n, name in enumerate(names))
    assert rows_of(text, sniff(text))[3] == ["3", "Kids' wear, new", "3"]


def test_one_stray_quote_does_not_change_the_dialect() -> None:
    rows = [f'{n},"name, {n}",{n}' for n in range(100)]
    rows[50] = '50,"na"me, 50",50'
    found = sniff("id,name,n\n" + "\n".join(rows) + "\n")
    assert not found.bare_quotes
    assert not found.escape


def test_titles_and_blank_lines_above_the_header_are_a_preamble() -> None:
    text = "Report of May\n\nprinted by hand,,,\n" + table(",")
    found = sniff(text)
    assert (found.skip_rows, found.columns) == (3, HEADER)


def test_comment_lines_between_records_are_comments() -> None:
    text = table(",").replace("\n2,", "\n# a remark, of somebody\n2,") + "# end\n"
    found = sniff(text)
    assert found.comment == "#"
    assert len(rows_of(text, found)) == 4


def test_a_hash_that_starts_a_record_starts_no_comment() -> None:
    assert sniff("tag,n\n#one,1\n#two,2\nthree,3\n").comment == ""


def test_numbers_in_the_first_row_mean_no_header() -> None:
    found = sniff("1,2.5,x\n2,3.5,y\n3,4.5,z\n")
    assert (found.header_rows, found.columns) == (0, ("column_1", "column_2", "column_3"))


def test_text_that_looks_like_the_rows_below_is_no_header() -> None:
    found = sniff('"SARAH-Abau1",\n"SARAH-pVnk2",\n"SARAH-fwoe3",\n"SARAH-rjDd4",\n')
    assert found.header_rows == 0


def test_two_header_rows_become_one_name_each() -> None:
    text = "Name,Size,,Weight\n,min,max,\na,1,2,3\nb,4,5,6\nc,7,8,9\n"
    found = sniff(text)
    assert found.columns == ("Name", "Size min", "Size max", "Weight")
    assert rows_of(text, found)[0] == ["a", "1", "2", "3"]


def test_a_header_of_another_delimiter_is_still_the_header() -> None:
    text = table(";").replace("id;customer;amount;day", "id customer amount day")
    assert sniff(text).columns == HEADER


def test_a_header_alone_is_a_header() -> None:
    found = sniff("Department,Unit,Name\n")
    assert (found.header_rows, found.columns) == (1, ("Department", "Unit", "Name"))


def test_an_empty_file_has_no_columns() -> None:
    assert sniff("").columns == ()


def test_blanks_after_every_delimiter_belong_to_it() -> None:
    text = "1, 2, 3\n4, 5, 6\n7, 8, 9\n"
    found = sniff(text)
    assert (found.delimiter, found.skip_blanks) == (",", True)
    assert rows_of(text, found)[0] == ["1", "2", "3"]


def test_a_delimiter_after_the_last_field_of_every_record_is_no_column() -> None:
    text = "a,b\n1,2,\n3,4,\n5,6,\n"
    found = sniff(text)
    assert (found.columns, found.trailing_delimiter) == (("a", "b"), True)
    assert rows_of(text, found)[2] == ["5", "6"]


def test_writers_that_leave_empty_fields_out_are_padded() -> None:
    lines = ["1,2,3,4" if n % 2 else "1,2" for n in range(20)]
    found = sniff("a,b,c,d\n" + "\n".join(lines) + "\n")
    assert found.pad_short_rows
    assert len(found.columns) == 4


def test_a_single_short_record_is_not_padded() -> None:
    lines = ["1,2,3,4"] * 19 + ["1,2"]
    assert not sniff("a,b,c,d\n" + "\n".join(lines) + "\n").pad_short_rows


def test_a_second_narrower_table_is_not_padded() -> None:
    text = "a,b,c\n" + "1,2,3\n" * 20 + "\nx,y\n" + "4,5\n" * 30
    found = sniff(text)
    assert (found.columns, found.pad_short_rows) == (("a", "b", "c"), False)


def test_a_header_that_stands_in_the_file_again_is_noticed() -> None:
    assert sniff(table(",") * 2).repeated_header


def test_broken_first_records_are_no_preamble() -> None:
    found = sniff("1,2.5,9\n" + "2,3.5,8,7\n" * 30)
    assert found.skip_rows == 0


def test_what_is_given_is_taken() -> None:
    found = sniff("a;b,c\n1;2,3\n", header_rows=0, delimiter=",", quote="", skip_rows=1)
    assert (found.delimiter, found.quote, found.skip_rows, found.header_rows) == (",", "", 1, 0)
    assert found.columns == ("column_1", "column_2")


def test_an_escape_that_is_the_quote_means_doubling() -> None:
    assert sniff('a,b\n"x","y"\n', quote='"', escape='"').escape == ""


def test_utf16_with_a_mark_is_read_by_its_mark() -> None:
    found = sniff_dialect(
        "a,b\n1,2\n".encode("utf-16"), given=Dialect(), encoding="utf-16", whole=True
    )
    assert (found.encoding, found.bom, found.columns) == ("utf-16-le", 2, ("a", "b"))


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(SpecificationError, match="latin-99"):
        sniff_dialect(b"a,b\n", given=Dialect(), encoding="latin-99", whole=True)


tokens = st.sampled_from(
    [b"a", b"1", b",", b";", b'"', b"'", b"\\", b"\n", b"\r", b"\0", b"\xff", b"#"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(tokens, max_size=60).map(b"".join) | st.binary(max_size=100), st.booleans())
def test_any_bytes_get_a_dialect_with_different_names(data: bytes, whole: bool) -> None:
    found = sniff_dialect(data, given=Dialect(), whole=whole)
    assert len({name.casefold() for name in found.columns}) == len(found.columns)
    assert all(found.columns)
    list(split_records(iter([data]), found))


@pytest.mark.parametrize("text", ["line, of text\n", "one; two; three\n", "words\n"])
def test_the_lines_of_a_long_field_are_not_taken_for_the_table(text: str) -> None:
    before = "".join(f"{n},name,x\n" for n in range(50))
    sample = f'id,name,note\n{before}1000,"{text * 80_000}'.encode()
    found = sniff_dialect(sample[: 2**20], given=Dialect(), whole=False)
    assert (found.delimiter, found.skip_rows, found.columns) == (",", 0, ("id", "name", "note"))


def test_a_quote_that_is_never_closed_hides_no_records() -> None:
    rows = "".join(f"{n},name,x\n" for n in range(60_000))
    found = sniff_dialect(f'id,name,note\n1,"name,y\n{rows}'.encode(), given=Dialect(), whole=False)
    assert (found.skip_rows, found.columns) == (0, ("id", "name", "note"))
