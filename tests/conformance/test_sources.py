"""What every kind of source promises the engine, tested on each of them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_etl_provider.contracts.pipeline import SourceSpec
from airflow_etl_provider.engines.sources import open_source
from airflow_etl_provider.exceptions import ConnectionNotFoundError, SourceError, SourceFormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_etl_provider.engines.sources import Scan, Source

Row = tuple[str | None, ...]

HOSTILE = ("id", "näme ünï 北", 'qu"ote; DROP TABLE x', "l" * 80, "select", "a.b['c']")


def csv_bytes(names: tuple[str, ...], rows: list[Row]) -> bytes:
    def cell(value: str | None) -> str:
        return "" if value is None else '"' + value.replace('"', '""') + '"'

    lines = [",".join(map(cell, names)), *(",".join(map(cell, row)) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


@dataclass(frozen=True)
class Kind:
    """How one kind of source is made, and what it is like."""

    suffix: str
    careful: bool = False
    rejects: bool = True
    remote: bool = False

    def write(self, folder: Path, names: tuple[str, ...], rows: list[Row], bad: bytes = b"") -> str:
        """Write a file; `bad` is put behind the second record. Returns its name."""
        name = f"data{self.suffix}"
        path = folder / name
        if self.suffix == ".parquet":
            columns = [pa.array([row[at] for row in rows], pa.string()) for at in range(len(names))]
            pq.write_table(pa.table(dict(zip(names, columns, strict=True))), path)
            return name
        if self.is_json:
            objects = [dict(zip(names, row, strict=True)) for row in rows]
            lines = [json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in objects]
            if self.suffix != ".jsonl":
                return self._write_document(path, lines, bad)
        else:
            lines = [csv_bytes(names, [])]
            lines += [csv_bytes(names, [row])[len(lines[0]) :] for row in rows]
        if bad:
            lines.insert(2 if self.is_json else 3, bad)
        data = b"".join(lines)
        if self.suffix == ".csv.gz":
            path.write_bytes(gzip.compress(data))
        elif self.suffix == ".csv.bz2":
            path.write_bytes(bz2.compress(data))
        elif self.suffix == ".csv.xz":
            path.write_bytes(lzma.compress(data))
        elif self.suffix == ".csv.zst":
            path.write_bytes(pa.compress(data, codec="zstd", asbytes=True))
        elif self.suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("inner.csv", data)
        else:
            path.write_bytes(data)
        return name

    @property
    def is_json(self) -> bool:
        return ".json" in self.suffix

    def _write_document(self, path: Path, objects: list[bytes], bad: bytes) -> str:
        if bad:
            objects.insert(2, bad)
        data = b"[" + b",".join(objects) + b"]"
        if self.suffix == ".paged.json":
            data = b'{"page": {"next": null, "items": ' + data + b', "size": 9}, "done": true}'
        path.write_bytes(gzip.compress(data) if self.suffix.endswith(".gz") else data)
        return path.name


KINDS = {
    "csv, fast road": Kind(".csv"),
    "csv, careful road": Kind(".csv", careful=True),
    "gzip": Kind(".csv.gz"),
    "zstd": Kind(".csv.zst"),
    "bzip2": Kind(".csv.bz2"),
    "xz": Kind(".csv.xz"),
    "zip": Kind(".zip"),
    "json lines": Kind(".jsonl"),
    "json array": Kind(".json"),
    "json array, gzip": Kind(".json.gz"),
    "json under a path": Kind(".paged.json"),
    "parquet": Kind(".parquet", rejects=False),
    "csv on s3, fast road": Kind(".csv", remote=True),
    "csv on s3, careful road": Kind(".csv", careful=True, remote=True),
    "gzip on s3": Kind(".csv.gz", remote=True),
    "zip on s3": Kind(".zip", remote=True),
    "json lines on s3": Kind(".jsonl", remote=True),
    "json array on s3": Kind(".json", remote=True),
    "parquet on s3": Kind(".parquet", rejects=False, remote=True),
}

ROWS: list[Row] = [
    ("1", "Ada", "x"),
    ("2", None, "two words"),
    ("3", "北京 é", 'a "quoted" one'),
    ("4", "Di", "with, comma"),
    ("5", "", "05"),
]
NAMES = ("id", "name", "note")


@pytest.fixture(params=list(KINDS), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2}) as connection:
        yield connection


def no_connections(name: str) -> Any:
    raise ConnectionNotFoundError(name)


@pytest.fixture
def opened(
    kind: Kind, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Source]]:
    """Open a file of the folder, or its copy in a bucket."""
    sources: list[Source] = []

    def open_(location: str, *, all_text: bool = False, **spec: Any) -> Source:
        connections = no_connections
        if location.endswith(".paged.json"):
            spec = {"records": "$.page.items", **spec}
        if kind.remote:
            server = request.getfixturevalue("s3_server")
            location = server.put(location, (tmp_path / location).read_bytes())
            spec, connections = spec | {"connection": "lake"}, server.connections
        sources.append(
            open_source(
                SourceSpec(location=location, **spec),
                connections=connections,
                base=tmp_path,
                all_text=all_text,
                scratch=tmp_path,
            )
        )
        return sources[-1]

    yield open_
    for source in sources:
        source.close()


def fetch(scan: Scan, connection: duckdb.DuckDBPyConnection) -> list[Any]:
    return connection.sql(f"SELECT * FROM {scan.relation(connection)}").fetchall()


def test_the_view_has_the_fields_rows_and_order_of_the_file(
    kind: Kind, tmp_path: Path, opened: Any, connection: Any
) -> None:
    source = opened(kind.write(tmp_path, NAMES, ROWS))
    (input_,) = source.inputs
    scan = source.scan(input_, careful=kind.careful)
    assert source.schema.names == NAMES
    assert fetch(scan, connection) == ROWS
    if kind.suffix in {".csv", ".csv.gz", ".csv.zst"}:
        assert scan.careful == kind.careful
    described = connection.sql(f"SELECT * FROM {scan.relation(connection)}").columns
    assert tuple(described) == NAMES
    scan.close()


def test_the_view_can_be_read_again_and_in_part(
    kind: Kind, tmp_path: Path, opened: Any, connection: Any
) -> None:
    source = opened(kind.write(tmp_path, NAMES, ROWS))
    scan = source.scan(source.inputs[0], careful=kind.careful)
    view = scan.relation(connection)
    keys = connection.sql(f"SELECT id FROM {view}").fetchall()
    assert keys == [row[:1] for row in ROWS]
    assert connection.sql(f"SELECT count(*) FROM {view}").fetchall() == [(5,)]
    assert fetch(scan, connection) == ROWS
    assert scan.account(rows_seen=5).balanced
    scan.close()


def test_the_account_is_the_readers_own(
    kind: Kind, tmp_path: Path, opened: Any, connection: Any
) -> None:
    source = opened(kind.write(tmp_path, NAMES, ROWS))
    scan = source.scan(source.inputs[0], careful=kind.careful)
    fetch(scan, connection)
    account = scan.account(rows_seen=5)
    assert (account.records, account.scanned, account.balanced) == (5, 5, True)
    assert account.bytes_read > 0
    assert not scan.account(rows_seen=4).balanced
    assert list(scan.rejects()) == []
    assert scan.record_numbers([0, 4]) == [1, 5]
    scan.close()


def test_a_rejected_record_keeps_its_number_and_bytes(
    kind: Kind, tmp_path: Path, opened: Any, connection: Any
) -> None:
    if not kind.rejects:
        pytest.skip("a Parquet file has no record that can't be read alone")
    bad = b"no json\n" if kind.is_json else b"only one field\n"
    name = kind.write(tmp_path, NAMES, ROWS, bad)
    source = opened(name) if kind.is_json else opened(name, dialect={"delimiter": ","})
    scan = source.scan(source.inputs[0], careful=kind.careful)
    assert fetch(scan, connection) == ROWS
    account = scan.account(rows_seen=5)
    assert (account.records, account.scanned, account.balanced) == (6, 5, True)
    (reject,) = scan.rejects()
    assert (reject.record, reject.raw) == (3, bad.rstrip(b"\n"))
    assert reject.input == source.inputs[0].name
    assert reject.reasons[0].code in {"wrong_field_count", "not_json"}
    assert scan.record_numbers([0, 1, 2, 4]) == [1, 2, 4, 6]
    scan.close()


def test_a_record_can_be_written_again(kind: Kind, tmp_path: Path, opened: Any) -> None:
    source = opened(kind.write(tmp_path, NAMES, ROWS))
    raw = source.scan(source.inputs[0], careful=kind.careful).raw(
        {"id": "3", "name": None, "note": 'x, "y"'}
    )
    if kind.is_json or kind.suffix == ".parquet":
        assert json.loads(raw) == {"id": "3", "name": None, "note": 'x, "y"'}
    else:
        assert raw == b'3,,"x, ""y"""'


