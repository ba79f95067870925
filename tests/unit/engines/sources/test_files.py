"""Finding files: paths, globs, URLs, connections, archives; formats; columns that must agree."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zipfile
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import SourceSpec
from airflow_etl_provider.engines.sources import open_source
from airflow_etl_provider.exceptions import (
    NotSupportedYetError,
    SourceError,
    SourceFormatError,
    SourceNotFoundError,
    SpecificationError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.engines.sources import Source

CSV = b"id,name\n1,Ada\n2,Bob\n"

PACKERS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def open_(folder: Path, location: str, connection: Connection | None = None, **spec: Any) -> Source:
    def find(name: str) -> Connection:
        assert connection is not None
        return connection

    name = connection.name if connection else None
    return open_source(
        SourceSpec(location=location, connection=name, **spec), connections=find, base=folder
    )


def names(source: Source) -> list[str]:
    return [input.name for input in source.inputs]


def test_a_glob_gives_its_files_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c.txt", ".hidden.csv"):
        (tmp_path / name).write_bytes(CSV)
    assert names(open_(tmp_path, "*.csv")) == ["a.csv", "b.csv"]


def test_a_recursive_glob_looks_into_folders(tmp_path: Path) -> None:
    (tmp_path / "2024" / "01").mkdir(parents=True)
    (tmp_path / "2024" / "01" / "x.csv").write_bytes(CSV)
    assert names(open_(tmp_path, "**/*.csv")) == ["2024/01/x.csv"]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(SourceError, match=r"pipe\.csv is no regular file"):
        open_(tmp_path, "pipe.csv")


def test_a_name_with_brackets_is_taken_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "report[1].csv").write_bytes(CSV)
    source = open_(tmp_path, "report[1].csv")
    assert names(source) == ["report[1].csv"]
    assert source.scan(source.inputs[0]).careful


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "with space.csv"
    path.write_bytes(CSV)
    assert open_(tmp_path, path.as_uri()).inputs[0].size == len(CSV)


def test_an_identity_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CSV)
    before = open_(tmp_path, "a.csv").inputs
    path.write_bytes(CSV + b"3,Cy\n")
    assert open_(tmp_path, "a.csv").inputs != before


def test_nothing_there_says_what_was_looked_for_and_where(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"'\*\.csv'") as error:
        open_(tmp_path, "*.csv")
    assert str(tmp_path) in str(error.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(SourceError, match="is a folder"):
        open_(tmp_path, "in")


def test_a_connection_gives_the_folder(tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "a.csv").write_bytes(CSV)
    shop = Connection("shop", "fs", extra={"path": str(tmp_path)})
    source = open_(tmp_path / "elsewhere", "exports/*.csv", shop)
    assert names(source) == ["exports/a.csv"]
    assert source.name == "shop/exports/*.csv"


@pytest.mark.parametrize(
    "location", ["../secret.csv", "x/../../secret.csv", "../*.csv", "link.csv"]
)
def test_a_connections_folder_is_not_left(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.csv").write_bytes(CSV)
    home = tmp_path / "home"
    (home / "x").mkdir(parents=True)
    (home / "link.csv").symlink_to(tmp_path / "secret.csv")
    shop = Connection("shop", "file", extra={"path": str(home)})
    with pytest.raises(SpecificationError, match="leads out"):
        open_(tmp_path, location, shop)


def test_an_absolute_location_and_a_connection_contradict_each_other(tmp_path: Path) -> None:
    shop = Connection("shop", "file", extra={"path": str(tmp_path)})
    with pytest.raises(SpecificationError, match="absolute"):
        open_(tmp_path, "/etc/passwd", shop)


def test_other_places_are_not_supported_yet(tmp_path: Path) -> None:
    with pytest.raises(NotSupportedYetError, match="gs://"):
        open_(tmp_path, "gs://bucket/a.csv")
    with pytest.raises(NotSupportedYetError, match="'sftp'"):
        open_(tmp_path, "a.csv", Connection("lake", "sftp"))


def test_an_object_needs_a_bucket_and_a_connection_that_can_reach_it(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="names no bucket"):
        open_(tmp_path, "a.csv", Connection("lake", "aws"))
    with pytest.raises(SpecificationError, match="names no bucket"):
        open_(tmp_path, "s3://b*/a.csv")
    with pytest.raises(SpecificationError, match="of type 'fs'"):
        open_(tmp_path, "s3://bucket/a.csv", Connection("lake", "fs"))


def test_an_archive_is_each_of_its_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("b.csv", CSV)
        archive.writestr("sub/a.csv", CSV)
        archive.writestr("__MACOSX/b.csv", "junk")
    assert names(open_(tmp_path, "all.zip")) == ["all.zip!b.csv", "all.zip!sub/a.csv"]


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_compression_is_told_by_content_and_not_by_name(tmp_path: Path, pack: Any) -> None:
    (tmp_path / "plain.csv").write_bytes(pack(CSV))
    assert open_(tmp_path, "plain.csv").schema.names == ("id", "name")


def test_text_that_begins_like_an_archive_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"BZhour,name\n1,Ada\n")
    assert open_(tmp_path, "a.csv").schema.names == ("BZhour", "name")


@pytest.mark.parametrize(
    ("name", "data", "careful"),
    [("data", CSV, False), ("data.dat", b'{"id": 1}\n{"id": 2}\n', True)],
)
def test_a_format_without_a_telling_name_is_told_by_content(
    tmp_path: Path, name: str, data: bytes, careful: bool
) -> None:
    (tmp_path / name).write_bytes(data)
    source = open_(tmp_path, name)
    assert source.schema.names[0] == "id"
    assert source.scan(source.inputs[0]).careful == careful


def test_files_of_several_formats_are_no_source(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "b.jsonl").write_bytes(b'{"id": 1}\n')
    with pytest.raises(SourceFormatError, match="several formats"):
        open_(tmp_path, "*")


def test_columns_in_another_order_are_matched_by_name(tmp_path: Path) -> None:
    import duckdb

    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "b.csv").write_bytes(b"name,id\nCy,3\n")
    source = open_(tmp_path, "*.csv")
    scan = source.scan(source.inputs[1])
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT * FROM {scan.relation(connection)}").fetchall()
        assert rows == [("3", "Cy")]
        assert scan.raw({"id": "3", "name": "Cy"}) == b"Cy,3"
        scan.close()


def test_missing_and_extra_columns_are_named_with_their_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "b.csv").write_bytes(b"id,surname\n3,Cy\n")
    with pytest.raises(SourceFormatError, match=r"b\.csv.*without 'name' and with 'surname'"):
        open_(tmp_path, "*.csv")


def test_an_empty_file_among_others_has_no_records(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    (tmp_path / "b.csv").write_bytes(CSV)
    source = open_(tmp_path, "*.csv")
    assert names(source) == ["a.csv", "b.csv"]
    assert source.schema.names == ("id", "name")


def test_nothing_but_empty_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    with pytest.raises(SourceFormatError, match="is empty"):
        open_(tmp_path, "a.csv")


def test_topics_are_not_supported_yet(tmp_path: Path) -> None:
    with pytest.raises((NotSupportedYetError, ValueError), match="not supported yet"):
        open_source(SourceSpec(topic="orders"), connections=lambda _: None, base=tmp_path)


@pytest.mark.parametrize("name", ["a.csv.gz", "a.zip"])
def test_an_archive_by_name_that_holds_neither_archive_nor_text_is_damaged(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(bytes(range(256)) * 8)
    with pytest.raises(SourceFormatError, match="neither an archive nor text"):
        open_(tmp_path, name)


@pytest.mark.parametrize("data", [CSV, CSV.decode().encode("utf-16")])
def test_text_that_an_http_client_has_unpacked_keeps_its_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv.gz").write_bytes(data)
    assert open_(tmp_path, "a.csv.gz").schema.names == ("id", "name")


def test_a_workbook_is_no_archive_of_text_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "book.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(SourceFormatError, match="Excel workbook"):
        open_(tmp_path, "book.xlsx")
