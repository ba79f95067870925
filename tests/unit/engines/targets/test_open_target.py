from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import TargetSpec
from airflow_etl_provider.engines.targets import open_target, parse_target
from airflow_etl_provider.engines.targets.csv_file import CsvFileTarget
from airflow_etl_provider.engines.targets.duckdb_file import DuckDbTarget
from airflow_etl_provider.engines.targets.parquet_file import ParquetFileTarget
from airflow_etl_provider.engines.targets.parquet_folder import ParquetFolderTarget
from airflow_etl_provider.engines.targets.postgres import PostgresTarget
from airflow_etl_provider.exceptions import (
    ConnectionNotFoundError,
    NotSupportedYetError,
    SpecificationError,
)


def open_spec(
    *, base: Path | None = None, connection: Connection | None = None, **spec: Any
) -> Any:
    def find(name: str) -> Connection:
        assert connection is not None
        return connection

    if connection is not None:
        spec["connection"] = connection.name
    return open_target(TargetSpec(**spec), connections=find, base=base, pipeline="my_pipeline")


@pytest.mark.parametrize(
    ("location", "kind", "path"),
    [
        ("out/x.parquet", ParquetFileTarget, "/base/out/x.parquet"),
        ("/abs/X.CSV", CsvFileTarget, "/abs/X.CSV"),
        ("file:///abs/a%20b.csv", CsvFileTarget, "/abs/a b.csv"),
        ("duckdb:///w.db", DuckDbTarget, "/base/w.db"),
        ("duckdb:////abs/w.db", DuckDbTarget, "/abs/w.db"),
        ("w.duckdb", DuckDbTarget, "/base/w.duckdb"),
    ],
)
def test_a_location_says_the_kind_and_the_place(location: str, kind: type, path: str) -> None:
    target = open_spec(location=location, base=Path("/base"))
    assert isinstance(target, kind)
    assert target.path == Path(path)


def test_the_pipeline_names_a_table_that_is_not_named() -> None:
    assert open_spec(location="duckdb:////abs/w.db").name.endswith("#my_pipeline")
    assert open_spec(location="duckdb:////abs/w.db", table="s.t").name.endswith("#s.t")


@pytest.mark.parametrize(
    "where",
    [{"host": "/d/w.db"}, {"schema": "/d/w.db"}, {"extra": {"path": "/d/w.db"}}],
)
def test_a_duckdb_connection_names_its_file_in_one_of_three_places(where: dict[str, Any]) -> None:
    target = open_spec(connection=Connection("warehouse", "duckdb", **where), table="t")
    assert target.path == Path("/d/w.db")


def test_a_file_connection_is_a_folder() -> None:
    shop = Connection("shop", "fs", extra={"path": "/shop"})
    assert open_spec(connection=shop, location="o.csv").path == Path("/shop/o.csv")
    with pytest.raises(SpecificationError, match="needs a location"):
        open_spec(connection=shop, table="orders")


@pytest.mark.parametrize(
    "location",
    [
        "../x.parquet",
        "a/../../y/",
        "link/x.csv",
        "link/y/",
        "link.csv",
        "/etc/x.parquet",
        "file:///etc/x.parquet",
        "duckdb:////etc/x.db",
        "duckdb:///../x.db",
        "~/x.parquet",
        "~nobody-of-that-name/x.parquet",
        "s3://bucket/x/",
        "postgresql://host/db",
    ],
)
def test_a_target_does_not_leave_its_connections_folder(tmp_path: Path, location: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "link").symlink_to(tmp_path)
    (home / "link.csv").symlink_to(tmp_path / "not_there.csv")
    shop = Connection("shop", "fs", extra={"path": str(home)})
    with pytest.raises(SpecificationError, match=r"leads out|already names a folder"):
        open_spec(connection=shop, location=location)


@pytest.mark.parametrize(
    ("location", "path"),
    [("a/x.csv", "a/x.csv"), ("inner/x.csv", "a/x.csv"), ("duckdb:///w.db", "w.db")],
)
def test_all_below_its_connections_folder_may_be_a_target(
    tmp_path: Path, location: str, path: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "inner").symlink_to(tmp_path / "a")
    shop = Connection("shop", "file", host=str(tmp_path))
    assert open_spec(connection=shop, location=location).path == tmp_path / path


