"""The fast road gives what the careful road gives, or says that it can't."""

from __future__ import annotations

import gzip
import random
import threading
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_etl_provider.contracts.load import InputIdentity
from airflow_etl_provider.contracts.source_spec import SourceSpec
from airflow_etl_provider.engines.sources import open_source
from airflow_etl_provider.engines.sources.base import ReadsAhead
from airflow_etl_provider.engines.sources.compression import StoredFile
from airflow_etl_provider.engines.sources.delimited import source as source_module
from airflow_etl_provider.engines.sources.delimited.count import body_offset, count_bytes
from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect
from airflow_etl_provider.engines.sources.delimited.scan import CarefulScan, FastScan
from airflow_etl_provider.engines.sources.files import FileInput
from airflow_etl_provider.exceptions import SourceFormatError
from tests.reference import slow_reader

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("a", "b", "c")


def dialect(**changes: Any) -> ResolvedDialect:
    settings: dict[str, Any] = {
        "encoding": "utf-8",
        "bom": 0,
        "delimiter": ",",
        "quote": '"',
        "escape": "",
        "comment": "",
        "newline": "\n",
        "skip_rows": 0,
        "header_rows": 1,
        "columns": NAMES,
    }
    return ResolvedDialect(**(settings | changes))


def stored(path: Path) -> FileInput:
    stat = path.stat()
    identity = InputIdentity(path.name, stat.st_size, str(stat.st_mtime_ns))
    packed = "gzip" if path.suffix == ".gz" else "none"
    return FileInput(identity, StoredFile(path.name, path, packed), stat.st_size, stat.st_mtime_ns)


def read(scan: FastScan | CarefulScan, connection: duckdb.DuckDBPyConnection) -> Any:
    """Rows with their record numbers and rejects, or None when the account does not balance."""
    try:
        view = scan.relation(connection)
        rows = connection.sql(f"SELECT * FROM {view}").fetchall()
        account = scan.account(rows_seen=len(rows))
        if not account.balanced:
            return None
        numbers = scan.record_numbers(list(range(len(rows))))
        rejects = [(r.record, r.raw, r.reasons[0].code) for r in scan.rejects()]
        assert account.records == len(rows) + len(rejects)
        assert account.scanned == len(rows)
        assert sorted(numbers + [record for record, _, _ in rejects]) == list(
            range(1, account.records + 1)
        )
        return list(zip(numbers, rows, strict=True)), rejects
    except duckdb.Error:
        assert not scan.careful
        return None
    finally:
        scan.close()


def fast_scan(file: FileInput, how: ResolvedDialect) -> FastScan | None:
    sample, whole = file.stored.sample()
    body = body_offset(sample, how, whole=whole)
    if body is None or how.needs_splitter:
        return None
    with file.stored.open() as stream:
        count = count_bytes(stream, how, body=body)
    if count.hazard:
        return None
    return FastScan(file, how, fields=how.columns, count=count, body=body)


def by_slow_reader(data: bytes, how: ResolvedDialect) -> Any:
    good, bad = [], []
    for part in slow_reader.read(data, how):
        raw = data[part.start : part.end]
        if part.kind == "record":
            good.append((part.number, tuple(part.fields or ())))
        elif part.kind == "rejected":
            for end in (b"\r\n", b"\n", b"\r"):
                if raw.endswith(end):
                    raw = raw[: -len(end)]
                    break
            bad.append((part.number, raw, part.code))
    return good, bad


@pytest.fixture(scope="module")
def connection() -> Any:
    with duckdb.connect(config={"threads": 2}) as connection:
        yield connection


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    return tmp_path_factory.mktemp("roads")


plain = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters=',"\x00'), max_size=8
).map(str.strip)
quoted = st.text(st.sampled_from(list('ab,"\nx é 北')), max_size=8).map(
    lambda text: '"' + text.replace('"', '""') + '"'
)
field = st.one_of(plain, plain, quoted, st.sampled_from(["", '""', "NULL", '"NULL"', "0"]))
clean_line = st.lists(field, min_size=3, max_size=3).map(",".join)
ragged_line = st.lists(field, min_size=1, max_size=5).map(",".join)
newlines = st.sampled_from(["\n", "\n", "\r\n"])


@st.composite
def clean_files(draw: Any) -> tuple[bytes, ResolvedDialect]:
    newline = draw(newlines)
    lines = ["a,b,c", *draw(st.lists(clean_line, max_size=12))]
    text = "\n".join(lines) + draw(st.sampled_from(["\n", ""]))
    if newline == "\r\n":
        text = text.replace("\n", "\r\n")
    nulls = draw(st.sampled_from([("",), ("NULL",), ("", "NULL"), ()]))
    mark = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"]))
    return mark + text.encode(), dialect(newline=newline, null_values=nulls, bom=len(mark))