def test_hostile_names_are_only_names(
    kind: Kind, tmp_path: Path, opened: Any, connection: Any
) -> None:
    rows: list[Row] = [("1", "a", "b", "c", "d", "e"), ("2", "v", "w", "x", "y", "z")]
    source = opened(kind.write(tmp_path, HOSTILE, rows), header_rows=1)
    assert source.schema.names == HOSTILE
    scan = source.scan(source.inputs[0], careful=kind.careful)
    assert fetch(scan, connection) == rows
    assert scan.account(rows_seen=2).balanced
    scan.close()


def test_a_file_without_records_has_a_schema_and_no_rows(
    kind: Kind, tmp_path: Path, opened: Any, connection: Any
) -> None:
    if kind.is_json:
        name = kind.write(tmp_path, NAMES, [])
        with pytest.raises(SourceFormatError, match="no JSON object"):
            opened(name)
        return
    source = opened(kind.write(tmp_path, NAMES, []))
    scan = source.scan(source.inputs[0], careful=kind.careful)
    assert source.schema.names == NAMES
    assert fetch(scan, connection) == []
    account = scan.account(rows_seen=0)
    assert (account.records, account.scanned, account.balanced) == (0, 0, True)
    scan.close()


def test_closing_twice_and_after_the_connection_is_fine(
    kind: Kind, tmp_path: Path, opened: Any
) -> None:
    source = opened(kind.write(tmp_path, NAMES, ROWS))
    scan = source.scan(source.inputs[0], careful=kind.careful)
    with duckdb.connect() as connection:
        fetch(scan, connection)
    scan.close()
    scan.close()
    source.close()
    source.close()