def test_a_postgres_connection_is_opened_without_a_query() -> None:
    warehouse = Connection("warehouse", "postgres", host="nowhere.invalid", schema="db")
    assert isinstance(open_spec(connection=warehouse, table="sales.orders"), PostgresTarget)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "needs `location`"),
        ({"location": "x.xlsx"}, "what kind of target"),
        ({"location": "mysql://host/db"}, "mysql://"),
        ({"location": "duckdb://x.db"}, "duckdb:///relative.db"),
        ({"location": "duckdb:///:memory:"}, "duckdb:///relative.db"),
        ({"location": "x.csv", "table": "t"}, "has no table"),
        ({"location": "postgresql://me:secret@host/db"}, "holds a password"),
        ({"connection": Connection("c", "mysql"), "table": "t"}, "'mysql'.*Supported are"),
        ({"connection": Connection("c", "duckdb"), "table": "t"}, "names no file"),
        ({"connection": Connection("c", "duckdb", host="x"), "location": "y"}, "takes no location"),
    ],
)
def test_what_is_not_supported_is_told_with_what_is(spec: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecificationError, match=told) as caught:
        open_spec(**spec)
    assert "secret" not in str(caught.value)


def test_a_store_is_not_supported_yet() -> None:
    with pytest.raises(NotSupportedYetError, match="s3://"):
        open_spec(location="s3://bucket/x.parquet")
    with pytest.raises(NotSupportedYetError, match="gs://"):
        open_spec(location="gs://bucket/orders/")


@pytest.mark.parametrize(
    ("location", "name", "quarantine"),
    [
        ("lake/orders/", "/base/lake/orders/", "/base/lake/orders.quarantine"),
        ("/lake/orders.v2/", "/lake/orders.v2/", "/lake/orders.v2.quarantine"),
        ("file:///lake/my%20orders/", "/lake/my orders/", "/lake/my orders.quarantine"),
        ("s3://bucket/lake/o/", "s3://bucket/lake/o/", "s3://bucket/lake/o.quarantine"),
        ("S3A://bucket/", "s3://bucket/", "s3://bucket/_quarantine"),
    ],
)
def test_a_slash_at_the_end_makes_a_folder_of_parquet_files(
    location: str, name: str, quarantine: str
) -> None:
    target = open_spec(location=location, base=Path("/base"))
    assert isinstance(target, ParquetFolderTarget)
    assert target.name == name
    assert target.quarantine_home == quarantine


def test_a_folder_may_have_a_connection() -> None:
    shop = Connection("shop", "fs", extra={"path": "/shop"})
    assert open_spec(connection=shop, location="orders/").name == "/shop/orders/"
    aws = Connection("lake", "aws", login="key", password="secret")
    target = open_spec(connection=aws, location="s3://bucket/orders/")
    assert target.name == "s3://bucket/orders/"
    for location in (None, "orders/", "/orders/x.csv"):
        with pytest.raises(SpecificationError, match="s3://bucket/prefix/"):
            open_spec(connection=aws, location=location, table=None if location else "t")


def test_a_folder_without_its_slash_is_told_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="with a slash"):
        open_spec(location=str(tmp_path))
    with pytest.raises(SpecificationError, match="with a slash"):
        open_spec(location="s3://bucket/orders")
    with pytest.raises(SpecificationError, match="has no table"):
        open_spec(location="orders/", table="t")


def test_the_command_line_keeps_a_password_out_of_the_specification() -> None:
    spec, connections = parse_target(
        "postgresql://me:s%40crt@host:1234/db?sslmode=require", table="t"
    )
    assert spec.connection is not None
    found = connections(spec.connection)
    assert (found.login, found.password, found.host, found.port) == ("me", "s@crt", "host", 1234)
    assert (found.schema, found.extra) == ("db", {"sslmode": "require"})
    assert "crt" not in f"{spec!r}{found!r}{spec.model_dump_json()}"
    with pytest.raises(ConnectionNotFoundError):
        connections("another")


def test_a_url_of_sqlalchemy_is_understood() -> None:
    spec, connections = parse_target("postgresql+psycopg2://me@host/db", table="t")
    assert connections(spec.connection or "").host == "host"


def test_files_are_replaced_and_tables_appended_to_by_default() -> None:
    assert parse_target("x.csv", table=None)[0].mode == "replace"
    assert parse_target("x.parquet", table=None)[0].mode == "replace"
    assert parse_target("folder/", table=None)[0].mode == "append"
    assert parse_target("s3://bucket/prefix/", table=None)[0].mode == "append"
    assert parse_target("duckdb:///x.db", table="t")[0].mode == "append"
    assert parse_target("postgresql://host/db", table="t")[0].mode == "append"
    with pytest.raises(SpecificationError, match="--table"):
        parse_target("x.csv", table="t")
    with pytest.raises(SpecificationError, match="--table"):
        parse_target("postgresql://host/db", table=None)


def test_time_outs_reach_the_databases_that_know_them() -> None:
    assert open_spec(location="duckdb:////abs/w.db", lock_timeout="2 minutes").wait_seconds == 120
    for location, key in (
        ("duckdb:////abs/w.db", "statement_timeout"),
        ("/abs/x.parquet", "lock_timeout"),
        ("/abs/x.csv", "statement_timeout"),
    ):
        with pytest.raises(SpecificationError, match=rf"target\.{key}. means nothing"):
            open_spec(location=location, **{key: 60})