@st.composite
def dirty_files(draw: Any) -> tuple[bytes, ResolvedDialect]:
    newline = draw(newlines)
    broken = st.sampled_from(
        [b'"open,x,y', b'1,"open', b'x"y,2,3', b'1,"a"b,3', b"\xff,2,3", b"1,\xe9", b"", b"  ",
         b"1,2,3,", b'"1" ,2,3', b'1, "2",3', b"\x00,2,3", b"1,2\r,3", b'1,2,3,""', b"1,2,3,NULL",
         b"\xed\xa0\x80,1,2", b'""x,1,2', b"1,2,3,4,", b",,", b",", b'"a\n\nb",2,3', b'"a\nb",2']
    )  # fmt: skip
    line = st.one_of(clean_line.map(str.encode), ragged_line.map(str.encode), broken)
    lines = [b"a,b,c", *draw(st.lists(line, max_size=10))]
    data = b"\n".join(lines) + draw(st.sampled_from([b"\n", b"", b"\n\n"]))
    if newline == "\r\n":
        data = data.replace(b"\n", b"\r\n")
    nulls = draw(st.sampled_from([("",), ("", "NULL"), ("NULL",)]))
    return data, dialect(newline=newline, null_values=nulls)


QUICK = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUICK
@given(clean_files())
def test_a_well_formed_file_reads_the_same_by_both_roads(
    connection: Any, folder: Path, made: tuple[bytes, ResolvedDialect]
) -> None:
    data, how = made
    path = folder / "clean.csv"
    path.write_bytes(data)
    careful = read(CarefulScan(stored(path), how, fields=NAMES), connection)
    assert careful == by_slow_reader(data, how)
    scan = fast_scan(stored(path), how)
    if scan is not None:
        assert read(scan, connection) == careful


@QUICK
@given(dirty_files())
@example((b'a,b,c\n1,2,3,\n1,2,"x,y"\n', dialect()))
@example(
    (
        b'a,b,c\n,,NULL\n\xff,2,3\n,,\n,,\nx"y,2,3\nx"y,2,3\n',
        dialect(null_values=("NULL",)),
    )
)
@example((b'a,b,c\n1,2,3,NULL\n1,2,"x,y"\n', dialect(null_values=("NULL",))))
def test_a_dirty_file_reads_the_same_by_both_roads_or_the_fast_one_says_no(
    connection: Any, folder: Path, made: tuple[bytes, ResolvedDialect]
) -> None:
    data, how = made
    path = folder / "dirty.csv"
    path.write_bytes(data)
    careful = read(CarefulScan(stored(path), how, fields=NAMES), connection)
    assert careful == by_slow_reader(data, how)
    scan = fast_scan(stored(path), how)
    if scan is not None:
        fast = read(scan, connection)
        assert fast in (None, careful)


def big_file(path: Path, *, newline: str = "\n", records: int = 60_000) -> None:
    end = newline.encode()
    lines = [b"a,b,c"]
    for number in range(records):
        if number % 500 == 7:
            lines.append(b"%d,short" % number)
        elif number % 500 == 11:
            lines.append(b"%d,\xff\xfe,x" % number)
        elif number % 500 == 13:
            lines.append(b'%d,"1,2","x, ""y""",z' % number)
        elif number % 9 == 0:
            lines.append(b'%d,"two%slines, ""quoted""",x%d' % (number, end, number))
        else:
            lines.append(b"%d,%s,%d" % (number, b"text " * 12, number))
    data = end.join(lines) + end
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as out:
        out.write(data)