def test_a_file_that_changes_while_it_is_read_is_noticed(
    kind: Kind, tmp_path: Path, opened: Any, connection: Any
) -> None:
    if kind.remote:
        pytest.skip("what is read of an object is what was listed; see test_s3_sources.py")
    name = kind.write(tmp_path, NAMES, ROWS)
    source = opened(name)
    scan = source.scan(source.inputs[0], careful=kind.careful)
    fetch(scan, connection)
    os.utime(tmp_path / name, ns=(1, 1))
    with pytest.raises(SourceError, match="changed while it was read"):
        scan.account(rows_seen=5)
    scan.close()


def test_what_is_all_text_suggests_nothing(kind: Kind, tmp_path: Path, opened: Any) -> None:
    name = kind.write(tmp_path, NAMES, ROWS)
    kinds = {field.type.kind for field in opened(name, all_text=True).suggested}
    assert kinds == {"string"}


def test_a_file_cut_off_or_of_another_kind_is_told_apart(
    kind: Kind, tmp_path: Path, opened: Any, connection: Any
) -> None:
    if kind.suffix in {".csv", ".jsonl"}:
        pytest.skip("text that is cut off is still text")
    rows = [(str(number), "name", os.urandom(30).hex()) for number in range(20_000)]
    path = tmp_path / kind.write(tmp_path, NAMES, rows)
    path.write_bytes(path.read_bytes()[:-3000])

    def read() -> None:
        source = opened(path.name)
        scan = source.scan(source.inputs[0])
        try:
            fetch(scan, connection)
        except duckdb.Error:
            assert scan.failure is not None
            raise scan.failure from None

    with pytest.raises(SourceFormatError):
        read()