@pytest.mark.parametrize("name", ["big.csv", "big.csv.gz"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_larger_file_with_bad_rows_takes_the_fast_road_in_several_threads(
    connection: Any, tmp_path: Path, name: str, newline: str
) -> None:
    path = tmp_path / name
    big_file(path, newline=newline)
    how = dialect(newline=newline)
    scan = fast_scan(stored(path), how)
    assert scan is not None
    fast = read(scan, connection)
    assert fast is not None
    assert len(fast[1]) == 360
    assert fast == read(CarefulScan(stored(path), how, fields=NAMES), connection)


def test_every_reading_sees_the_same_rows_whichever_columns_it_takes(
    connection: Any, tmp_path: Path
) -> None:
    path = tmp_path / "invalid.csv"
    big_file(path)
    scan = fast_scan(stored(path), dialect())
    assert scan is not None
    view = scan.relation(connection)
    all_columns = connection.sql(f"SELECT * FROM {view}").fetchall()
    one = connection.sql(f"SELECT c FROM {view}").fetchall()
    counted = connection.sql(f"SELECT count(*) FROM {view}").fetchall()
    assert one == [row[2:] for row in all_columns]
    assert counted == [(len(all_columns),)]
    scan.close()


@pytest.mark.parametrize(
    ("data", "hazard"),
    [
        (b"a,b,c\n1,2,\x003\n", "NUL"),
        (b"a,b,c\n1,2,3\r\n4,5,6\n", "line ends"),
        (b"a,b,c\n1,2\r,3\n", "line ends"),
        (b'a,b,c\n1,"2,3\n', "odd number"),
        (b'a,b,c\n1, "2",3\n', "blanks beside"),
        (b'a,b,c\n1,"2" ,3\n', "blanks beside"),
        (b'a,b,c\n1,2,"3" ', "blanks beside"),
        (b"a,b,c\n1,2,3\n  \n", "lines of blanks"),
        (b"a,b,c\n1,2,3\n\t", "lines of blanks"),
        pytest.param(b'a,b,c\n1,2,"' + b"line\n" * 500_000 + b'"\n', "megabytes", id="long"),
        pytest.param(b"a,b,c\n" + b"1,2\n" * 100_001, "another length", id="short"),
        pytest.param(b"a,b,c\n" + b"1,2,3,4\n" * 100_001, "another length", id="wide"),
    ],
)
def test_what_duckdb_reads_otherwise_is_noticed_beforehand(
    tmp_path: Path, data: bytes, hazard: str
) -> None:
    path = tmp_path / "hazard.csv"
    path.write_bytes(data)
    body = body_offset(data, dialect(), whole=True)
    assert body is not None
    with path.open("rb") as stream:
        count = count_bytes(stream, dialect(), body=body)
    assert count.hazard is not None
    assert hazard in count.hazard


def test_a_quote_across_the_chunks_of_the_count_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    inner = b"x,\n" * 300_000
    path.write_bytes(b'a,b,c\n1,"' + inner + b'",3\n4,5,6\n')
    with path.open("rb") as stream:
        count = count_bytes(stream, dialect(), body=6)
    assert (count.records, count.delimiters, count.multiline) == (2, 4, True)


@given(st.binary(max_size=30))
def test_the_count_finds_invalid_utf8_as_python_does(data: bytes) -> None:
    from io import BytesIO

    body = data.replace(b"\0", b"").replace(b"\r", b"").replace(b'"', b"")
    try:
        body.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    count = count_bytes(BytesIO(b"a,b,c\n" + body), dialect(), body=6)
    assert count.hazard or count.valid == valid


def test_what_was_counted_ahead_is_what_is_counted_now(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(source_module, "WORTHWHILE", 0)
    texts = [b"a,b\n1,2\n", b"a,b\n" + b"3,4\n" * 1000, b"a,b\n5,6\n7\n"]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.csv").write_bytes(text)
    spec = SourceSpec(location=str(tmp_path / "*.csv"))
    opened = open_source(spec, connections=dict[str, Any]().__getitem__, base=None)
    assert isinstance(opened, ReadsAhead)
    opened.read_ahead()
    found = [opened._count(opened._entries[input]).records for input in opened.inputs]
    assert found == [1, 1000, 2]
    opened.close()


def test_a_count_that_nobody_needs_ends_with_the_source(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 2_000_000)
    opened = open_source(
        SourceSpec(location=str(path)), connections=dict[str, Any]().__getitem__, base=None
    )
    assert isinstance(opened, ReadsAhead)
    opened.read_ahead()
    opened.close()
    assert not [t for t in threading.enumerate() if t.name == "etl-count"]


def test_what_breaks_a_count_ahead_is_told_by_the_scan(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    digits = random.Random(1).randbytes(5_000_000).hex()
    lines = [f"{digits[at : at + 50]},1" for at in range(0, len(digits), 50)]
    whole = gzip.compress("\n".join(["a,b", *lines]).encode())
    path.write_bytes(whole[: len(whole) - 1000])
    opened = open_source(
        SourceSpec(location=str(path), dialect={"delimiter": ",", "quote": ""}, header_rows=1),
        connections=dict[str, Any]().__getitem__,
        base=None,
    )
    assert isinstance(opened, ReadsAhead)
    opened.read_ahead()
    with pytest.raises(SourceFormatError, match="damaged"):
        opened.scan(opened.inputs[0])
    opened.close()
